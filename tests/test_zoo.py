import functools
import logging
from concurrent.futures import ThreadPoolExecutor

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from zookeeper import ComponentField, component, configure

from sdbnn_larq import zoo
from sdbnn_larq._errors import is_foreseen
from sdbnn_larq.layers import ActivationSelfDistribution, HardTanh
from sdbnn_larq.quantizers import EDESign, WeightSelfDistribution
from sdbnn_larq.weights import save_packed
from sdbnn_larq.zoo.resnet20 import ResNet20Factory

pytestmark = pytest.mark.usefixtures("memory_of_a_test")

# Parameters; size of the images; classes; last feature map of a 64×64 image; self-distribution convolutions
ZOO = {
    "CifarResNet18": (11_320_650, 32, 10, (8, 8, 512), 16),
    "ResNet18": (11_980_840, 224, 1000, (2, 2, 512), 16),
    "ResNet20": (274_074, 32, 10, (16, 16, 64), 18),
    "ResNet34": (22_377_000, 224, 1000, (2, 2, 512), 32),
    "VGGSmall": (4_715_018, 32, 10, (8, 8, 512), 5),
}
every_model = pytest.mark.parametrize("name", ZOO)
one_of_each_kind = pytest.mark.parametrize("name", ["ResNet18", "VGGSmall"])
default_model = functools.cache(zoo.get_model)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def sd_convolutions(model):
    return [layer for layer in layers_of(model, lq.layers.QuantConv2D) if layer.input_quantizer]


def trainable_parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def kernel_parameters(layers):
    return sum(int(np.prod(layer.kernel.shape)) for layer in layers)


@every_model
@pytest.mark.slow
def test_default(name):
    parameters, size, classes, _, convolutions = ZOO[name]
    model = default_model(name)
    assert trainable_parameters(model) == parameters
    assert model.input_shape == (None, size, size, 3)
    predictions = model(np.random.RandomState(0).standard_normal((1, size, size, 3))).numpy()
    assert predictions.shape == (1, classes)
    np.testing.assert_allclose(predictions.sum(), 1, rtol=1e-5)
    assert len(sd_convolutions(model)) == len(layers_of(model, ActivationSelfDistribution)) == convolutions


@every_model
@pytest.mark.slow
def test_summary(name):
    """Every 1-bit kernel is counted with 1 bit, and its MACs with 1 bit, those of α not at all."""
    model = default_model(name)
    profile = lq.models.ModelProfile(model)
    binary = sd_convolutions(model)
    assert profile.weight_count(1) == kernel_parameters(binary)
    macs = 0
    for layer in binary:
        (row,) = [p for p in profile.layer_profiles if p.name == layer.name]
        macs += int(np.prod(layer.output_shape[1:3])) * kernel_parameters([layer])
        assert row.unique_op_precisions == [1]
        assert (row.weight_count(1), row.weight_count(32)) == (kernel_parameters([layer]), layer.filters)
    assert profile.op_count("mac", 1) == macs


def test_summary_of_resnet20(capsys):
    model = default_model("ResNet20")
    profile = lq.models.ModelProfile(model)
    assert profile.op_count("mac", 1) == 40_108_032
    asd = 2 * (7 * 16 * 1 + 6 * 32 * 2 + 5 * 64 * 4)
    assert profile.op_count("mac", 32) == 442_368 + 640 + asd
    lq.models.summary(model)
    rows = [line for line in capsys.readouterr().out.splitlines() if "_conv" in line and "_asd" not in line]
    assert len(rows) == 18
    assert not any("?" in row for row in rows)


@every_model
@pytest.mark.slow
def test_without_top(name):
    model = zoo.get_model(name, include_top=False)
    assert model.input_shape == (None, None, None, 3)
    assert model(np.zeros((1, 64, 64, 3), np.float32)).shape == (1, *ZOO[name][3])


@one_of_each_kind
def test_input_tensor_and_logits(name):
    inputs = tf.keras.Input((32, 32, 3))
    model = zoo.get_model(name, input_tensor=inputs, input_shape=(32, 32, 3), num_classes=7)
    assert model.inputs[0] is inputs
    logits = zoo.get_model(name, input_shape=(32, 32, 3), num_classes=7, classifier_activation=None)
    assert logits.layers[-1].name == "logits"
    logits.set_weights(model.get_weights())
    images = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(model(images), tf.nn.softmax(logits(images)), rtol=1e-5)


