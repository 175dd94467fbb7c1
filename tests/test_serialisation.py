"""A user's own model with SD-BNN's parts, given by name, in every form and format that Keras 2 has."""

import subprocess
import sys

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh, SymmetricMaxPool2D, SymmetricQuantConv2D
from sdbnn_larq.optimizers import SGDL2
from sdbnn_larq.quantizers import EDESign, WeightSelfDistribution
from sdbnn_larq.zoo import ResNet20

IMAGES = np.random.RandomState(0).standard_normal((8, 8, 8, 3)).astype(np.float32)
TARGETS = np.random.RandomState(1).standard_normal((8, 2))


def body():
    binary = {"input_quantizer": "ede_sign", "kernel_quantizer": "wsd_sign", "use_bias": False}
    return [
        lq.layers.QuantConv2D(16, 3, padding="same", **binary),
        tf.keras.layers.BatchNormalization(),
        HardTanh(),
        ActivationSelfDistribution(4),
        SymmetricQuantConv2D(8, 3, strides=2, **binary),
        ActivationSelfDistribution(mode="static"),
        SymmetricMaxPool2D(3, 2),
        tf.keras.layers.Flatten(),
        # Sums of up to 16·3·3 ones and a shift, brought to where approx_sign has a gradient.
        tf.keras.layers.Rescaling(1 / 146),
        lq.layers.QuantDense(
            2, input_quantizer="approx_sign", kernel_quantizer=WeightSelfDistribution("ste_sign", scale=0.5)
        ),
    ]


@lq.utils.register_keras_custom_object
class SubclassedModel(tf.keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = body()

    def call(self, inputs):
        for layer in self.body:
            inputs = layer(inputs)
        return inputs

    def get_config(self):
        return {"name": self.name}


class UnregisteredModel(SubclassedModel):
    pass


def functional_model():
    x = inputs = tf.keras.Input((8, 8, 3))
    for layer in body():
        x = layer(x)
    return tf.keras.Model(inputs, x)


FORMS = {
    "sequential": lambda: tf.keras.Sequential([tf.keras.Input((8, 8, 3)), *body()]),
    "functional": functional_model,
    "subclassed": SubclassedModel,
    "unregistered": UnregisteredModel,
}


def trained_model(form):
    """One step from its initial weights, α drawn anew, each t and k a number of its own."""
    model = FORMS[form]()
    model.compile(tf.keras.optimizers.SGD(0.01), "mse")
    model.train_on_batch(IMAGES, TARGETS)
    for module in model.submodules:
        if isinstance(module, WeightSelfDistribution):
            module.alpha.assign(np.random.standard_normal(module.alpha.shape))
    for i, module in enumerate(ede_signs(model)):
        module.t.assign(0.3 + 0.1 * i)
        module.k.assign(2.5 + i)
    return model


def ede_signs(model):
    return [m for m in model.submodules if isinstance(m, EDESign)]


def sharpness(model):
    return sorted((m.t.numpy(), m.k.numpy()) for m in ede_signs(model))


def assert_same(model, loaded):
    assert len(ede_signs(model)) == 4
    assert sharpness(loaded) == sharpness(model)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


def assert_same_after_a_step(model, loaded):
    """The pseudo-gradients are the same too."""
    before = model.get_weights()
    for m in (model, loaded):
        m.train_on_batch(IMAGES, TARGETS)
    after = model.get_weights()
    assert all((old != new).any() for old, new in zip(before, after))
    for value, expected in zip(loaded.get_weights(), after, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        *[(form, suffix) for form in ("sequential", "functional") for suffix in (".keras", ".h5", "")],
        ("subclassed", ".keras"),
        ("subclassed", ""),
        ("unregistered", ""),
    ],
)
@pytest.mark.slow
def test_save_and_load(form, suffix, tmp_path):
    model = trained_model(form)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    loaded = tf.keras.models.load_model(path)
    assert_same(model, loaded)
    assert_same_after_a_step(model, loaded)


@pytest.mark.parametrize("form", ["functional", "subclassed"])
@pytest.mark.slow
def test_weights_alone(form, tmp_path):
    model, other = trained_model(form), trained_model(form)
    model.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(other(IMAGES), model(IMAGES))


@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_clone_model(form):
    model = trained_model(form)
    clone = tf.keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(model, clone)
    for m, other in zip(ede_signs(clone), ede_signs(model)):
        assert m.t is not other.t


@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_from_keras_to_hdf5(form, tmp_path):
    model = trained_model(form)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    # The kernel of a Larq layer loaded from .keras is just "kernel", so that HDF5 cannot tell the momenta apart.
    loaded.save(tmp_path / "model.h5", include_optimizer=False)
    assert_same(model, tf.keras.models.load_model(tmp_path / "model.h5"))


