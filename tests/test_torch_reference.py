"""Every network of the zoo against the authors' in PyTorch, in float64 so that rounding flips no sign."""

import numpy as np
import pytest
import tensorflow as tf
from authors_weights import fill, floatx, to_torch, weights_by_key
from golden_rule import golden_input

from sdbnn_larq import convert, quantizers, zoo
from sdbnn_larq.weights.names import named_weights

torch = pytest.importorskip("torch")
from torch_reference import torch_model  # noqa: E402

pytestmark = pytest.mark.slow

SIZES = {"VGGSmall": 32, "ResNet20": 32, "CifarResNet18": 32, "ResNet18": 64, "ResNet34": 64}


def both_models(name: str, **kwargs):
    """The PyTorch network, the zoo's with the same parameters, and images as each of them takes them."""
    reference = torch_model(name, k=4.0, t=0.25, **kwargs).double()
    size = SIZES[name]
    with floatx("float64"):
        model = zoo.get_model(name, input_shape=(size, size, 3), classifier_activation=None, **kwargs)
    fill(model, {key: value.numpy() for key, value in reference.state_dict().items()})
    images = golden_input(size).astype("float64")
    return reference, model, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), images


@pytest.mark.parametrize("name", SIZES)
def test_network(name):
    reference, model, torch_images, images = both_models(name)
    pairs = dict(weights_by_key(model, reference.state_dict()))
    latent = [getattr(w, "latent_variable", w) for w in model.weights]
    assert {id(w) for w in pairs.values()} == {id(w) for w in latent}
    with torch.no_grad():
        expected = reference(torch_images).numpy()
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-5, atol=1e-6)

    if name == "ResNet34":
        return  # ResNet18 has the same gradients, in less time
    for module in model.submodules:
        if isinstance(module, quantizers.EDESign):
            module.k.assign(4.0)
            module.t.assign(0.25)
    torch.nn.functional.cross_entropy(reference.train()(torch_images), torch.arange(4)).backward()
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(4), logits))
    parameters = dict(reference.named_parameters())
    gradients = tape.gradient(loss, {key: pairs[key] for key in parameters})
    for key, parameter in parameters.items():
        expected = parameter.grad.numpy()
        gradient = to_torch(gradients[key].numpy(), expected.shape, model.name)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max(), err_msg=key)


@pytest.mark.parametrize("name", ["ResNet20", "ResNet18"])
def test_float_weights(name):
    reference, model, torch_images, images = both_models(name, binary_weights=False)
    with torch.no_grad():
        expected = reference(torch_images).numpy()
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-5, atol=1e-6)


def test_teacher():
    reference = torch_model("FloatResNet34").double()
    with floatx("float64"):
        model = zoo.FloatResNet34(input_shape=(64, 64, 3), classifier_activation=None)
    convert.load_torch_checkpoint(model, reference.state_dict())
    images = golden_input(64).astype("float64")
    with torch.no_grad():
        expected = reference(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    # The importer reads float32.
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in SIZES), ("ResNet18", {"binary_weights": False})],
    ids=str,
)
def test_import_and_export(name, options):
    """The importer puts each entry where `authors_weights` finds it, and what is exported PyTorch loads."""
    reference = torch_model(name, **options)
    state = {key: value.clone() for key, value in reference.state_dict().items()}
    model = zoo.get_model(name, **options)
    for weight in named_weights(model).values():
        weight.assign(np.full(weight.shape, np.nan))
    convert.load_torch_checkpoint(model, {f"module.{key}": value for key, value in state.items()})
    for key, weight in weights_by_key(model, state):
        back = to_torch(weight.numpy(), tuple(state[key].shape), model.name)
        np.testing.assert_array_equal(back, state[key], err_msg=key)
    exported = {key: torch.from_numpy(value) for key, value in convert.to_torch_state_dict(model).items()}
    for parameter in reference.parameters():
        torch.nn.init.zeros_(parameter)
    reference.load_state_dict(exported)
    for key, value in reference.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, state[key]), key
