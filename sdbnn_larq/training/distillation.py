"""Knowledge distillation: a student learns a teacher's probabilities beside, or instead of, the labels."""

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from zookeeper import ComponentField, Field, factory
from zookeeper.core.component import base_getattr
from zookeeper.tf import Preprocessing

from sdbnn_larq.training._outputs import ends_in_softmax, is_softmax
from sdbnn_larq.training._pipeline import TrainingBatches, is_batched
from sdbnn_larq.training.evaluation_data import evaluation_of
from sdbnn_larq.training.experiment import TrainSDBNN
from sdbnn_larq.training.stages import start_from_float_weights
from sdbnn_larq.weights import description_of, read_description


def distillation_loss(teacher_logits: tf.Tensor, student_logits: tf.Tensor, temperature: float) -> tf.Tensor:
    r"""\\(T^2 \, KL(\mathrm{softmax}(z_t / T) \,\|\, \mathrm{softmax}(z_s / T))\\) of each example.

    !!! example
        ```python
        distillation_loss(tf.zeros((2, 10)), tf.zeros((2, 10)), temperature=4.0)  # [0., 0.]
        ```

    # Arguments
        teacher_logits: float `(batch, classes)`; no gradient reaches them.
        student_logits: float `(batch, classes)`.
        temperature: \\(T\\), greater than 0; the factor \\(T^2\\) keeps the gradient's size.

    # Returns
        float `(batch,)`, in nats; float32 for logits of 16 bits.

    # References
        - [Distilling the Knowledge in a Neural Network](https://arxiv.org/abs/1503.02531)
    """
    student_logits = _not_half(student_logits)
    teacher_logits = tf.cast(tf.stop_gradient(teacher_logits), student_logits.dtype)
    teacher = tf.nn.log_softmax(teacher_logits / temperature)
    student = tf.nn.log_softmax(student_logits / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)