def save_and_load(model, path):
    model.save(path)
    return tf.keras.models.load_model(path, compile=False)


def clone(model, path):
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


COPIES = {
    ".keras": lambda model, path: save_and_load(model, path / "model.keras"),
    ".h5": lambda model, path: save_and_load(model, path / "model.h5"),
    "SavedModel": lambda model, path: save_and_load(model, path / "model"),
    "clone": clone,
}


def freeze(layers, kind=tf.keras.layers.Layer):
    for layer in layers:
        if isinstance(layer, kind):
            layer.trainable = False


def freeze_first_dense_of_asd(body):
    freeze([layer.shift.layers[0] for layer in body.layers if getattr(layer, "mode", "") == "dynamic"])


FREEZE = {
    "nothing": lambda body: None,
    "every layer": lambda body: freeze(body.layers),
    "the model": lambda body: freeze([body]),
    "ASD": lambda body: freeze(body.layers, ActivationSelfDistribution),
    "half of ASD": freeze_first_dense_of_asd,
    "shift of ASD": lambda body: freeze(
        [layer.shift for layer in body.layers if isinstance(layer, ActivationSelfDistribution)]
    ),
    "batch normalisation": lambda body: freeze(body.layers, tf.keras.layers.BatchNormalization),
    "convolutions": lambda body: freeze(body.layers, SymmetricQuantConv2D),
    "shifts of WSD": lambda body: freeze(body.submodules, WeightSelfDistribution),
    "first half": lambda body: freeze(body.layers[: len(body.layers) // 2]),
}


def nest(body, nesting):
    head = [tf.keras.layers.Flatten(name="flatten"), tf.keras.layers.Dense(3, name="head")]
    shape = body.input_shape[1:]
    if nesting == "alone":
        return body
    if nesting == "in Sequential":
        return tf.keras.Sequential([tf.keras.Input(shape), body, *head])
    x = inputs = tf.keras.Input(shape)
    for layer in [tf.keras.layers.Rescaling(2.0), body, *head]:
        x = layer(x)
    outer = tf.keras.Model(inputs, x)
    return outer if nesting == "in functional" else tf.keras.Sequential([tf.keras.Input(shape), outer])


@pytest.mark.parametrize(
    ("frozen", "nesting", "how"),
    [
        *[(frozen, "in functional", how) for frozen in FREEZE for how in (".keras", ".h5", "clone")],
        *[
            (frozen, nesting, ".h5")
            for frozen in ("every layer", "ASD")
            for nesting in ("alone", "in Sequential", "twice")
        ],
        *[(frozen, "in functional", "SavedModel") for frozen in ("every layer", "half of ASD")],
    ],
)
@pytest.mark.slow
def test_frozen_layers_stay_frozen(frozen, nesting, how, tmp_path):
    body = functional_model()
    FREEZE[frozen](body)
    model = nest(body, nesting)
    for i, weight in enumerate(model.weights):  # so that no two are alike
        weight.assign(np.random.RandomState(i).standard_normal(weight.shape) / 3 + (0.5 if i % 2 else 0))
    for weight in body.non_trainable_weights:
        if "variance" in weight.name:
            weight.assign(tf.ones_like(weight))
    before = [w.shape for w in model.trainable_weights]
    copy = COPIES[how](model, tmp_path)
    assert [w.shape for w in copy.trainable_weights] == before
    np.testing.assert_array_equal(copy(IMAGES), model(IMAGES))


@pytest.mark.slow
def test_frozen_network_of_the_zoo(tmp_path):
    """Nothing but the head learns after loading."""
    body = ResNet20(include_top=False, input_shape=(8, 8, 3))
    freeze(body.layers)
    copy = save_and_load(nest(body, "in Sequential"), tmp_path / "model.h5")
    copy.compile(SGDL2(0.1, l2=1e-2), "sparse_categorical_crossentropy")
    before = copy.layers[0].get_weights()
    copy.fit(IMAGES, np.arange(8) % 3, verbose=0)
    for old, new in zip(before, copy.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    head = copy.layers[-1].count_params()
    assert lq.models.ModelProfile(copy).weight_count(trainable=True) == head


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model"])
@pytest.mark.slow
def test_optimizer_is_known_after_the_package_is_imported(name, tmp_path):
    model = FORMS["sequential"]()
    model.compile(SGDL2(0.1, momentum=0.9, l2=0.25), "mse")
    model.train_on_batch(IMAGES, TARGETS)
    model.save(tmp_path / name)
    code = (
        "import sys, sdbnn_larq; from tensorflow import keras; print(keras.models.load_model(sys.argv[1]).optimizer.l2)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0.25"


def test_optimizer_of_files_of_earlier_versions():
    from sdbnn_larq.training import optimizers

    assert optimizers.SGDL2 is SGDL2
