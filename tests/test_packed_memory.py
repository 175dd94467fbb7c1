"""Files made to do harm take no more than ten times the memory of an honest file's size; in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = r"""
import base64, ctypes, json, sys, zlib
from pathlib import Path

import safetensors
import safetensors.numpy

from sdbnn_larq import zoo
from sdbnn_larq.weights import packed as _packed

path, model = Path(sys.argv[1]), zoo.CifarResNet18()
zoo.save_packed(model, path)
content = path.read_bytes()
with safetensors.safe_open(path, "np") as file:
    HEADER = file.metadata()
    ARRAYS = {name: file.get_tensor(name) for name in file.keys()}
text = zlib.decompress(base64.b64decode(HEADER["model"])).decode()


def memory(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def crafted(description, arrays=ARRAYS, **header):
    header = HEADER | {"model": base64.b64encode(zlib.compress(description.encode(), 9)).decode()} | header
    safetensors.numpy.save_file(arrays, path, header | {"sha256": _packed._checksum(arrays, header)})


def framed(header, size):
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(size)


def bit_flip():
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


HOSTILE = {
    "bit flip": bit_flip,
    "cut short": lambda: path.write_bytes(content[: len(content) // 2]),
    "sparse terabyte": lambda: framed(content[8:100_000], 2**40),
    "long header": lambda: path.write_bytes((2**30).to_bytes(8, "little") + b"[" * 2**20),
    "nested header": lambda: framed(b"[" * 100_000, len(content)),
    "many objects": lambda: framed(b'{"a":[' + b"{}," * 30_000 + b"{}]}", len(content)),
    "zip bomb": lambda: crafted(text + "\n" + "a" * 100_000_000),
    "many weights": lambda: crafted(text + "\na" + " b=f1" * 1_000_000),
    "huge shape": lambda: crafted(text.replace("kernel=1", "kernel=1" + "9" * 4000 + ",", 1)),
    "huge array": lambda: crafted(text, ARRAYS | {"more": ARRAYS["sign_bits"].repeat(30)}),
}

path.write_bytes(content)
zoo.load_packed(model, path)  # what TensorFlow takes once
for name, write in {**HOSTILE, "honest": lambda: path.write_bytes(content)}.items():
    write()
    ctypes.CDLL(None).malloc_trim(0)  # so that memory that is free but kept hides nothing
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory("VmRSS")
    try:
        zoo.load_packed(model, path)
        refused = False
    except ValueError:
        refused = True
    print(json.dumps([name, refused, (memory("VmHWM") - before) / len(content)]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset a process's peak memory")
def test_peak_memory(tmp_path):
    process = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "a"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    results = [json.loads(line) for line in process.stdout.splitlines()]
    assert len(results) == 11
    for name, refused, times in results:
        assert refused == (name != "honest"), name
        assert times < 10, name
