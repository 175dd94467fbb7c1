"""Models with models inside, as transfer learning builds them, written out as one graph of layers."""

from typing import Any

import larq as lq
import tensorflow as tf

from sdbnn_larq.layers import ActivationSelfDistribution

# They change images in training only.
AUGMENTATIONS = (
    tf.keras.layers.RandomBrightness,
    tf.keras.layers.RandomContrast,
    tf.keras.layers.RandomFlip,
    tf.keras.layers.RandomRotation,
    tf.keras.layers.RandomTranslation,
    tf.keras.layers.RandomZoom,
)


def flattened(model: tf.keras.Model) -> tf.keras.Model:
    """Writes out the models inside a functional model and leaves out its augmentations.

    # Arguments
        model: functional, with one input and one output.

    # Returns
        The model itself if there is nothing to do, or a copy with layers and weights of its own.

    # Raises
        ValueError: for a model inside that is subclassed, has more than one input or output, is used twice, or takes
            another dtype or rank than it is given.
    """
    if not any(_is_model(layer) or isinstance(layer, AUGMENTATIONS) for layer in model.layers):
        return model
    image = tf.keras.Input(
        batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype, name=model.inputs[0].node.layer.name
    )
    copies = _Copies(image.node.layer.name)
    output = copies.call(model, image)
    with lq.context.quantized_scope(False):
        for layer, copy in copies.pairs.values():
            copy.set_weights(layer.get_weights())
    return tf.keras.Model(image, output, name=model.name)


def _is_model(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is a model and no layer of this package, one of which has layers inside."""
    return isinstance(layer, tf.keras.Model) and not isinstance(layer, ActivationSelfDistribution)


class _Copies:
    """Copies of layers, each with a name that no other has.

    # Attributes
        pairs: layer and copy, by the layer's id.
    """

    def __init__(self, *names: str) -> None:
        self.pairs: dict[int, tuple[tf.keras.layers.Layer, tf.keras.layers.Layer]] = {}
        self._names = set(names)
        self._models: set[int] = set()

    def call(self, model: tf.keras.Model, x: Any) -> Any:
        """Calls the copies of a model's layers as the model calls its layers."""
        self._check(model, x)
        tensors = {str(id(model.inputs[0])): x}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                if _is_model(node.layer):
                    result = self.call(node.layer, tensors[str(node.flat_input_ids[0])])
                elif isinstance(node.layer, AUGMENTATIONS):
                    result = tensors[str(node.flat_input_ids[0])]
                else:
                    uses = {str(id_): [tensors[str(id_)]] * len(node.flat_input_ids) for id_ in node.flat_input_ids}
                    arguments, keywords = node.map_arguments(uses)
                    result = self._copy(node.layer, model.name)(*arguments, **keywords)
                tensors.update(zip(map(str, node.flat_output_ids), tf.nest.flatten(result)))
        return tensors[str(id(model.outputs[0]))]

    def _check(self, model: tf.keras.Model, x: Any) -> None:
        if not getattr(model, "_is_graph_network", False):
            reason = "which is subclassed"
        elif len(model.inputs) != 1 or len(model.outputs) != 1:
            reason = f"with {len(model.inputs)} inputs and {len(model.outputs)} outputs"
        elif id(model) in self._models:
            reason = "which is used twice"
        elif (takes := model.inputs[0]).dtype != x.dtype or takes.shape.rank != x.shape.rank:  # Keras would adapt it
            given, taken = (f"{tensor.dtype.name} of rank {tensor.shape.rank}" for tensor in (x, takes))
            reason = f"which takes {taken} and is given {given}"
        else:
            self._models.add(id(model))
            return
        raise ValueError(
            "A model inside `model` must be functional, have one input, of the dtype and rank that it is given, "
            "and one output, and be used once. "
            f"Received: {model.name!r}, {reason}."
        )

    def _copy(self, layer: tf.keras.layers.Layer, model: str) -> tf.keras.layers.Layer:
        if id(layer) not in self.pairs:
            name, count = layer.name, 1
            while name in self._names:
                name = f"{model}_{layer.name}" if count == 1 else f"{model}_{layer.name}_{count}"
                count += 1
            self._names.add(name)
            self.pairs[id(layer)] = layer, type(layer).from_config({**layer.get_config(), "name": name})
        return self.pairs[id(layer)][1]
