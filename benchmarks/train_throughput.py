"""Images a second of `fit` with and without self-distribution and for the float twin, interleaved in one run.

    python benchmarks/train_throughput.py --output benchmarks/train_throughput.json

Synthetic images, so that the figure is the step's alone. Every round times each variant once; medians over rounds.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import tensorflow as tf

from sdbnn_larq.training.provenance import processor

VARIANTS: dict[str, dict] = {
    "self-distribution": {},
    "activation only": {"self_distribution": "activation"},
    "weight only": {"self_distribution": "weight"},
    "plain binary": {"self_distribution": None},
    "float twin": {"binary": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ResNet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    models = {name: sdbnn_larq.zoo.get_model(options.model, **kwargs) for name, kwargs in VARIANTS.items()}
    shape = next(iter(models.values())).input_shape[1:]
    batch = tf.random.normal((options.batch, *shape)), tf.random.uniform((options.batch,), 0, 10, tf.int32)
    data = tf.data.Dataset.from_tensors(batch).repeat(options.steps)
    untuned = tf.data.Options()
    untuned.autotune.enabled = False  # the autotuner's timer would end the rounds, not the steps
    data = data.with_options(untuned)
    for model in models.values():
        model.compile(tf.keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
        model.fit(data, verbose=0)  # warm-up
    rounds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(options.rounds):
        for name, model in models.items():
            began = time.perf_counter()
            model.fit(data, verbose=0)
            rounds[name].append(options.batch * options.steps / (time.perf_counter() - began))
    ratios = {
        name: statistics.median(a / b for a, b in zip(values, rounds["plain binary"]))
        for name, values in rounds.items()
    }
    result = {
        "model": options.model,
        "batch": options.batch,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "tensorflow": tf.__version__,
        "images_per_second": {
            name: {"median": round(statistics.median(v), 1), "min": round(min(v), 1), "max": round(max(v), 1)}
            for name, v in rounds.items()
        },
        "median_ratio_to_plain_binary": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.output:
        with open(options.output, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
