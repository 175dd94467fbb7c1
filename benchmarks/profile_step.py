"""What a training step spends its time on, by TensorFlow operation, from TensorFlow's own profiler.

python benchmarks/profile_step.py --model ResNet20
"""

import argparse
import collections
import os
import tempfile
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ResNet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()

    model = sdbnn_larq.zoo.get_model(options.model)
    batch = (
        tf.random.normal((options.batch, *model.input_shape[1:])),
        tf.random.uniform((options.batch,), 0, 10, tf.int32),
    )
    data = tf.data.Dataset.from_tensors(batch).repeat(options.steps)
    model.compile(tf.keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(data, verbose=0)  # warm-up
    with tempfile.TemporaryDirectory() as logdir:
        with tf.profiler.experimental.Profile(logdir):
            model.fit(data, verbose=0)
        times = operation_times(logdir)
    total = sum(times.values())
    print(f"{options.model}, batch {options.batch}: {total / options.steps * 1e3:.0f} ms of operations a step")
    for name, seconds in times.most_common(options.rows):
        print(f"{name:32s} {seconds / options.steps * 1e3:8.1f} ms {seconds / total:6.1%}")


if __name__ == "__main__":
    main()
