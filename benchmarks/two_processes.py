"""Images a second of one process on all cores against two on half of them, which exchange gradients in shared memory.

    python benchmarks/two_processes.py --output benchmarks/two_processes.json

Each of the two trains on half of the batch. After each step it lays its gradients and batch statistics into memory that
both see, waits for the other's, and applies the mean: the leanest exchange there is, one message a step.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Optional

import numpy as np
from _interleaved import answer_rounds, interleave, median_ratio, spread
from _result import print_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETWORKS = {"ResNet20": (128, 32), "VGGSmall": (64, 32), "CifarResNet18": (64, 32)}  # batch size, side of the images
VARIANTS = ("one process", "two processes", "two processes, nothing exchanged")


class Trainer:
    """The share of one process in a training step.

    # Arguments
        peer: to the other process; None if there is none.
        memory: file with room for the gradients of both in two steps; None if nothing is exchanged.
    """

    def __init__(self, network: str, precision: str, rank: int, peer: Optional[Connection], memory: Optional[str]):
        import sdbnn_larq  # noqa: I001  (before TensorFlow)
        import tensorflow as tf

        processes = 2 if peer else 1
        threads = max(1, (os.cpu_count() or 1) // processes)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.keras.utils.set_random_seed(0)
        batch, size = NETWORKS[network]
        model = sdbnn_larq.zoo.get_model(network, input_shape=(size, size, 3), num_classes=10)
        sdbnn_larq.layers.set_precision(model, precision)
        optimizer = tf.keras.optimizers.SGD(0.01, momentum=0.9)
        optimizer.build(model.trainable_variables)
        weights = model.trainable_variables
        statistics = [v for v in model.non_trainable_variables if "moving_" in v.name]
        images = tf.random.normal((batch // processes, size, size, 3))
        labels = tf.random.uniform((batch // processes,), 0, 10, tf.int32)
        loss = tf.keras.losses.SparseCategoricalCrossentropy()

        def gradients():
            with sdbnn_larq.layers.mixed_products(), tf.GradientTape() as tape:
                error = loss(labels, model(images, training=True))
            return tape.gradient(error, weights)

        @tf.function
        def whole_step():
            optimizer.apply_gradients(zip(gradients(), weights))

        @tf.function
        def half_a_step():
            return tf.concat([tf.reshape(value, [-1]) for value in [*gradients(), *statistics]], 0)

        @tf.function
        def apply(means):
            parts = tf.split(means, [v.shape.num_elements() for v in [*weights, *statistics]])
            optimizer.apply_gradients([(tf.reshape(part, v.shape), v) for part, v in zip(parts, weights)])
            for part, variable in zip(parts[len(weights) :], statistics):
                variable.assign(tf.reshape(part, variable.shape))

        self.rank, self.peer = rank, peer
        self.whole_step, self.half_a_step, self.apply = whole_step, half_a_step, apply
        self.shared = None
        if memory:
            length = sum(v.shape.num_elements() for v in [*weights, *statistics])
            self.shared = np.memmap(memory, np.float32, "r+", shape=(2, 2, length))

    def step(self, number: int) -> None:
        if self.shared is None:
            self.whole_step()
            return
        self.shared[number % 2, self.rank] = self.half_a_step()
        self.meet()
        self.apply(self.shared[number % 2].mean(0))  # the other writes its next into the other half

    def meet(self) -> None:
        """Waits for the other process."""
        if self.peer:
            self.peer.send_bytes(b".")
            self.peer.recv_bytes()

    def run(self, steps: int) -> float:
        """Seconds that both take for some steps."""
        self.meet()
        began = time.perf_counter()
        for number in range(steps):
            self.step(number)
        self.meet()
        return time.perf_counter() - began


def second_process(network: str, precision: str, peer: Connection, memory: Optional[str], steps: int) -> None:
    trainer = Trainer(network, precision, 1, peer, memory)
    with contextlib.suppress(EOFError, ConnectionError):  # the first process ended
        while True:
            trainer.run(steps)


def timed_round(variant: str, network: str, precision: str, steps: int, folder: str) -> Callable[[], float]:
    """A function that trains some steps and gives the images a second of all processes together."""
    peer = memory = None
    if variant != "one process":
        if variant == "two processes":
            memory = os.path.join(folder, "gradients")
            with open(memory, "wb") as file:
                file.truncate(256 * 1024**2)  # sparse: only what is written takes room
        peer, other = multiprocessing.Pipe()
        arguments = (network, precision, other, memory, steps)
        multiprocessing.get_context("spawn").Process(target=second_process, args=arguments, daemon=True).start()
        other.close()  # whoever waits for a process that ended is told so
    trainer = Trainer(network, precision, 0, peer, memory)
    trainer.run(steps)  # warm-up
    return lambda: NETWORKS[network][0] * steps / trainer.run(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, action="append", help="may be repeated; all by default")
    parser.add_argument("--precision", default="mixed")
    parser.add_argument("--steps", type=int, default=4, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            (network,) = options.network
            answer_rounds(timed_round(options.variant, network, options.precision, options.steps, folder))
        return

    from sdbnn_larq.training.provenance import processor

    result: dict = {"machine": f"{processor()}, {os.cpu_count()} cores", "precision": options.precision, "networks": {}}
    for network in options.network or NETWORKS:
        script = [sys.executable, __file__, "--network", network, "--precision", options.precision]
        script += ["--steps", str(options.steps), "--variant"]
        rounds = interleave({variant: [*script, variant] for variant in VARIANTS}, options.rounds)
        result["networks"][network] = {
            "batch": NETWORKS[network][0],
            "images_per_second": {name: spread(values) for name, values in rounds.items()},
            "ratio_to_one_process": {name: median_ratio(v, rounds["one process"]) for name, v in rounds.items()},
        }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
