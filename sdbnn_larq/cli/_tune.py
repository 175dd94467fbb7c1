"""`sdbnn tune`: searches fields of a task and writes down what it found."""

import os
import sys
from pathlib import Path

import tensorflow as tf
from zookeeper import configure

from sdbnn_larq.cli._fields import parse_fields
from sdbnn_larq.recipes import task_class
from sdbnn_larq.training.provenance import with_present_names
from sdbnn_larq.training.signals import Signals
from sdbnn_larq.tuning import Choice, Range, Search, parse_choice, parse_range
from sdbnn_larq.tuning.recipe import write_recipe
from sdbnn_larq.tuning.report import draw_trials, print_table, write_csv


def tune(
    task: str,
    config: tuple[str, ...],
    ranges: tuple[str, ...],
    choices: tuple[str, ...],
    algorithm: str,
    trials: int,
    output_dir: str | None,
) -> None:
    """Searches, or goes on searching, and leaves a table, a picture and a recipe in a folder."""
    chosen = task_class(task)
    fields = parse_fields(config, chosen)
    if "output_dir" in fields:
        raise ValueError("A search's folder must be given as --output-dir DIR. Received: output_dir.")
    probe = chosen()
    configure(probe, fields)
    space: list[Range | Choice] = [parse_range(text, probe) for text in ranges]
    space += [parse_choice(text, probe) for text in choices]
    folder = Path(output_dir or os.path.join("runs", f"tune-{chosen.__name__}"))
    search = Search(chosen, fields, space, folder, algorithm=algorithm, trials=trials)
    signals = Signals()
    stop = tf.keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: signals.exit_if_pending())
    try:
        with signals.caught():
            found = search.run([stop])
    except SystemExit:
        print(f"\nStopped; the same command goes on in {folder}.", file=sys.stderr)
        raise
    if not found:  # a worker of a search on many machines
        return
    write_csv(found, folder / "trials.csv")
    print_table(found)
    best = found[0]
    if best.accuracy is None:
        raise ValueError(
            f"A search must have a trial that ends well. Received: none of {len(found)}; the last failed because: "
            f"{found[-1].failure or 'it was interrupted'}"
        )
    draw_trials(found, space, folder / "trials.png")
    write_recipe(
        folder / "best.py",
        f"{chosen.__name__}Tuned",
        search.task(best.fields),
        with_present_names({**fields, **best.fields, "epochs": best.epochs}, chosen),
        source=task if task.endswith(".py") else "",
        summary=f"The best of {len(found)} trials: {best.accuracy:.2%} of the validation images after training.",
    )
    print(f"{best.accuracy:.2%} of the validation images: sdbnn train {folder / 'best.py'}")
