"""Verification of an exported file against its Keras model, block by block on the same inputs.

Whole binary networks cannot be compared number by number: one activation within rounding of 0 flips a bit, and the flip
spreads. So every block gets Keras's own inputs, in Keras and in the runtime. What a 1-bit layer counts are integers,
which have to be the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from sdbnn_larq.convert.graph import Call, calls
from sdbnn_larq.convert.source import Source
from sdbnn_larq.layers.binary import one_bit_part
from sdbnn_larq.preprocessing import normalize

Values = dict[str, np.ndarray]  # by Keras id

TOLERANCE = 1e-4  # of the range of a block's outputs


@dataclass(frozen=True)
class Block:
    """A part of the network with one output, named by its last layer.

    # Attributes
        output: Keras id of its output.
        unclipped: Keras id of what its last layer clips, if it does; rounding is a share of that range.
        signs: whether the runtime gives the output's signs alone, as bits for the next layer.
    """

    name: str
    output: str
    unclipped: str | None = None
    signs: bool = False


@dataclass(frozen=True)
class Report:
    """What an export wrote and how well it agrees with Keras.

    # Attributes
        files: size in bytes of each file, by its path.
        blocks: how many blocks were compared, 0 if the export was not verified.
        exact_layers: how many 1-bit layers had to give the very integers that Keras gives, and did.
        max_difference: the largest difference in any block, as a share of the range of the block's outputs
            (before its last layer clips them).
        top1_agreement: share of the images for which the whole network's largest output is the same; `None` for a
            network without a classifier.
    """

    files: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    exact_layers: int = 0
    max_difference: float | None = None
    top1_agreement: float | None = None


class VerificationError(RuntimeError):
    """Raised if an exported block computes something else than Keras does."""


def keras_values(model: tf.keras.Model, images: np.ndarray, ids: Iterable[str]) -> Values:
    """The values of a functional model's tensors at inference."""
    tensors = {call.output: call.keras_output for call in calls(model)}
    ids = list(ids)
    values = tf.keras.Model(model.inputs, [tensors[id_] for id_ in ids])(images, training=False)
    return {id_: np.asarray(value) for id_, value in zip(ids, tf.nest.flatten(values))}


def _compare(block: Block, expected: np.ndarray, got: np.ndarray, span: float) -> float:
    if expected.shape != got.shape:
        raise VerificationError(f"Block {block.name!r} must have the shape {expected.shape}. Received: {got.shape}.")
    if block.signs:  # rounding turns those of numbers that are nearly 0
        got = np.where((got > 0) == (expected >= 0), expected, -expected)
    difference = float(np.abs(expected - got).max()) / (span or 1.0)
    if not difference <= TOLERANCE:  # NaN too
        raise VerificationError(
            f"Block {block.name!r} must agree with Keras to {TOLERANCE:g} of its range. Received: {difference:.3g}."
        )
    return difference


def _compare_exactly(name: str, expected: np.ndarray, got: np.ndarray) -> None:
    if not np.array_equal(expected, got):
        wrong = int((expected != got).sum()) if expected.shape == got.shape else got.size
        raise VerificationError(
            f"Block {name!r} must agree with Keras exactly. Received: {wrong} of {got.size} values differ."
        )


def verify(
    source: Source,
    blocks: list[Block],
    binary: list[Call],
    run_parts: Callable[[Values], tuple[Values, Values]],
    run_normalization: Callable[[np.ndarray], np.ndarray],
    outputs: np.ndarray,
) -> Report:
    """Compares the normalised pixels, the 1-bit layers and every block, then the whole network's decisions.

    The graph of layers that the blocks are compared with is compared with the user's model first.

    # Arguments
        source: the network and the images.
        blocks: in the order of computation, the whole network's output last.
        binary: the 1-bit layers.
        run_parts: runs all blocks, each on the given values of its inputs; returns their outputs and what the 1-bit
            layers counted, by the Keras id of the block's or layer's output.
        run_normalization: what the file makes of pixels before its first layer; called if the file takes pixels.
        outputs: of the whole network.

    # Raises
        VerificationError: naming the first layer or block that differs.
    """
    if source.uint8:
        pixels = every_pixel_value(source.model.input_shape[1:3])
        _compare_exactly("normalization", normalize(pixels, source.preprocessing), run_normalization(pixels))
    ids = {id_ for block in blocks for id_ in (block.output, block.unclipped) if id_}
    expected = keras_values(source.model, source.keras_images, ids | {call.inputs[0] for call in binary})
    given = source.given_output
    _compare(blocks[-1], given, expected[blocks[-1].output], float(np.ptp(given)))
    got, integers = run_parts(expected)
    for call in binary:
        _compare_exactly(call.name, one_bit_part(call.layer, expected[call.inputs[0]]), integers[call.output])
    differences = [
        _compare(
            block, expected[block.output], got[block.output], float(np.ptp(expected[block.unclipped or block.output]))
        )
        for block in blocks
    ]
    return Report(
        blocks=len(blocks),
        exact_layers=len(binary),
        max_difference=max(differences),
        top1_agreement=top1_agreement(source, outputs),
    )


def every_pixel_value(size: tuple[int, int]) -> np.ndarray:
    """Images in which each channel has each value from 0 to 255."""
    count = -(-256 // (size[0] * size[1]))
    values = np.resize(np.arange(256, dtype=np.uint8), (count, *size, 1))
    return np.ascontiguousarray(np.broadcast_to(values, (count, *size, 3)))


def top1_agreement(source: Source, outputs: np.ndarray) -> float | None:
    """Share of the images to which the exported network gives Keras's class; `None` without a classifier."""
    if outputs.ndim != 2:
        return None
    return float(np.mean(np.argmax(source.given_output, -1) == np.argmax(outputs, -1)))
