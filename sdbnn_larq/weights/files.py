"""Loading of a weights file into a model that is built."""

from pathlib import Path

import tensorflow as tf

from sdbnn_larq.weights._stored_layers import check_layers
from sdbnn_larq.weights.packed import load_packed


def load_file(model: tf.keras.Model, path: Path) -> None:
    """Loads a packed file or one of Keras weights into a model of the same structure.

    # Arguments
        model: the model to fill.
        path: a packed file (`.safetensors`), or weights that Keras saved (`.h5`, `.keras`).

    # Raises
        ValueError: if the file is damaged, holds other weights, or says that its layers compute something else.
    """
    if path.suffix == ".safetensors":
        load_packed(model, path)
        return
    check_layers(model, path)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"`weights` must be a file with the weights of {model.name} ({len(model.weights)} arrays, "
            f"{model.count_params():,} parameters). Received: {str(path)!r}, which does not fit: {reason}"
        ) from error
