"""The time that each node of an exported OpenVINO file takes, by OpenVINO's own counters.

    sdbnn export ResNet18 --weights FILE --to openvino --uint8 --output resnet18.xml
    python benchmarks/openvino_profile.py resnet18.xml --precision f32 --output benchmarks/openvino_profile_f32.json

One image, one thread, on noise; the committed results are those of random weights.
Medians over the runs, warm-up excluded. The counters cost a few microseconds a node.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import openvino as ov

from sdbnn_larq.training.provenance import processor

WARM_UP = 10  # runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="an .xml file")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    config = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": options.precision,
        "PERF_COUNT": True,
    }
    request = ov.Core().compile_model(options.file, "CPU", config).create_infer_request()
    tensor = request.get_input_tensor()
    noise = np.random.default_rng(0).standard_normal(tuple(tensor.shape))
    image = (128 + 50 * noise if tensor.element_type == ov.Type.u8 else noise).astype(tensor.element_type.to_dtype())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)  # microseconds
    for run in range(WARM_UP + options.runs):
        request.infer([image])
        for node in request.get_profiling_info() if run >= WARM_UP else []:
            if node.status == ov.ProfilingInfo.Status.EXECUTED:
                times[node.node_name, f"{node.node_type} {node.exec_type}"].append(1e6 * node.real_time.total_seconds())
    medians = {node: float(np.median(values)) for node, values in times.items()}
    kinds: dict[str, float] = defaultdict(float)
    for (_, kind), median in medians.items():
        kinds[kind] += median
    ordered = sorted(medians.items(), key=lambda item: -item[1])
    result = {
        "file": Path(options.file).name,
        "processor": processor(),
        "precision": options.precision,
        "microseconds": round(sum(medians.values()), 1),
        "kinds": {kind: round(time, 1) for kind, time in sorted(kinds.items(), key=lambda item: -item[1])},
        "nodes": [{"name": name, "kind": kind, "microseconds": round(time, 1)} for (name, kind), time in ordered],
    }
    for kind, time in result["kinds"].items():
        print(f"{time:10.1f} µs  {kind}")
    print(f"{result['microseconds']:10.1f} µs  all")
    if options.output:
        with open(options.output, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
