"""Draws the building blocks for `docs/building-blocks.md`, each from the package's own layer and its gradient.

    python docs/site/plot_building_blocks.py

writes `docs/images/*.svg`. `tests/test_site.py` says when they are no longer what the package computes.
"""

from collections.abc import Callable
from pathlib import Path

import sdbnn_larq  # Keras 2, before Larq

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[1] / "images"
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "sdbnn_larq",
}
X = np.linspace(-2, 2, 401, dtype=np.float32)


def curve(function: Callable[[tf.Tensor], tf.Tensor], x: np.ndarray = X) -> tuple[np.ndarray, np.ndarray]:
    """Values and gradients of an element-wise function.

    # Arguments
        function: from float32 `(n,)` to float32 `(n,)`.
        x: float32 `(n,)`.
    """
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(inputs)
    return outputs.numpy(), tape.gradient(outputs, inputs).numpy()


def two_axes(title: str) -> tuple[Figure, plt.Axes, plt.Axes]:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.7), layout="constrained")
    left.set(title="value", xlabel=title)
    right.set(title="gradient in training", xlabel=title)
    return figure, left, right


def ede_sign() -> Figure:
    """Sign, and the error decay estimator from its first epochs to its last."""
    figure, left, right = two_axes("x")
    for t in (0.5, 1.0, 3.0):
        values, gradients = curve(sdbnn_larq.quantizers.EDESign(t))
        right.plot(X, gradients, label=f"t = {t:g}")
    left.plot(X, values, color="black")
    right.legend()
    return figure


def wsd_sign() -> Figure:
    """The sign of a weight in a channel whose other weights have a positive mean; the factor is large, to be seen."""
    figure, left, right = two_axes("w")
    for mean in (-1.0, 0.0, 1.0):
        quantizer = sdbnn_larq.quantizers.WeightSelfDistribution(scale=1.0)

        def shifted(x, quantizer=quantizer, mean=mean):
            others = tf.fill([999, len(x)], mean * 1000 / 999)  # they decide the mean of the 1,000 weights of a channel
            return quantizer(tf.concat([x[None], others], axis=0))[0]

        values, gradients = curve(shifted)
        left.plot(X, values, label=f"mean {mean:+g}" if mean else "mean 0")
        right.plot(X, gradients)
    left.legend(loc="lower right")
    return figure


def activation_self_distribution() -> Figure:
    """The sign of a channel's activations, shifted by σ(β) for three values of β."""
    figure, left, right = two_axes("a")
    sign = sdbnn_larq.quantizers.EDESign(2.0)
    for beta in (-8.0, 0.0, 2.0):
        layer = sdbnn_larq.layers.ActivationSelfDistribution(mode="static")
        layer.build((None, 1))
        layer.shift.set_weights([np.full(1, beta, np.float32)])
        values, gradients = curve(lambda x, layer=layer: sign(layer(x[:, None]))[:, 0])
        shift = float(tf.sigmoid(beta))
        left.plot(X, values, label=f"shift {shift:.2f}")
        right.plot(X, gradients, label=f"shift {shift:.2f}")
    right.legend()
    return figure


def hard_tanh() -> Figure:
    """Hard tanh."""
    figure, left, right = two_axes("x")
    values, gradients = curve(sdbnn_larq.layers.HardTanh())
    left.plot(X, values, color="black")
    right.plot(X, gradients, color="black")
    return figure


PLOTS = (ede_sign, wsd_sign, activation_self_distribution, hard_tanh)


def main(folder: Path = IMAGES) -> None:
    folder.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for plot in PLOTS:
            figure = plot()
            figure.savefig(folder / f"{plot.__name__}.svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)


if __name__ == "__main__":
    main()
