"""Mixed precision: exact sums, close gradients, and nothing but training changed."""

import json
from pathlib import Path

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from sdbnn_larq import zoo
from sdbnn_larq.cli import main
from sdbnn_larq.layers import ActivationSelfDistribution, SymmetricQuantConv2D, mixed_products, set_precision
from sdbnn_larq.layers.binary import is_binary
from sdbnn_larq.quantizers import EDESign, WeightSelfDistribution
from sdbnn_larq.training import _precision

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

# At a size that is quick; channels, and with them the sums, are those of the architecture.
NETWORKS = {
    "ResNet20": {},
    "VGGSmall": {},
    "CifarResNet18": {},
    "ResNet18": {"input_shape": (64, 64, 3), "num_classes": 10},
    "ResNet34": {"input_shape": (64, 64, 3), "num_classes": 10},
}


def slow(name):
    return pytest.param(name, marks=[pytest.mark.slow] * (name != "ResNet20"))


every_network = pytest.mark.parametrize("name", [slow(name) for name in NETWORKS])


def trained_like(model):
    """Kernels whose signs agree within a channel, and running statistics, as training leaves them."""
    draw = np.random.RandomState(0)
    for layer in model.layers:
        if isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer:
            shape = layer.kernel.shape
            layer.kernel.latent_variable.assign(draw.normal(draw.normal(0, 0.3, shape[2:]), 1, shape).astype("float32"))
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.beta.assign(draw.normal(0, 0.3, layer.beta.shape))
    return model


def one_bit_layers(model):
    return [layer for layer in model.layers if is_binary(layer)]


@every_network
def test_sums_are_exact(name):
    """Integer by integer, as far as bfloat16 holds them; what it does not hold is its nearest value."""
    model = trained_like(zoo.get_model(name, **NETWORKS[name]))
    images = tf.random.stateless_normal((4, *model.input_shape[1:]), (1, 2))
    inputs = {layer.name: layer.input for layer in one_bit_layers(model)}
    activations = dict(zip(inputs, tf.keras.Model(model.inputs, list(inputs.values()))(images, training=True)))
    assert set_precision(model, "mixed") == list(inputs)
    for layer in one_bit_layers(model):
        expected = layer(activations[layer.name], training=True).numpy()
        with mixed_products():
            sums = layer(activations[layer.name], training=True).numpy()
        assert sums.dtype == np.float32
        np.testing.assert_array_equal(expected, np.round(expected))
        exact = np.abs(expected) <= 256
        np.testing.assert_array_equal(sums[exact], expected[exact])
        np.testing.assert_array_equal(sums, tf.cast(tf.cast(expected, tf.bfloat16), tf.float32))
        assert len(np.unique(expected)) > 10


def gradients_of(model, images, precision):
    set_precision(model, precision)
    with tf.GradientTape() as tape, mixed_products():
        loss = tf.keras.losses.sparse_categorical_crossentropy([0, 1, 2, 3], model(images, training=True))
    return [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables)]


@every_network
def test_gradients_are_close(name):
    """Within what eight significant bits leave, after all layers."""
    tf.keras.utils.set_random_seed(0)
    model = trained_like(zoo.get_model(name, **NETWORKS[name]))
    images = tf.random.stateless_normal((4, *model.input_shape[1:]), (1, 2))
    exact, rounded = (gradients_of(model, images, precision) for precision in ("float32", "mixed"))
    assert any((a != b).any() for a, b in zip(exact, rounded))
    squeezes = []
    for i, variable in enumerate(model.trainable_variables):
        assert rounded[i].dtype == np.float32
        if "alpha_bias" in variable.name:
            # A sum over a channel's weights in which almost everything cancels: the size of what is summed counts.
            kernel = [v.name for v in model.trainable_variables].index(kernel_with(model, variable).name)
            mean = model.trainable_variables[kernel].numpy().mean((0, 1, 2))
            size = 0.01 * 0.25 * np.abs(mean) * np.abs(exact[kernel]).sum((0, 1, 2))
            assert np.linalg.norm(exact[i] - rounded[i]) <= 0.03 * np.linalg.norm(size), variable.name
        elif "asd_squeeze" in variable.name:
            squeezes.append(i)
        else:
            assert np.linalg.norm(exact[i] - rounded[i]) <= 0.03 * np.linalg.norm(exact[i]), variable.name
    # A squeeze layer may have two units that are not cut off, whose gradient over four images cancels by chance (up to
    # 3.6 % of error in one layer, by machine and initial weights); all of a network together do not (0.4 to 0.6 %).
    exact, rounded = (np.concatenate([gradients[i].ravel() for i in squeezes]) for gradients in (exact, rounded))
    assert np.linalg.norm(exact - rounded) <= 0.01 * np.linalg.norm(exact)