@one_of_each_kind
@pytest.mark.parametrize("self_distribution", ["activation", "weight", None])
@pytest.mark.slow
def test_self_distribution(name, self_distribution):
    model = zoo.get_model(name, self_distribution=self_distribution)
    convolutions = sd_convolutions(model)
    with_asd, with_wsd = self_distribution == "activation", self_distribution == "weight"
    assert len(convolutions) == ZOO[name][4]
    assert len(layers_of(model, ActivationSelfDistribution)) == with_asd * len(convolutions)
    assert all(isinstance(c.kernel_quantizer, WeightSelfDistribution) == with_wsd for c in convolutions)
    assert all(c.kernel_quantizer.precision == c.input_quantizer.precision == 1 for c in convolutions)
    both = default_model(name)
    removed = 0 if with_wsd else sum(c.filters for c in convolutions)
    if not with_asd:
        removed += sum(layer.count_params() for layer in layers_of(both, ActivationSelfDistribution))
    assert trainable_parameters(model) == ZOO[name][0] - removed


@one_of_each_kind
def test_float_weights(name):
    model = zoo.get_model(name, binary_weights=False)
    convolutions = sd_convolutions(model)
    assert len(convolutions) == len(layers_of(model, ActivationSelfDistribution)) == ZOO[name][4]
    assert all(c.kernel_quantizer is None for c in convolutions)
    assert lq.models.ModelProfile(model).weight_count(1) == 0
    assert trainable_parameters(model) == ZOO[name][0] - sum(c.filters for c in convolutions)


@every_model
def test_float_twin(name):
    model, twin = default_model(name), zoo.get_model(name, binary=False)
    assert not sd_convolutions(twin)
    assert not [m for m in twin.submodules if isinstance(m, (lq.quantizers.Quantizer, ActivationSelfDistribution))]
    left_out = (ActivationSelfDistribution, tf.keras.layers.InputLayer)
    shapes = [
        {layer.name: layer.output_shape for layer in m.layers if not isinstance(layer, left_out)} for m in (model, twin)
    ]
    assert shapes[0] == shapes[1]
    kernels = [kernel_parameters(layers_of(m, (tf.keras.layers.Conv2D, tf.keras.layers.Dense))) for m in (model, twin)]
    assert kernels[0] == kernels[1]


def test_recipes_of_the_authors():
    """EDE on CIFAR-10; ApproxSign and the straight-through estimator on ImageNet; hard tanh against PReLU."""
    cifar, imagenet = default_model("ResNet20"), default_model("ResNet18")
    assert isinstance(sd_convolutions(cifar)[0].input_quantizer, EDESign)
    assert isinstance(sd_convolutions(cifar)[0].kernel_quantizer.quantizer, EDESign)
    assert isinstance(sd_convolutions(imagenet)[0].input_quantizer, lq.quantizers.ApproxSign)
    assert isinstance(sd_convolutions(imagenet)[0].kernel_quantizer.quantizer, lq.quantizers.SteSign)
    assert len(layers_of(cifar, HardTanh)) == 19
    assert len(layers_of(imagenet, tf.keras.layers.PReLU)) == 16


def test_small_branches_keep_sums_in_the_range_of_hard_tanh():
    def saturated(gamma):
        tf.keras.utils.set_random_seed(0)
        factory = ResNet20Factory()
        configure(factory, {"num_classes": 10, "branch_gamma": gamma})
        model = factory.build()
        sums = tf.keras.Model(model.input, [layer.output for layer in layers_of(model, tf.keras.layers.Add)])
        images = np.random.RandomState(0).standard_normal((64, 32, 32, 3))
        return np.mean([np.mean(np.abs(values) > 1) for values in sums(images, training=True)])

    assert saturated(1.0) > 0.4
    assert saturated(0.1) < 0.1