def _not_half(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def with_logits(model: tf.keras.Model) -> tf.keras.Model:
    """The model with two outputs: its own, and the logits before its softmax. A model without softmax gives logits.

    !!! example
        ```python
        probabilities, logits = with_logits(model).predict(images)
        ```

    # Arguments
        model: a functional model with one output, of probabilities or of logits.

    # Returns
        A model of the same layers. Logits of a layer that applies its softmax itself are known up to a constant.

    # Raises
        ValueError: if the model is not functional, or if its outputs are neither probabilities of a softmax nor logits.
    """
    _check_functional(model)
    output = model.output
    node = output.node  # the call that gave it, of a layer that may have others
    if isinstance(node.layer, tf.keras.Model):
        output, logits = with_logits(node.layer)(node.keras_inputs[0])
    elif not ends_in_softmax(model):
        logits = output
    elif is_softmax(node.layer):
        logits = node.keras_inputs[0]
    else:
        logits = tf.math.log(tf.maximum(_not_half(output), 1e-30))  # the same, up to a constant that softmax ignores
    return tf.keras.Model(model.inputs, [output, logits])


def _check_functional(model: tf.keras.Model) -> None:
    """Refuses a model whose layers cannot be told from its output."""
    if not getattr(model, "_is_graph_network", False) or len(model.outputs) != 1:
        raise ValueError(f"A model must be functional or sequential, with one output. Received: {model.name}.")


def distil(
    student: tf.keras.Model, teacher: tf.keras.Model | None, temperature: float = 1.0, alpha: float = 1.0
) -> None:
    r"""Makes `student.fit` minimise \\(\alpha\\) · `distillation_loss` + \\((1 - \alpha)\\) · the compiled loss.

    The teacher runs in inference mode on the student's input. It is neither saved with the student nor part of its
    weights. `evaluate`, and `fit`'s validation, still give the compiled loss.

    `compile` ends it: call `distil` after it.

    Without a teacher, `fit` takes its logits with the labels, which costs no time: `student.fit(x, (labels, logits))`.

    !!! example
        ```python
        teacher = zoo.ResNet20(binary=False)
        distil(model, teacher, temperature=4.0, alpha=0.9)  # then `model.fit` as usual
        ```

    # Arguments
        student: a functional model with one output, compiled with one loss, the mean over the batch, whose weight is 1.
        teacher: a functional model with the student's classes, which takes the student's input; or `None`.
        temperature: of both softmaxes, greater than 0 and finite.
        alpha: weight of the teacher, from 0 to 1; at 1 the labels play no part.

    # Raises
        ValueError: if the student is not compiled so, or has a loss of its own (`add_loss`), if the teacher's input or
            classes are not the student's, or if a number is out of its range.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` must be greater than 0 and finite. Received: temperature={temperature}.")
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be from 0 to 1. Received: alpha={alpha}.")
    if getattr(student, "optimizer", None) is None:
        raise ValueError(f"A student must be compiled. Received: {student.name}, which is not.")
    if teacher is not None:
        check_fit(teacher, student)
    compiled = _mean_loss(student)
    step = functools.partial(
        _train_step,
        student,
        with_logits(student),
        with_logits(teacher) if teacher is not None else None,
        getattr(compiled, "call", compiled),
    )
    compile_ = type(student).compile

    def compile_anew(*arguments: Any, **options: Any) -> None:
        del student.train_step, student.compile
        compile_(student, *arguments, **options)

    # Keras's own way, a subclass, would be saved as one.
    student.compile = compile_anew
    student.train_step = functools.partial(step, temperature, alpha)
    student.train_function = None  # that of an earlier `fit`


def _mean_loss(student: tf.keras.Model) -> Any:
    """The compiled loss, if the labels' part of it can be weighed against the teacher's."""
    compiled = tf.keras.losses.get(student.loss)
    reduction = getattr(compiled, "reduction", "auto")
    weighted = student.compiled_loss._user_loss_weights is not None
    if reduction not in ("auto", "sum_over_batch_size") or weighted:
        received = "`loss_weights`" if weighted else f"the reduction {reduction!r}"
        raise ValueError(f"A student's loss must be the mean over the batch, with weight 1. Received: {received}.")
    if any(type(layer).__name__ == "AddLoss" for layer in student._flatten_layers()):
        raise ValueError(f"A student must have no loss but the compiled one. Received: {student.name} with `add_loss`.")
    return compiled


def check_fit(teacher: tf.keras.Model, student: tf.keras.Model) -> None:
    """Refuses a teacher of other inputs or outputs than the student's."""
    _check_functional(teacher)
    if teacher.output_shape[-1] != student.output_shape[-1]:
        raise ValueError(
            f"A teacher must have the student's {student.output_shape[-1]} classes. "
            f"Received: {teacher.name} with {teacher.output_shape[-1]}."
        )
    if len(teacher.inputs) != 1 or not tf.TensorShape(teacher.input_shape).is_compatible_with(student.input_shape):
        raise ValueError(
            f"A teacher must take the student's input, {student.input_shape[1:]}. "
            f"Received: {teacher.name} with {', '.join(str(x.shape[1:]) for x in teacher.inputs)}."
        )


def _train_step(student, student_logits, teacher_logits, label_loss, temperature, alpha, data):
    """As `tf.keras.Model.train_step`."""
    x, y, sample_weight = tf.keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("A network that a teacher teaches must be trained without weights of samples or classes.")
    if teacher_logits is not None:
        _, taught = teacher_logits(x, training=False)
    elif isinstance(y, tuple) and len(y) == 2 and y[1].shape[1:] == student.output_shape[1:]:
        y, taught = y
    else:
        raise ValueError(
            f"Without a teacher, targets must be labels and logits of {student.output_shape[-1]} classes. "
            f"Received: {y}."
        )
    with tf.GradientTape() as tape:
        y_pred, learned = student_logits(x, training=True)
        difference = distillation_loss(taught, learned, temperature) - label_loss(y, y_pred)
        # The compiled loss also keeps the metric `loss`, and scales for distributed training.
        loss = student.compiled_loss(
            y, y_pred, regularization_losses=[*student.losses, alpha * tf.reduce_mean(difference)]
        )
    student.optimizer.minimize(loss, student.trainable_variables, tape=tape)
    return student.compute_metrics(x, y, y_pred, None)


@factory
class SavedModel:
    """A model that Keras saved, e.g. the `model.keras` of a run: `teacher=SavedModel teacher.path=FILE`.

    What it takes and which classes it knows is read from the `weights.safetensors` that a run leaves beside it.
    """

    path: str = Field()

    def build(self) -> tf.keras.models.Model:
        if not tf.io.gfile.exists(self.path):
            raise ValueError(f"`path` must be a file that `model.save` wrote. Received: {self.path!r}.")
        try:
            model = tf.keras.models.load_model(self.path, compile=False)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                "`path` must be an undamaged file that `model.save` wrote, of layers that Keras and this package know. "
                f"Received: {self.path!r}: {str(error).strip().partition(chr(10))[0]}"
            ) from error
        beside = Path(self.path).with_name("weights.safetensors")
        if beside.exists():
            model.description = read_description(beside)
        return model