def kernel_with(model, alpha):
    (layer,) = (layer for layer in one_bit_layers(model) if layer.kernel_quantizer.alpha is alpha)
    return layer.kernel


def larq_network(pad_values=1.0, input_quantizer="ste_sign", kernel_quantizer="ste_sign", groups=1):
    """A network of Larq's own layers, as its users write them."""
    one_bit = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "kernel_constraint": "weight_clip",
    }
    inner = tf.keras.Sequential(
        [
            tf.keras.layers.Reshape((16, 8)),
            lq.layers.QuantConv1D(8, 3, name="line", padding="causal", **one_bit),
            tf.keras.layers.Flatten(),
        ]
    )
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            lq.layers.QuantConv2D(
                16, 3, use_bias=False, kernel_quantizer=kernel_quantizer, kernel_constraint="weight_clip", name="first"
            ),
            tf.keras.layers.BatchNormalization(),
            lq.layers.QuantConv2D(
                8, 3, 2, "same", pad_values=pad_values, groups=groups, activation="relu", name="plane", **one_bit
            ),
            tf.keras.layers.UpSampling2D(),
            tf.keras.layers.Cropping2D(1),
            tf.keras.layers.Reshape((4, 4, 8)),
            lq.layers.QuantDepthwiseConv2D(3, padding="same", depthwise_quantizer=kernel_quantizer, name="depthwise"),
            inner,
            lq.layers.QuantDense(10, activation="softmax", name="dense", **one_bit),
        ]
    )


def test_layers_of_larq():
    model = larq_network()
    assert sorted(set_precision(model, "mixed")) == ["dense", "line", "plane"]
    x = tf.random.stateless_normal((4, 8, 8, 3), (1, 2))
    with mixed_products():
        mixed = model(x, training=True)
    np.testing.assert_array_equal(mixed, model(x, training=True))  # sums below 257
    assert set_precision(model, "float32") == []
    exact = gradients_of(model, x, "float32")
    rounded = gradients_of(model, x, "mixed")
    assert any((a != b).any() for a, b in zip(exact, rounded))
    for a, b in zip(exact, rounded):
        assert np.linalg.norm(a - b) <= 0.03 * np.linalg.norm(a)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_quantizer": "magnitude_aware_sign"},
        {"kernel_quantizer": "ste_tern"},
        {"kernel_quantizer": "dorefa_quantizer"},
        {"kernel_quantizer": None},
        {"input_quantizer": "ste_heaviside"},
        {"input_quantizer": "ste_tern"},
        {"input_quantizer": "dorefa_quantizer"},
        {"input_quantizer": None},
    ],
)
def test_layers_whose_operands_are_not_signs_are_left(arguments):
    assert set_precision(larq_network(**arguments), "mixed") == []


def test_padding_and_groups_that_are_left():
    assert "plane" not in set_precision(larq_network(pad_values=0.3), "mixed")
    assert "plane" not in set_precision(larq_network(groups=2), "mixed")


def sd_network():
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            SymmetricQuantConv2D(16, 3, use_bias=False),
            tf.keras.layers.BatchNormalization(),
            ActivationSelfDistribution(4),
            SymmetricQuantConv2D(16, 3, 2, input_quantizer="ede_sign", kernel_quantizer="wsd_sign", use_bias=False),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(10, "softmax"),
        ]
    )


