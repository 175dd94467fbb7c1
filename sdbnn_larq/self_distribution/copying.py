"""Copies of models, layer by layer, some with another layer in front."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import larq as lq
import tensorflow as tf
from tf_keras.src.engine import functional  # what `tf.keras.models.clone_model` is made of

from sdbnn_larq.layers.binary import QUANTIZERS


def is_network(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is a functional or sequential model, whose layers can be seen."""
    return isinstance(layer, tf.keras.Model) and getattr(layer, "_is_graph_network", False)


def nodes(model: tf.keras.Model) -> Iterator[Any]:
    """Keras's nodes, one for each use of a layer, in the order of computation; of models inside, those of their layers.

    A layer of a model that is used twice is used twice.
    """
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if is_network(node.layer):
                yield from nodes(node.layer)
            elif not node.is_input:
                yield node


def copied_quantizer(quantizer: Any) -> Any:
    """A quantizer of the same configuration and without state; a function is its own copy."""
    if not isinstance(quantizer, tf.keras.layers.Layer):
        return quantizer
    copy = _from_configuration(quantizer, {})
    if metrics := getattr(quantizer, "_custom_metrics", None):
        copy._custom_metrics = metrics  # Larq leaves them out of the configuration
    return copy


def copied_layer(layer: tf.keras.layers.Layer, **changes: Any) -> tf.keras.layers.Layer:
    """A layer of the same configuration, without the weights.

    # Arguments
        layer: any but a functional or sequential model.
        **changes: entries of its configuration that shall differ.

    # Raises
        ValueError: if Keras cannot copy it or one of its quantizers.
    """
    quantizers = {name: copied_quantizer(getattr(layer, name, None)) for name in QUANTIZERS if name not in changes}
    return _from_configuration(layer, {**quantizers, **changes})


def _from_configuration(layer: tf.keras.layers.Layer, changes: Mapping[str, Any]) -> tf.keras.layers.Layer:
    try:
        config = layer.get_config()
        return type(layer).from_config({**config, **{name: changes[name] for name in changes if name in config}})
    except Exception as error:  # layers of strangers raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            "`model` must be made of layers and quantizers that `get_config` and `from_config` can copy. "
            f"Received: {layer.name!r} ({type(layer).__name__}): {reason}"
        ) from error


def _assign(layer: tf.keras.layers.Layer, copy: tf.keras.layers.Layer, added: Collection[int]) -> None:
    """Gives a copy the weights of its original.

    # Arguments
        layer: the original.
        copy: of the same configuration, which does not say what is frozen inside a layer.
        added: the `id` of layers inside the copy that the original does not have.
    """
    parts = list(copy._flatten_layers())
    for part, same in zip(layer._flatten_layers(), [part for part in parts if id(part) not in added], strict=True):
        same._trainable = part._trainable
    new = {id(weight) for part in parts if id(part) in added for weight in part._trainable_weights}
    # Frozen alike, both list their weights in the same order.
    kept = [weight for weight in copy.weights if id(weight) not in new]
    tf.keras.backend.batch_set_value(list(zip(kept, layer.get_weights(), strict=True)))


class Copies:
    """Copies of a model's layers; what was one layer stays one.

    # Arguments
        copy: makes the copy of a layer.
        in_front: makes a layer for the input of another; `None` for one that stays as it is.
    """

    def __init__(
        self,
        copy: Callable[[tf.keras.layers.Layer], tf.keras.layers.Layer],
        in_front: Callable[[tf.keras.layers.Layer], tf.keras.layers.Layer | None],
    ) -> None:
        self._copy = copy
        self._in_front = in_front
        self._pairs: dict[int, tuple[tf.keras.layers.Layer, tf.keras.layers.Layer]] = {}

    def model(self, model: tf.keras.Model) -> tf.keras.Model:
        """The copy of a functional or sequential model, its weights drawn anew.

        # Raises
            ValueError: for a subclass whose constructor takes something else than Keras's.
        """
        if type(model) is tf.keras.Sequential:
            copy = self._sequential(model)
        elif functional.has_functional_like_constructor(type(model)):
            copy = self._functional(model)
        else:
            raise ValueError(
                "`model` and models inside it must be made from inputs and outputs, or be a Sequential. "
                f"Received: {model.name!r} ({type(model).__name__}), whose class has a constructor of its own."
            )
        copy._trainable = model._trainable  # the property would set that of its layers, too
        return copy

    def assign_weights(self, added: Collection[tf.keras.layers.Layer]) -> None:
        """Gives all copies the weights of what they were made from, and freezes what was frozen.

        # Arguments
            added: layers inside the copies that their originals do not have.

        # Raises
            ValueError: for a layer whose copy has other weights.
        """
        new = {id(part) for part in added}
        with lq.context.quantized_scope(False):
            for layer, copy in self._pairs.values():
                if is_network(layer):
                    continue
                try:
                    _assign(layer, copy, new)
                    copy.finalize_state()  # what Keras's `Normalization` computes from its weights
                except Exception as error:  # state of strangers, and of Keras's text layers, is of many kinds
                    raise ValueError(
                        "`model` must be made of layers whose weights follow from their configuration. "
                        f"Received: {layer.name!r} ({type(layer).__name__}), whose copy does not take them."
                    ) from error

    def _layer(self, layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if isinstance(layer, tf.keras.layers.InputLayer):
            return tf.keras.layers.InputLayer(**layer.get_config())
        if id(layer) not in self._pairs:
            copy = self.model(layer) if is_network(layer) else self._copy(layer)
            self._pairs[id(layer)] = layer, copy
        return self._pairs[id(layer)][1]

    def _sequential(self, model: tf.keras.Sequential) -> tf.keras.Sequential:
        layers = []
        for layer in model._flatten_layers(include_self=False, recursive=False):  # the input layer too, if it has one
            layers += [front] if (front := self._in_front(layer)) else []
            layers.append(self._layer(layer))
        copy = tf.keras.Sequential(layers, name=model.name)
        if not copy.built:
            copy.build(model.inputs[0].shape)
        return copy

    def _functional(self, model: tf.keras.Model) -> tf.keras.Model:
        created = {}

        def create(layer: tf.keras.layers.Layer) -> dict:
            created[layer.name] = self._layer(layer)
            return {}

        config = functional.get_network_config(model, create)
        entries = []
        for layer, entry in zip(model.layers, config["layers"]):
            if front := self._in_front(layer):
                created[front.name] = front
                (((*source, arguments),),) = entry["inbound_nodes"]
                entries.append({"name": front.name, "inbound_nodes": [[[*source, {}]]]})
                entry["inbound_nodes"] = [[[front.name, 0, 0, arguments]]]
            entries.append(entry)
        config["layers"] = entries
        inputs, outputs, created = functional.reconstruct_from_config(config, created_layers=created)
        copy = type(model)(inputs, outputs, name=model.name)
        functional.connect_ancillary_layers(copy, created)  # what `model.add_loss` added
        return copy