class TrainDistilled(TrainSDBNN):
    """Trains like `TrainSDBNN`, with a teacher, and optionally from the weights of a first stage."""

    teacher: tf.keras.models.Model = ComponentField()
    temperature: float = Field(1.0)
    alpha: float = Field(1.0)  # weight of the teacher; the labels have the rest
    ask_once: bool = Field(False)  # what the teacher says of each image as it is, and not of each augmented image
    float_weights: Optional[str] = Field(None)  # file of the same network, trained with `model.binary_weights=False`

    def check(self) -> None:
        super().check()
        if getattr(base_getattr(self, "teacher"), "weights", "") is None:
            raise ValueError("`teacher.weights` must be a file of trained weights. Received: None.")
        if self.ask_once and self.soft_targets:
            raise ValueError(
                "`ask_once` must go without `mixup`, `cutmix` and `label_smoothing`. Received: one of them."
            )
        if self.ask_once and not is_batched(self.preprocessing):
            raise ValueError(
                f"`ask_once` needs images that are kept in memory. Received: {type(self.preprocessing).__name__}."
            )

    def prepare(self) -> None:
        super().prepare()
        check_fit(self.teacher, self.model)
        self.data["checksum_of_teacher"] = checksum_of_weights(self.teacher)
        check_knowledge(self.teacher, self.dataset.class_names, self.preprocessing)
        with self.model.distribute_strategy.scope():
            if self.float_weights:
                start_from_float_weights(self.model, self.float_weights)
            distil(self.model, None if self.ask_once else self.teacher, self.temperature, self.alpha)
        if self.ask_once:
            add_logits(self.train_batches, self.teacher)


def checksum_of_weights(model: tf.keras.Model) -> str:
    """Of all weights in their order."""
    checksum = hashlib.sha256()
    for weight in model.get_weights():
        checksum.update(np.ascontiguousarray(weight).tobytes())
    return checksum.hexdigest()[:16]


def check_knowledge(teacher: tf.keras.Model, class_names: Sequence[str], preprocessing: Preprocessing) -> None:
    """Refuses a teacher whose description names other classes, or another order, or pixels of another scale."""
    description = description_of(teacher)
    names = description.class_names if description else None
    if names and tuple(names) != tuple(class_names):
        raise ValueError(
            f"A teacher must know the data set's classes, {', '.join(class_names)}. Received: {', '.join(names)}."
        )
    given, taken = evaluation_of(preprocessing), description.preprocessing if description else None
    if given and taken and (given.mean, given.std) != (taken.mean, taken.std):
        raise ValueError(
            f"A teacher must take pixels of mean {given.mean} and deviation {given.std}. "
            f"Received: mean {taken.mean}, deviation {taken.std}."
        )


def add_logits(batches: TrainingBatches, teacher: tf.keras.Model, images: int = 250) -> None:
    """Makes targets of the training batches `(labels, logits)`, with what the teacher says of images as they are.

    # Arguments
        batches: kept in memory.
        teacher: takes the images as the batches' preprocessing evaluates them.
        images: that are shown to the teacher at a time.
    """
    ask = tf.function(functools.partial(with_logits(teacher), training=False), reduce_retracing=True)
    logits = []
    for first in range(0, batches.count, images):
        examples = {name: values[first : first + images] for name, values in batches.arrays.items()}
        x, _ = batches.preprocessing(examples, training=False)
        logits.append(ask(x)[1])
    batches.arrays["logits"] = tf.concat(logits, axis=0)
    batches.preprocessing = Taught(batches.preprocessing)


@dataclass(frozen=True)
class Taught:
    """A preprocessing of batches that passes a teacher's logits on, beside the labels."""

    preprocessing: Preprocessing
    batched = True

    def __call__(self, data: dict[str, tf.Tensor], training: bool) -> tuple[tf.Tensor, Any]:
        images, labels = self.preprocessing(data, training=training)
        return images, (labels, data["logits"])