@pytest.mark.parametrize("make", [larq_network, sd_network])
def test_only_training_changes(make, tmp_path):
    def trained(*precisions):
        tf.keras.utils.set_random_seed(1)
        model = make()
        for precision in precisions:
            set_precision(model, precision)
        model.compile(tf.keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        x = tf.random.stateless_normal((32, *model.input_shape[1:]), (1, 2))
        before = model.predict(x, verbose=0)
        model.fit(x, np.arange(32) % 10, batch_size=16, verbose=0)
        return model, x, before

    plain, x, before = trained()
    mixed, _, mixed_before = trained("mixed")
    twice, _, _ = trained("mixed", "mixed")
    back, _, _ = trained("mixed", "float32")
    np.testing.assert_array_equal(mixed_before, before)
    for a, b, c, d in zip(*(model.get_weights() for model in (plain, mixed, twice, back))):
        np.testing.assert_array_equal(a, d)
        np.testing.assert_array_equal(b, c)
    assert any((a != b).any() for a, b in zip(plain.get_weights(), mixed.get_weights()))
    expected = mixed.predict(x, verbose=0)
    for name in ("model.keras", "saved"):
        mixed.save(tmp_path / name)
        np.testing.assert_array_equal(tf.keras.models.load_model(tmp_path / name).predict(x, verbose=0), expected)
    mixed.save_weights(tmp_path / "weights.h5")
    plain.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(plain.predict(x, verbose=0), expected)


def test_switching_after_fit():
    model = larq_network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = tf.random.stateless_normal((16, 8, 8, 3), (1, 2)), np.arange(16) % 10
    model.fit(x, y, verbose=0)
    casts = []
    for precision in ("mixed", "float32", "mixed"):
        set_precision(model, precision)
        model.fit(x, y, verbose=0)
        graph = model.train_function.get_concrete_function(iter(tf.data.Dataset.from_tensors((x, y)))).graph
        functions = [function.graph for function in graph._functions.values()] if hasattr(graph, "_functions") else []
        operations = [op for part in (graph, *functions) for op in part.get_operations()]
        casts.append(any(op.type == "Conv2D" and op.outputs[0].dtype == tf.bfloat16 for op in operations))
    assert casts == [True, False, True]


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`precision` must be one of .* Received: precision='half'"):
        set_precision(larq_network(), "half")
    unbuilt = tf.keras.Sequential([lq.layers.QuantDense(3, input_quantizer="ste_sign", kernel_quantizer="ste_sign")])
    with pytest.raises(ValueError, match=r"`model` must be built.* Received: quant_dense.*, not built"):
        set_precision(unbuilt, "mixed")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        EDESign,
        WeightSelfDistribution,
        ActivationSelfDistribution,
        lambda: SymmetricQuantConv2D(4, 3, input_quantizer="approx_sign"),
        lambda: SymmetricQuantConv2D(4, 3, kernel_quantizer="ste_sign"),
        lambda: lq.layers.QuantDense(4, kernel_quantizer="wsd_sign"),
        zoo.ResNet20,
        lambda: zoo.ResNet18(self_distribution=None),
    ],
)
def test_a_policy_that_rounds_before_the_sign_is_refused(make, policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        # Keras makes a TypeError of what goes wrong inside a string alias.
        with pytest.raises((ValueError, TypeError), match=rf"\w+ must compute in .* Received: dtype policy '{policy}'"):
            make()
        zoo.ResNet20(binary=False)  # nothing there takes a sign
    finally:
        tf.keras.mixed_precision.set_global_policy(None)  # that of `floatx`, and not a fixed one


def train(*fields):
    return CliRunner().invoke(main, ["train", str(Path(__file__).parent / "tiny_recipe.py"), *map(str, fields)])


def test_recipe_records_its_precision(tmp_path, monkeypatch):
    run = tmp_path / "run"
    fields = "epochs=1", "checkpoint_steps=0", f"output_dir={run}"

    def recorded():
        return json.loads((run / "environment.json").read_text())["precision"]

    monkeypatch.setattr(_precision, "has_bfloat16", lambda: True)
    result = train(*fields, "precision=half")
    assert (result.exit_code, run.exists()) == (2, False)
    assert result.stderr.startswith("Error: `precision` must be one of")
    assert train(*fields, "precision=mixed").exit_code == 0
    assert recorded() == "mixed"
    assert json.loads((run / "config.json").read_text())["precision"] == "mixed"

    (run / "report.json").unlink()
    monkeypatch.setattr(_precision, "has_bfloat16", lambda: False)
    result = train(*fields, "precision=mixed")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "must go on with it, and this machine has no bfloat16" in result.stderr
    assert recorded() == "mixed"


def test_recipe_on_a_machine_without_bfloat16(tmp_path, monkeypatch):
    run = tmp_path / "run"
    fields = "epochs=1", "checkpoint_steps=0", f"output_dir={run}", "precision=mixed"
    monkeypatch.setattr(_precision, "has_bfloat16", lambda: False)
    result = train(*fields)
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if "bfloat16" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Trains in float32 and not in mixed: this machine has no bfloat16")

    (run / "report.json").unlink()
    monkeypatch.setattr(_precision, "has_bfloat16", lambda: True)
    assert train(*fields).exit_code == 0
    assert json.loads((run / "environment.json").read_text())["precision"] == "float32"
