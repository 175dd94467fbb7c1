"""Trains several networks at a time, as one rarely fills a GPU.

    python training/gpu/side_by_side.py training/gpu/imagenette.txt --data IMAGENETTE/train --output runs --workers 4

Each line of the file is a run: its name, then what `train.py` takes but for the data and the output. A `--teacher` is
named as its run, which comes first. Runs that were finished earlier are left as they are.
"""

import argparse
import shlex
import subprocess
import sys
import threading
from pathlib import Path


class Runs:
    """What is left to train; threads take from it."""

    def __init__(self, lines, data, output):
        self.jobs = {name: arguments for name, *arguments in map(shlex.split, lines) if not done(output / name)}
        self.data, self.output = data, output
        self.changed = threading.Condition()
        self.failed, self.running = [], set()

    def work(self):
        while job := self.take():
            name, arguments = job
            command = [sys.executable, Path(__file__).with_name("train.py"), *arguments, "--data", self.data]
            command += ["--output", self.output / name]
            if teacher := teacher_of(arguments):
                command += ["--teacher", self.output / teacher]
            with (self.output / f"{name}.log").open("w") as log:
                status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
            print(f"{name}: {'failed' if status else 'done'}", flush=True)
            with self.changed:
                self.running.remove(name)
                if status:
                    self.failed.append(name)
                self.changed.notify_all()

    def take(self):
        """The first run whose teacher is trained, when there is one; `None` if none is left that ever will be."""
        with self.changed:
            while True:
                for name, arguments in self.jobs.items():
                    teacher = teacher_of(arguments)
                    if teacher is None or done(self.output / teacher):
                        self.running.add(name)
                        return name, self.jobs.pop(name)
                if not self.running & {teacher_of(arguments) for arguments in self.jobs.values()}:
                    return None
                self.changed.wait()


def teacher_of(arguments):
    return arguments[arguments.index("--teacher") + 1] if "--teacher" in arguments else None


def done(folder):
    return (folder / "run.json").exists()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    lines = [line for line in given.runs.read_text().splitlines() if line and not line.startswith("#")]
    given.output.mkdir(parents=True, exist_ok=True)
    runs = Runs(lines, given.data, given.output)
    workers = [threading.Thread(target=runs.work) for _ in range(given.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if left := [*runs.failed, *runs.jobs]:
        parser.error(f"All runs must end. Received: {', '.join(left)} did not; {given.output}/NAME.log says why.")


if __name__ == "__main__":
    main()
