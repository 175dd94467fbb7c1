"""Times processes in turn: each prepares itself, then waits, and runs one round whenever it is its turn."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence


def answer_rounds(run: Callable[[], float]) -> None:
    """The loop of a timed process: runs a round for each line on stdin, and prints what it gives."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)


def interleave(
    commands: Mapping[str, Sequence[str]], rounds: int, environments: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, list[float]]:
    """What each command gives in each of the rounds; all processes are ready before the first.

    # Arguments
        commands: by name; each calls `answer_rounds`.
        rounds: of which each runs every command once.
        environments: variables that some of the commands are to see.
    """
    values: dict[str, list[float]] = {name: [] for name in commands}
    processes = {}
    try:
        for name, command in commands.items():
            environment = {**os.environ, **(environments or {}).get(name, {})}
            processes[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            _read(name, processes[name])  # one after the other: compiling takes all cores
        for _ in range(rounds):
            for name, process in processes.items():
                _ask(process)
                values[name].append(json.loads(_read(name, process)))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return values


def _ask(process: subprocess.Popen) -> None:
    assert process.stdin
    process.stdin.write("round\n")
    process.stdin.flush()


def _read(name: str, process: subprocess.Popen) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} ended with status {process.wait()}.")
    return line


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return round(statistics.median(a / b for a, b in zip(values, reference)), 3)
