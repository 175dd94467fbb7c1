"""A Keras model as a list of calls of its layers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from sdbnn_larq.convert.flatten import flattened


@dataclass(frozen=True)
class Call:
    """One use of a layer in a model; tensors are known by their Keras ids."""

    name: str  # the layer's, numbered from its second use on; no other call has it
    layer: tf.keras.layers.Layer
    inputs: tuple[str, ...]
    output: str
    keras_output: Any
    place: int  # among the layer's uses in the model, in the order in which they were made


def functional(model: tf.keras.Model) -> tf.keras.Model:
    """The model as one graph of layers, without models inside, with one image-shaped input and one output.

    # Raises
        ValueError: if it cannot be one.
    """
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(f"`model` must be a functional or built sequential model. Received: {model!r}.")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        counts = f"{len(model.inputs)} and {len(model.outputs)}"
        raise ValueError(f"`model` must have one input and one output. Received: {counts}.")
    if not model.inputs[0].shape[1:].is_fully_defined():
        raise ValueError(f"`model` must have an input of fixed size. Received: shape {model.inputs[0].shape}.")
    if not model.inputs[0].dtype.is_floating:
        raise ValueError(
            "`model` must take floats; with `uint8`, its file takes pixels. "
            f"Received: a model that takes {model.inputs[0].dtype.name}."
        )
    if training := sorted({node.layer.name for node in _nodes(model) if _is_training(node)}):
        raise ValueError(
            f"Layers must not be called with `training=True`: a file only infers. Received: {', '.join(training)}."
        )
    return flattened(tf.keras.Model(model.inputs, model.outputs, name=model.name))


def _nodes(model: tf.keras.Model) -> Iterator[Any]:
    """The uses of layers in a functional model and in those inside it."""
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            yield node
            if getattr(node.layer, "_is_graph_network", False):
                yield from _nodes(node.layer)


def _is_training(node: Any) -> bool:
    """Whether a layer is called in training mode and computes something else there than at inference."""
    passed = "training", node.call_args, node.call_kwargs
    spec = node.layer._call_spec
    if not spec.arg_was_passed(*passed, inputs_in_args=True):
        return False
    return bool(spec.get_arg_value(*passed, inputs_in_args=True)) and _differs_in_training(node.layer)


def _differs_in_training(layer: tf.keras.layers.Layer) -> bool:
    if getattr(layer, "_is_graph_network", False):
        return any(_differs_in_training(node.layer) for node in _nodes(layer))
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        return layer.trainable
    return "training" in layer._call_spec.arg_names and getattr(layer, "rate", None) != 0


def calls(model: tf.keras.Model) -> list[Call]:
    """The uses of a functional model's layers, in an order in which they can be computed."""
    result = []
    uses: Counter = Counter()
    inside = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    taken = {layer.name for layer in model.layers}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            uses[node.layer.name] += 1
            name = node.layer.name
            if uses[name] > 1:
                count = uses[name]
                while (name := f"{node.layer.name}_{count}") in taken:  # it may be the name of another layer
                    count += 1
                taken.add(name)
            if len(node.flat_output_ids) != 1:
                raise ValueError(f"A layer must have one output. Received: {name!r} ({type(node.layer).__name__}).")
            inputs = () if node.is_input else tuple(str(id_) for id_ in node.flat_input_ids)
            output = tf.nest.flatten(node.outputs)[0]
            place = [id(other) for other in node.layer.inbound_nodes if id(other) in inside].index(id(node))
            result.append(Call(name, node.layer, inputs, str(node.flat_output_ids[0]), output, place))
    return result


def output_call(model: tf.keras.Model, all_calls: list[Call]) -> Call:
    """The use of a layer that makes the model's output."""
    return next(call for call in all_calls if call.keras_output is model.outputs[0])
