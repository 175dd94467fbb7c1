"""Seconds that `import sdbnn_larq` takes once TensorFlow, Larq and larq-zoo are imported.

    python benchmarks/import_time.py

Every round is a process of its own.
"""

import argparse
import statistics
import subprocess
import sys

PROGRAM = """
import os, time
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow.keras, larq, larq_zoo
began = time.perf_counter()
import sdbnn_larq
print(time.perf_counter() - began)
"""


def seconds() -> float:
    return float(subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    times = [seconds() for _ in range(parser.parse_args().rounds)]
    print(f"{statistics.median(times):.3f} s, from {min(times):.3f} to {max(times):.3f}")


if __name__ == "__main__":
    main()
