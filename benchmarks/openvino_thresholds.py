"""Whether OpenVINO gains from folding Activation Self-Distribution into the sign's threshold, as it can say that.

    python benchmarks/openvino_thresholds.py --output benchmarks/openvino_thresholds.json

The first 1-bit convolution of ResNet-18 behind a shift that is added, that is a threshold computed at run time, or that
is a constant threshold (what the export makes of the static form). One thread; medians of OpenVINO's own counters.
"""

import argparse

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from _result import print_result

from sdbnn_larq.convert.openvino.emitters.convolutions import one_bit
from sdbnn_larq.convert.openvino.emitters.registry import constant
from sdbnn_larq.convert.openvino.run import core
from sdbnn_larq.training.provenance import processor

CHANNELS, SIZE = 64, 56
WARM_UP = 10  # runs


def network(form: str, kernel: np.ndarray, constant_shift: np.ndarray) -> ov.Model:
    x, shift = ops.parameter([1, CHANNELS, SIZE, SIZE], np.float32), ops.parameter([1, CHANNELS, 1, 1], np.float32)
    activation, threshold = x, constant(np.full((1, 1, 1, 1), -1.2e-38))
    if form == "added":
        activation = ops.add(x, shift)
    elif form == "threshold at run time":
        threshold = ops.negative(shift)
    else:
        threshold = constant(-constant_shift)
    low, high = (constant(np.full((1, 1, 1, 1), bit)) for bit in (0.0, 1.0))
    bits = ops.fake_quantize(activation, threshold, threshold, low, high, 2)
    pads = [1, 1]
    y = ov.opset1.binary_convolution(bits, one_bit(kernel), [1, 1], pads, pads, [1, 1], "xnor-popcount", pad_value=0.0)
    return ov.Model([ops.result(y)], [x, shift], "thresholds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    draw = np.random.default_rng(0)
    kernel = draw.choice([-1.0, 1.0], (CHANNELS, CHANNELS, 3, 3))
    image = draw.standard_normal((1, CHANNELS, SIZE, SIZE), np.float32)
    shift = draw.random((1, CHANNELS, 1, 1), np.float32)
    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    forms = ("added", "threshold at run time", "constant threshold")
    requests = {
        form: core().compile_model(network(form, kernel, shift), "CPU", config).create_infer_request() for form in forms
    }
    times: dict[str, list[float]] = {form: [] for form in forms}
    outputs = {}
    for run in range(WARM_UP + options.runs):
        for form, request in requests.items():
            outputs[form] = request.infer([image, shift])[0].copy()
            nodes = [node for node in request.get_profiling_info() if node.status == node.Status.EXECUTED]
            if run >= WARM_UP:
                times[form].append(sum(1e6 * node.real_time.total_seconds() for node in nodes))
    assert all(np.array_equal(outputs["added"], output) for output in outputs.values())
    result = {
        "processor": processor(),
        "microseconds": {
            form: dict(zip(("p10", "median", "p90"), np.percentile(values, [10, 50, 90]).round(1).tolist()))
            for form, values in times.items()
        },
    }
    print_result(result, options.output)


if __name__ == "__main__":
    main()
