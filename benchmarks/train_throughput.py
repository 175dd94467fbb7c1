"""Images a second of training steps: float32, mixed, plain binary, the float twin, and the authors' network in PyTorch.

    python benchmarks/train_throughput.py --output benchmarks/train_throughput.json

Synthetic images, so that the figure is the step's alone. Each variant is a process of its own; every round times each
once, the others asleep. Ratios are medians over the rounds. `--before DIR` adds the float32 step of another checkout.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from _interleaved import answer_rounds, interleave, median_ratio, spread
from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Architecture, batch size, side of the images; ResNet-18 with ten classes.
NETWORKS = {
    "ResNet20": ("ResNet20", 128, 32),
    "VGGSmall": ("VGGSmall", 64, 32),
    "CifarResNet18": ("CifarResNet18", 64, 32),
    "ResNet18 at 128 pixels": ("ResNet18", 64, 128),
}
KERAS: dict[str, tuple[str, dict]] = {
    "float32": ("float32", {}),
    "mixed": ("mixed", {}),
    "plain binary, float32": ("float32", {"self_distribution": None}),
    "plain binary, mixed": ("mixed", {"self_distribution": None}),
    "float twin": ("float32", {"binary": False}),
}
PYTORCH = ("PyTorch eager", "PyTorch channels_last", "PyTorch bfloat16 autocast", "PyTorch compiled, bfloat16 autocast")
BEFORE = "before"


def keras_round(network: str, variant: str, steps: int) -> Callable[[], float]:
    """A function that trains some steps and gives the images a second."""
    import sdbnn_larq  # noqa: I001  (before TensorFlow)
    import tensorflow as tf

    architecture, batch, size = NETWORKS[network]
    precision, arguments = KERAS.get(variant, KERAS["float32"])
    model = sdbnn_larq.zoo.get_model(architecture, input_shape=(size, size, 3), num_classes=10, **arguments)
    if precision == "mixed":
        sdbnn_larq.layers.set_precision(model, precision)
    images = tf.random.normal((batch, size, size, 3)), tf.random.uniform((batch,), 0, 10, tf.int32)
    untuned = tf.data.Options()
    untuned.autotune.enabled = False  # the autotuner's timer would end the rounds, not the steps
    data = tf.data.Dataset.from_tensors(images).repeat(steps).with_options(untuned)
    model.compile(tf.keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")

    def run() -> float:
        began = time.perf_counter()
        model.fit(data, verbose=0)
        return batch * steps / (time.perf_counter() - began)

    run()
    return run


def torch_round(network: str, variant: str, steps: int) -> Callable[[], float]:
    """As `keras_round`, of the authors' network."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from torch_reference import torch_model

    architecture, batch, size = NETWORKS[network]
    torch.manual_seed(0)
    model = torch_model(architecture).train()
    images, labels = torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))
    if variant != "PyTorch eager":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    forward = torch.compile(model) if "compiled" in variant else model

    def run() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in variant):
                loss = torch.nn.functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
        return batch * steps / (time.perf_counter() - began)

    run()
    return run


def measure(network: str, variants: list[str], options: argparse.Namespace) -> dict:
    script = [sys.executable, __file__, "--steps", str(options.steps), "--network", network, "--round"]
    environments = {BEFORE: {"PYTHONPATH": options.before}} if options.before else {}
    rounds = interleave({name: [*script, name] for name in variants}, options.rounds, environments)
    result: dict = {
        "batch": NETWORKS[network][1],
        "images_per_second": {name: spread(values) for name, values in rounds.items()},
    }
    for reference in ("float32", "plain binary, mixed", "PyTorch eager", BEFORE):
        if reference in rounds:
            result[f"ratio to {reference}"] = {n: median_ratio(v, rounds[reference]) for n, v in rounds.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, action="append", help="may be repeated; all by default")
    parser.add_argument("--variants", nargs="+", choices=[*KERAS, *PYTORCH], default=[*KERAS, *PYTORCH])
    parser.add_argument("--steps", type=int, default=8, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", help="another checkout, whose float32 step is timed as well")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--round", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        prepare = torch_round if options.round in PYTORCH else keras_round
        answer_rounds(prepare(options.network[0], options.round, options.steps))
        return

    from sdbnn_larq.training.provenance import processor

    variants = [*options.variants, *([BEFORE] if options.before else [])]
    result = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "networks": {n: measure(n, variants, options) for n in options.network or NETWORKS},
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
