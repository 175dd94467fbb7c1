"""The figures of a network's signs, against what NumPy counts of the network's own values."""

import json

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from sign_figures import (
    BOTH,
    IMAGES,
    check,
    convolution,
    difference,
    sign,
    values_before,
    without_rounding,
    wsd_model,
)

from sdbnn_larq import analysis

pytestmark = pytest.mark.usefixtures("memory_of_a_test")


class TestFigures:
    @pytest.fixture(scope="class")
    def model(self):
        return wsd_model()

    @pytest.fixture(scope="class")
    def report(self, model):
        return analysis.signs(model, IMAGES, batch_size=7)

    def test_layers_in_the_order_of_their_calls(self, report):
        assert [layer.name for layer in report.layers] == ["conv", "one_padded", "dense"]
        assert (report.images, report.left_out) == (23, {})

    def test_activations_with_and_without_the_shift(self, model, report):
        place, shifted = report["conv"].activations, values_before(model, "conv")
        check(place.signs, shifted)
        check(place.without_shift, IMAGES)
        turned = (shifted >= 0) != (IMAGES >= 0)
        np.testing.assert_allclose(place.turned, turned.reshape(-1, 3).mean(axis=0))
        assert 0.05 < place.turned.mean() < 0.5

    def test_weights_with_and_without_the_shift(self, model, report):
        layer = model.get_layer("conv")
        latent = np.asarray(layer.kernel)
        alpha = np.asarray(layer.kernel_quantizer.alpha)
        shifted = latent + 3 / (1 + np.exp(-alpha)) * latent.mean(axis=(0, 1, 2))
        by_filter = [np.moveaxis(kernel, -1, 0).reshape(5, -1) for kernel in (shifted, latent)]
        place = report["conv"].weights
        for signs, kernel in zip((place.signs, place.without_shift), by_filter):
            np.testing.assert_allclose(signs.share, (kernel >= 0).mean(axis=1))
            assert signs.difference == pytest.approx(difference(kernel >= 0))
            assert signs.histogram.mean == pytest.approx(kernel.mean(), rel=1e-4)
        np.testing.assert_allclose(place.turned, ((by_filter[0] >= 0) != (by_filter[1] >= 0)).mean(axis=1))
        assert 0.05 < place.turned.mean() < 0.5

    def test_sums_are_integers_before_bias_and_activation(self, model, report):
        layer = model.get_layer("conv")
        with lq.context.quantized_scope(True):
            kernel = sign(tf.convert_to_tensor(layer.kernel))
        sums = convolution(sign(values_before(model, "conv")), kernel, 2)
        bare = convolution(sign(IMAGES), sign(np.asarray(layer.kernel)), 2)
        place = report["conv"].sums
        check(place.signs, sums)
        check(place.without_shift, bare)
        np.testing.assert_allclose(place.turned, ((sums >= 0) != (bare >= 0)).reshape(-1, 5).mean(axis=0))
        assert place.signs.histogram.edges[1] - place.signs.histogram.edges[0] == 1

    def test_padding_of_the_layer(self, model, report):
        layer = model.get_layer("one_padded")
        x = np.pad(sign(values_before(model, "one_padded")), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
        sums = convolution(x, sign(np.asarray(layer.kernel)), 1)[:, 1:-1, 1:-1]
        check(report["one_padded"].sums.signs, sums)

    def test_a_layer_without_shift(self, model, report):
        layer = model.get_layer("dense")
        x = values_before(model, "dense")
        check(report["dense"].activations.signs, x)
        check(report["dense"].sums.signs, sign(x) @ sign(np.asarray(layer.kernel)))
        for _, place in report["dense"].places():
            assert place.without_shift is None
            assert place.turned is None

    def test_outputs_are_what_they_were(self, model):
        before = model.predict(IMAGES, verbose=0)
        analysis.signs(model, IMAGES)
        np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), before)
        assert not any("call" in vars(layer) for layer in model.layers)

    @pytest.mark.parametrize(
        "images",
        [
            IMAGES,
            tf.constant(IMAGES),
            [IMAGES[:3], IMAGES[3:20], IMAGES[20:]],
            (part for part in ((IMAGES[:22], np.zeros(22)), (IMAGES[22:], np.zeros(1)))),
            tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(23))).batch(4),
        ],
        ids=["array", "tensor", "list of batches", "generator with labels", "data set"],
    )
    def test_any_way_to_give_images(self, model, report, images):
        if isinstance(images, list):
            images = iter(images)
        assert without_rounding(analysis.signs(model, images)) == without_rounding(report)

    def test_json(self, report, tmp_path):
        path = tmp_path / "Zeichen é.json"
        report.write_json(path)
        found = json.loads(path.read_text("utf-8"))
        assert found == json.loads(json.dumps(report.to_dict()))
        layer = found["layers"][0]
        assert layer["name"] == "conv"
        histogram = layer["sums"]["signs"]["histogram"]
        assert sum(histogram["counts"]) == 23 * 5 * 4 * 5
        assert histogram["high"] - histogram["low"] == len(histogram["counts"])

    def test_csv_and_table(self, report, tmp_path):
        report.write_csv(tmp_path / "signs.csv")
        header, *rows = (tmp_path / "signs.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["conv", "one_padded", "dense"]
        row = dict(zip(header.split(","), rows[0].split(",")))
        assert float(row["activations_turned"]) == report["conv"].activations.turned.mean()
        assert "one_padded" in report.table()
        assert f"{100 * report['conv'].activations.turned.mean():.1f}" in report.table()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 8.0, 1000.0])
def test_a_histogram_holds_every_value(scale):
    image = tf.keras.Input((2,))
    model = tf.keras.Model(image, lq.layers.QuantDense(1, **BOTH)(image))
    x = np.random.default_rng(2).normal(size=(60, 2)).astype(np.float32)
    x[40:] *= scale  # later batches are wider
    x[50] = -scale, scale  # on an edge
    histogram = analysis.signs(model, x, batch_size=20).layers[0].activations.signs.histogram
    np.testing.assert_array_equal(histogram.counts, np.histogram(x, histogram.edges)[0])
    assert histogram.high <= max(4 * np.abs(x).max(), 1 / 64)


def test_dead_channels():
    image = tf.keras.Input((3,))
    model = tf.keras.Model(image, lq.layers.QuantDense(1, **BOTH)(image))
    signs = analysis.signs(model, np.array([[1, -1, 1], [2, -2, -2]], np.float32)).layers[0].activations.signs
    assert (signs.always.tolist(), signs.never.tolist()) == ([0], [1])
    assert signs.entropy == pytest.approx(1 / 3)
    assert signs.difference == pytest.approx(1 / 3)


@pytest.mark.parametrize("surroundings", ["a terminal of colours", "a notebook"])
def test_table_is_plain_text_anywhere(surroundings, monkeypatch):
    report = analysis.signs(wsd_model(), IMAGES)
    expected = report.table()
    assert "one_padded" in expected
    if surroundings == "a notebook":
        monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    else:
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert report.table() == expected
    assert "\x1b" not in expected
