"""Where the time of a small batch goes: `sdbnn train Digits` in float32, whole and with one part at a time left out.

    python benchmarks/small_batches.py --output benchmarks/small_batches.json

Each variant is a process of its own that trains an epoch (39 steps of 32 images) whenever it is its turn; validation
and the work between epochs are not timed. `benchmarks/profile_step.py` gives the operations of a step.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time

from _interleaved import answer_rounds, interleave, median_ratio, spread
from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Fields of the recipe, arguments of `compile`, and whether its data and callbacks are left out.
VARIANTS: dict[str, dict] = {
    "the recipe in float32": {},
    "mixed precision, its default": {"fields": {"precision": "mixed"}},
    "operations not deterministic": {"fields": {"deterministic": False}},
    "one batch again and again, no callbacks": {"bare": True},
    "the same, no Python between steps": {"bare": True, "compile": {"steps_per_execution": 39}},
    "the same, kernels not 1-bit": {"bare": True, "fields": {"model.binary_weights": False}},
    "the same, no self-distribution": {"bare": True, "fields": {"model.self_distribution": None}},
    "the same, float twin": {"bare": True, "fields": {"model.binary": False}},
}


def answer_in_fit() -> object:
    """A callback that waits for its turn before each epoch, and then prints the milliseconds of a step."""
    import tensorflow as tf

    class Turns(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                sys.stdin.readline()
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.ended, self.steps = time.perf_counter(), batch + 1

        def on_epoch_end(self, epoch, logs=None):
            answer = (self.ended - self.began) / self.steps * 1e3 if epoch else "ready"
            print(answer, file=sys.__stdout__, flush=True)

    return Turns()


def run(variant: dict, rounds: int, folder: str) -> None:
    """Trains an epoch for the variant whenever it is its turn."""
    import sdbnn_larq  # noqa: I001  (before TensorFlow)
    from zookeeper import configure, task

    from sdbnn_larq.recipes.digits import TrainDigits
    from sdbnn_larq.training._pipeline import without_autotuner

    @task
    class InTurns(TrainDigits):
        def say(self, line):
            pass  # stdout belongs to the rounds

        def fit(self, callbacks=(), epoch=0, step=0):
            if not variant.get("bare"):
                with contextlib.redirect_stdout(sys.stderr):  # Keras prints each epoch
                    return super().fit([*callbacks, answer_in_fit()], epoch, step)
            self.model.compile(self.optimizer, self.loss, metrics=["accuracy"], **variant.get("compile", {}))
            sdbnn_larq.layers.set_precision(self.model, self.precision_in_use)
            steps = self.train_batches.steps
            data = self.train_batches(0, 0).take(1).cache().repeat(steps)
            data = without_autotuner(data)  # the autotuner's timer would end the rounds, not the steps

            def epoch_of_steps() -> float:
                began = time.perf_counter()
                self.model.fit(data, verbose=0)
                return (time.perf_counter() - began) / steps * 1e3

            epoch_of_steps()
            answer_rounds(epoch_of_steps)

    in_turns = InTurns()
    configure(
        in_turns, {"epochs": rounds + 1, "output_dir": folder, "precision": "float32", **variant.get("fields", {})}
    )
    in_turns.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        run(VARIANTS[options.variant], options.rounds, options.folder)
        return

    from sdbnn_larq.training.provenance import processor

    script = [sys.executable, __file__, "--rounds", str(options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        commands = {n: [*script, "--folder", f"{folder}/{i}", "--variant", n] for i, n in enumerate(VARIANTS)}
        milliseconds = interleave(commands, options.rounds)
    recipe = milliseconds["the recipe in float32"]
    result = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "milliseconds_a_step": {name: spread(values) for name, values in milliseconds.items()},
        "ratio_to_the_recipe": {name: median_ratio(values, recipe) for name, values in milliseconds.items()},
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
