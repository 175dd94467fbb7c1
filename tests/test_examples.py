"""The Python examples of the README, of the documentation and of public docstrings run."""

import inspect
import re
import shutil
import textwrap
from importlib.util import find_spec

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from code_blocks import blocks

import sdbnn_larq
from sdbnn_larq import analysis, callbacks, convert, layers, quantizers, self_distribution, training, tuning, zoo

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


NEEDS = {
    "to_lce": "larq_compute_engine",
    "to_openvino": "openvino",
    "inspect": "openvino",
    "ExportedModel": "openvino",
}


def examples():
    for name, module in NEEDS.items():
        for block in BLOCK.findall(inspect.getdoc(getattr(convert, name)) or ""):
            missing = pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}")
            yield pytest.param(textwrap.dedent(block), id=name, marks=missing)
    for module in (quantizers, layers, analysis, callbacks, zoo, self_distribution, training, tuning):
        for name in module.__all__:
            for block in BLOCK.findall(inspect.getdoc(getattr(module, name)) or ""):
                yield pytest.param(textwrap.dedent(block), id=name)
    for block in blocks("python"):
        if not block.not_run:
            yield pytest.param(block.code, id=block.name)


@pytest.mark.parametrize("code", list(examples()))
@pytest.mark.slow
def test_example(code, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photographs / "china" / "0.jpg", "photo.jpg")
    model = None
    first = re.search(r"^.*\bmodel\b.*$", code, re.MULTILINE)
    if first and not re.match(r"model = (?!.*\bmodel\b)", first[0]):  # which an example does not build itself
        model = zoo.ResNet20()
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)  # in less time
    images, labels = tf.random.normal((2, 32, 32, 3)), np.arange(2)
    names = {
        **vars(quantizers), **vars(layers), **vars(callbacks), **vars(analysis), **vars(zoo),
        **vars(training), **vars(tuning),
        "sdbnn_larq": sdbnn_larq, "zoo": zoo, "tuning": tuning, "lq": lq, "np": np, "tf": tf, "model": model,
        "images": images, "labels": labels, "x": images, "y": labels,
    }  # fmt: skip
    exec(code, names)


@pytest.mark.parametrize("code", list(examples()))
def test_larq_is_imported_after_this_package(code):
    """Larq alone cannot be imported beside the Keras 3 of TensorFlow."""
    imported = re.findall(r"^(?:import|from) (larq|larq_zoo|sdbnn_larq)\b", code, re.MULTILINE)
    assert imported[:1] in ([], ["sdbnn_larq"])


def test_every_public_layer_and_quantizer_has_an_example():
    shown = {parameter.id for parameter in examples()}
    assert {"EDESign", "WeightSelfDistribution", "ActivationSelfDistribution", "SymmetricQuantConv2D"} <= shown
    assert shown >= set(NEEDS)
