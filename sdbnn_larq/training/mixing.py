"""Soft labels beyond the paper: mixup, CutMix and label smoothing, of a batch at a time."""

from dataclasses import dataclass

import tensorflow as tf

Batch = tuple[tf.Tensor, tf.Tensor]

SMALLEST_ALPHA = 0.01


def mixup(images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor) -> Batch:
    r"""Adds to each image and its target, \\(\lambda\\) of it, \\(1 - \lambda\\) of its partner's.

    The first image's partner is the last, and so on; \\(\lambda\\) is drawn from Beta(α, α) for each image.

    !!! example
        ```python
        mixup(images, tf.one_hot(labels, 10), alpha=0.2, seed=(0, 1))
        ```

    # Arguments
        images: float `(batch, height, width, channels)`.
        targets: float `(batch, classes)`.
        alpha: at least 0.01; the smaller, the nearer is \\(\lambda\\) to 0 or 1.
        seed: integers `(2,)`; the same seed gives the same mixture.

    # References
        - [mixup: Beyond Empirical Risk Minimization](https://arxiv.org/abs/1710.09412)
    """
    share = _beta(tf.shape(images)[0], alpha, seed)
    return _mix(images, share[:, None, None, None]), _mix(targets, share[:, None])


def cutmix(images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor) -> Batch:
    r"""Puts a rectangle of its partner into each image; the targets are mixed by the areas.

    Arguments are those of `mixup`: \\(\lambda\\) is the area that stays, but for what lies beyond the border.

    !!! example
        ```python
        cutmix(images, tf.one_hot(labels, 10), alpha=1.0, seed=(0, 1))
        ```

    # References
        - [CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
            Features](https://arxiv.org/abs/1905.04899)
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    of_share, of_place = tf.unstack(tf.random.split(seed, 2))
    side = tf.sqrt(1 - _beta(batch, alpha, of_share))  # of the rectangle, as a share of the image's
    centre = tf.random.stateless_uniform((2, batch), of_place)

    def inside(pixels, middle):
        size = tf.cast(pixels, tf.float32)
        low, high = tf.round((middle - side / 2) * size), tf.round((middle + side / 2) * size)
        place = tf.range(size)
        return (low[:, None] <= place) & (place < high[:, None])

    cut = inside(height, centre[0])[:, :, None] & inside(width, centre[1])[:, None, :]
    kept = 1 - tf.cast(cut, images.dtype)
    return _mix(images, kept[..., None]), _mix(targets, tf.reduce_mean(kept, axis=(1, 2))[:, None])


def _beta(count: tf.Tensor, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws from Beta(α, α), of two gamma variables; in float64, as small ones would be 0 in float32.

    Below `SMALLEST_ALPHA` both may be float64's smallest number, and their share 0.5.
    """
    first, second = tf.unstack(
        tf.random.stateless_gamma((2, count), seed, tf.constant(alpha, tf.float64), dtype=tf.float64)
    )
    return tf.cast(first / (first + second), tf.float32)


def _mix(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * values + (1 - share) * values[::-1]


@dataclass(frozen=True)
class SoftTargets:
    """Labels as probabilities: smoothed and mixed in training, plain otherwise. A batch has mixup or CutMix.

    # Arguments
        num_classes: labels are from 0 to this minus 1.
        mixup: α of `mixup`, at least 0.01, or 0 for none.
        cutmix: α of `cutmix`, likewise.
        label_smoothing: share of the probability that all classes have alike, from 0 to below 1.

    # Raises
        ValueError: if a number is out of its range.
    """

    num_classes: int
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if value != 0 and not value >= SMALLEST_ALPHA:
                raise ValueError(f"`{name}` must be 0 or at least {SMALLEST_ALPHA}. Received: {name}={value}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` must be from 0 to below 1. Received: label_smoothing={self.label_smoothing}."
            )

    def __bool__(self) -> bool:
        return bool(self.mixup or self.cutmix or self.label_smoothing)

    def train(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> Batch:
        targets = (1 - self.label_smoothing) * self._one_hot(labels)
        targets += self.label_smoothing / self.num_classes
        of_mixture, of_method = tf.unstack(tf.random.split(seed, 2))
        if self.mixup and self.cutmix:
            return tf.cond(
                tf.random.stateless_uniform((), of_method) < 0.5,
                lambda: mixup(images, targets, self.mixup, of_mixture),
                lambda: cutmix(images, targets, self.cutmix, of_mixture),
            )
        if self.mixup:
            return mixup(images, targets, self.mixup, of_mixture)
        if self.cutmix:
            return cutmix(images, targets, self.cutmix, of_mixture)
        return images, targets

    def evaluate(self, images: tf.Tensor, labels: tf.Tensor) -> Batch:
        return images, self._one_hot(labels)

    def _one_hot(self, labels: tf.Tensor) -> tf.Tensor:
        labels = tf.convert_to_tensor(labels)
        if not labels.dtype.is_integer:
            raise ValueError(f"Labels must be integers. Received: {labels.dtype.name}.")
        return tf.one_hot(tf.cast(labels, tf.int64), self.num_classes)  # `tf.one_hot` does not take all integer types
