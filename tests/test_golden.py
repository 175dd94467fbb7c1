"""ResNet-20 against values computed with the authors' network (see golden_rule.py)."""

import ast
from pathlib import Path

import numpy as np
import tensorflow as tf
from authors_weights import fill, find_weight, floatx, to_torch
from golden_rule import draw, golden_input

from sdbnn_larq import quantizers, zoo

GOLDEN = np.load(Path(__file__).parent / "golden" / "resnet20.npz")
SHAPES = {str(key): ast.literal_eval(shape) for key, shape in zip(GOLDEN["keys"], GOLDEN["shapes"])}


def golden_model(dtype: str) -> tf.keras.Model:
    with floatx(dtype):
        model = zoo.ResNet20(classifier_activation=None)
    return fill(model, {key: draw(key, shape) for key, shape in SHAPES.items()})


def test_logits_in_inference_mode():
    logits = golden_model("float32")(golden_input(), training=False)
    np.testing.assert_allclose(logits, GOLDEN["logits_eval"], rtol=1e-5, atol=1e-6)


def test_training_step():
    """In float64, because TensorFlow's float32 batch variance is off by up to 7e-6 here, depending on the processor.

    That is enough to flip the sign of an activation within 2e-5 of zero, and a flip spreads. The golden values come
    from PyTorch's float32, whose batch variance is accurate to 1e-7.
    """
    model = golden_model("float64")
    for module in model.submodules:
        if isinstance(module, quantizers.EDESign):
            module.t.assign(GOLDEN["t"])
            module.k.assign(GOLDEN["k"])
    weights = {key: find_weight(model, key) for key in SHAPES if f"gnorm/{key}" in GOLDEN}
    with tf.GradientTape() as tape:
        logits = model(golden_input().astype("float64"), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(4), logits))
    np.testing.assert_allclose(logits, GOLDEN["logits_train"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss, GOLDEN["loss"], rtol=1e-6)
    for key, gradient in zip(weights, tape.gradient(loss, list(weights.values()))):
        expected_norm, expected_head = GOLDEN[f"gnorm/{key}"], GOLDEN[f"ghead/{key}"]
        gradient = to_torch(gradient.numpy(), SHAPES[key])
        np.testing.assert_allclose(np.linalg.norm(gradient), expected_norm, rtol=1e-4, err_msg=key)
        tolerance = 1e-4 * expected_norm
        np.testing.assert_allclose(gradient.ravel()[:64], expected_head, rtol=1e-4, atol=tolerance, err_msg=key)