class TestWeights:
    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    @pytest.mark.slow
    def test_round_trip(self, suffix, tmp_path):
        model, path = default_model("ResNet20"), tmp_path / f"weights{suffix}"
        model.save(path) if suffix == ".keras" else model.save_weights(path)
        for weights in (str(path), path):
            for loaded, expected in zip(zoo.ResNet20(weights=weights).get_weights(), model.get_weights(), strict=True):
                np.testing.assert_array_equal(loaded, expected)

    @pytest.mark.parametrize("weights", ["no/such/file.h5", "imagenet", ".", 3])
    @pytest.mark.slow
    def test_no_file(self, weights):
        with pytest.raises(ValueError, match=f"must be a packed file .*Received: .*{weights}"):
            zoo.ResNet20(weights=weights)

    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    @pytest.mark.slow
    def test_garbage(self, suffix, tmp_path):
        path = tmp_path / f"garbage{suffix}"
        path.write_bytes(b"garbage")
        with pytest.raises(ValueError, match=f"weights of resnet20 .*Received: .*{path.name}.*does not fit"):
            zoo.ResNet20(weights=str(path))

    @pytest.mark.parametrize(
        ("suffix", "other"),
        [(".h5", {"num_classes": 7}), (".h5", {"self_distribution": None}), (".keras", {"self_distribution": None})],
    )
    @pytest.mark.slow
    def test_other_architecture(self, suffix, other, tmp_path):
        path = tmp_path / f"other{suffix}"
        model = zoo.ResNet20(**other)
        model.save(path) if suffix == ".keras" else model.save_weights(path)
        message = "does not fit" if suffix == ".h5" else "with layer1_0_conv1.kernel_quantizer=EDESign"
        with pytest.raises(ValueError, match=rf"`weights` must be .*Received: .*{path.name}.*{message}"):
            zoo.ResNet20(weights=str(path))


def test_numbers_of_numpy(tmp_path):
    labels = np.array([0, 3, 6])
    model = zoo.ResNet20(num_classes=labels.max() + 1, wsd_scale=np.float32(0.25), binary=np.bool_(True))
    assert model.output_shape == (None, 7)
    assert model.description.arguments == {"num_classes": 7, "wsd_scale": 0.25}
    save_packed(model, tmp_path / "numbers.safetensors")
    assert zoo.load(tmp_path / "numbers.safetensors").output_shape == (None, 7)
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at least 1"):
        zoo.ResNet20(num_classes=labels.min())


def test_component_of_an_experiment():
    @component
    class Experiment:
        model: tf.keras.Model = ComponentField(ResNet20Factory)

    experiment = Experiment()
    options = {"num_classes": 7, "self_distribution": "weight", "filters": 8, "classifier_activation": None}
    configure(experiment, {f"model.{name}": value for name, value in options.items()})
    assert experiment.model.output_shape == (None, 7)
    assert experiment.model.layers[-1].name == "logits"
    assert experiment.model.get_layer("conv1").filters == 8
    assert not layers_of(experiment.model, ActivationSelfDistribution)


class TestRegistry:
    def test_list_models(self):
        assert zoo.list_models() == list(ZOO)
        assert zoo.list_models("*18*") == zoo.list_models("*NET18") == ["CifarResNet18", "ResNet18"]
        assert zoo.list_models("nothing") == []

    @pytest.mark.parametrize(("name", "hint"), [("Resnet18", "Did you mean ResNet18?"), ("xyz", "name='xyz'.")])
    def test_unknown_name(self, name, hint):
        with pytest.raises(ValueError, match="CifarResNet18, ResNet18, ResNet20, ResNet34, VGGSmall") as error:
            zoo.get_model(name)
        assert str(error.value).endswith(hint)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("self_distribution", "all"),
        ("classifier_activation", "relu"),
        ("input_shape", (None, None, 3)),
        ("input_shape", (32, 32)),
        ("input_shape", 32),
        ("input_shape", (0, 32, 3)),
        ("input_shape", (32, 32.5, 3)),
        ("input_shape", (32, 32, None)),
        ("input_tensor", 5),
        ("num_classes", 0),
        ("filters", 0),
        ("filters", True),
        ("asd_reduction", 0),
        ("wsd_scale", -0.1),
        ("branch_gamma", -0.1),
    ],
)
def test_bad_option(option, value):
    with pytest.raises(ValueError, match=f"(?s)`{option}`.*{value if isinstance(value, str) else ''}") as error:
        zoo.ResNet20(**{option: value})
    assert is_foreseen(error.value)


def test_keyword_only():
    with pytest.raises(TypeError):
        zoo.ResNet20((32, 32, 3))


def test_building_in_threads_leaves_larqs_logger_as_it_was(caplog):
    """Only warnings about the zoo's own layers are held back."""
    log = logging.getLogger("larq.layers_base")
    before = (log.level, list(log.filters))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: zoo.ResNet20(), range(8)))
    assert (log.level, log.filters) == before
    assert not caplog.records
    lq.layers.QuantDense(2, kernel_quantizer="ste_sign")
    assert "kernel_constraint" in caplog.text
