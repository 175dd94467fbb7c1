"""What a training step spends its time on, by TensorFlow operation, from TensorFlow's own profiler.

    python benchmarks/profile_step.py --model ResNet20 --batch 1 32 128

What a step of one image takes is what does not depend on the batch: quantizing kernels, updating weights, Python. The
times of operations are summed over all threads, and the profiler slows them down; the time of a step is taken without.
"""

import argparse
import collections
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sdbnn_larq  # noqa: I001  (before TensorFlow)
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2


def operation_times(logdir: str) -> collections.Counter:
    """Seconds of each operation type over all threads of the host."""
    times: collections.Counter = collections.Counter()
    for file in Path(logdir).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    # "layer/path:Operation"; a function's span would count its operations twice.
                    if ":" in name and "::" not in name and "__inference" not in name:
                        times[name.rsplit(":", 1)[1]] += event.duration_ps / 1e12
    return times


def profile(model: tf.keras.Model, batch: int, steps: int, rows: int) -> None:
    """Prints what a step takes, and its most costly operations."""
    images = tf.random.normal((batch, *model.input_shape[1:]))
    untuned = tf.data.Options()
    untuned.autotune.enabled = False  # the autotuner's timer would end the rounds, not the steps
    examples = images, tf.random.uniform((batch,), 0, 10, tf.int32)
    data = tf.data.Dataset.from_tensors(examples).repeat(steps).with_options(untuned)
    model.fit(data, verbose=0)  # warm-up
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        model.fit(data, verbose=0)
        walls.append((time.perf_counter() - began) / steps * 1e3)
    with tempfile.TemporaryDirectory() as logdir:
        with tf.profiler.experimental.Profile(logdir):
            model.fit(data, verbose=0)
        times = operation_times(logdir)
    total = sum(times.values())
    spread = f"{statistics.median(walls):.1f} ms a step ({min(walls):.1f} to {max(walls):.1f})"
    print(f"{model.name}, batch {batch}: {spread}, {total / steps * 1e3:.0f} ms of operations")
    for name, seconds in times.most_common(rows):
        print(f"{name:32s} {seconds / steps * 1e3:8.1f} ms {seconds / total:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ResNet20")
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()

    model = sdbnn_larq.zoo.get_model(options.model)
    sdbnn_larq.layers.set_precision(model, options.precision)
    model.compile(tf.keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    for batch in options.batch:
        profile(model, batch, options.steps, options.rows)


if __name__ == "__main__":
    main()
