"""Verification of an exported file against its Keras model, block by block on the same inputs.

Whole binary networks cannot be compared number by number: one activation within rounding of 0 flips a bit, and the flip
spreads. So every block gets Keras's own inputs, in Keras and in the runtime.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from sdbnn_larq.convert._graph import Call, calls

TOLERANCE = 1e-4  # of the range of a block's outputs


@dataclass(frozen=True)
class Block:
    """A part of the network with one output, named by its last layer.

    # Attributes
        output: Keras id of its output.
        exact: whether it computes with integers only, and so must agree to the last bit.
        unclipped: Keras id of what its last layer clips, if it does; rounding is a share of that range.
    """

    name: str
    output: str
    exact: bool = False
    unclipped: str | None = None


@dataclass(frozen=True)
class Report:
    """What an export wrote and how well it agrees with Keras.

    # Attributes
        files: size in bytes of each file, by its path.
        blocks: how many blocks were compared, 0 if the export was not verified.
        exact_blocks: how many of them had to agree exactly, and did.
        max_difference: the largest difference in any other block, as a share of the range of the block's outputs
            (before its last layer clips them).
        top1_agreement: share of the images for which the whole network's largest output is the same.
    """

    files: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    exact_blocks: int = 0
    max_difference: float | None = None
    top1_agreement: float | None = None


class VerificationError(RuntimeError):
    """An exported block computes something else than Keras does."""


def example_images(model: tf.keras.Model, images: np.ndarray | None, multiple: int = 1) -> np.ndarray:
    """The given images, or random ones, repeated up to a whole number of batches.

    # Raises
        ValueError: if the images do not fit the model.
    """
    shape = tuple(model.input_shape[1:])
    if images is None:
        images = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    images = np.asarray(images, np.float32)
    if images.shape[1:] != shape or not len(images):
        raise ValueError(f"`images` must have the shape (n, {', '.join(map(str, shape))}). Received: {images.shape}.")
    return np.resize(images, (-(-len(images) // multiple) * multiple, *shape))


def keras_values(model: tf.keras.Model, images: np.ndarray, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """The values of a functional model's tensors at inference."""
    tensors = {call.output: call.keras_output for call in calls(model)}
    ids = list(ids)
    values = tf.keras.Model(model.inputs, [tensors[id_] for id_ in ids])(images, training=False)
    return {id_: np.asarray(value) for id_, value in zip(ids, values)}


def _compare(block: Block, expected: np.ndarray, got: np.ndarray, span: float) -> float:
    if expected.shape != got.shape:
        raise VerificationError(f"Block {block.name!r} must have the shape {expected.shape}. Received: {got.shape}.")
    difference = float(np.abs(expected - got).max()) / (span or 1.0)
    if block.exact and not np.array_equal(expected, got):
        wrong = int((expected != got).sum())
        raise VerificationError(
            f"Block {block.name!r} must agree with Keras exactly. Received: {wrong} of {got.size} values differ."
        )
    if not difference <= TOLERANCE:  # NaN too
        raise VerificationError(
            f"Block {block.name!r} must agree with Keras to {TOLERANCE:g} of its range. Received: {difference:.3g}."
        )
    return difference


def verify(
    model: tf.keras.Model,
    images: np.ndarray,
    blocks: list[Block],
    run_blocks: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
    run: Callable[[np.ndarray], np.ndarray],
) -> Report:
    """Compares every block, then the whole network's decisions.

    # Arguments
        model: the functional model.
        images: its input.
        blocks: in the order of computation, the whole network's output last.
        run_blocks: runs all blocks, each on the given values of its inputs, and returns their outputs.
        run: runs the whole network.

    # Raises
        VerificationError: naming the first block that differs.
    """
    ids = {id_ for block in blocks for id_ in (block.output, block.unclipped) if id_}
    expected = keras_values(model, images, ids)
    got = run_blocks(expected)
    differences = [
        _compare(
            block, expected[block.output], got[block.output], float(np.ptp(expected[block.unclipped or block.output]))
        )
        for block in blocks
    ]
    decisions = [np.argmax(logits, -1) for logits in (expected[blocks[-1].output], run(images))]
    return Report(
        blocks=len(blocks),
        exact_blocks=sum(block.exact for block in blocks),
        max_difference=max(differences),
        top1_agreement=float(np.mean(decisions[0] == decisions[1])),
    )


def output_call(model: tf.keras.Model, all_calls: list[Call]) -> Call:
    """The use of a layer that makes the model's output."""
    return next(call for call in all_calls if call.keras_output is model.outputs[0])
