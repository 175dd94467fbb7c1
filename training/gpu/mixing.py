"""Mixup and CutMix, as `sdbnn_larq.training.mixing` has them: the first image's partner is the last."""

import torch


def mixed(images, targets, mixup=0.0, cutmix=0.0):
    """A batch with mixup or CutMix, either half the time where both are asked for.

    # Arguments
        images: float `(N, channels, height, width)`.
        targets: the probability of each class, float `(N, classes)`.
        mixup: α of Beta(α, α), from which each image's share is drawn; 0 is none.
        cutmix: the same of the area that stays.
    """
    if not (mixup or cutmix):
        return images, targets
    if cutmix and (not mixup or torch.rand(()) < 0.5):
        kept = rectangles(images, cutmix)
        of_target = kept.mean((1, 2, 3))[:, None]
    else:
        of_target = shares(images, mixup)[:, None]
        kept = of_target[:, :, None, None]
    images = kept * images + (1 - kept) * images.flip(0)
    return images.contiguous(memory_format=torch.channels_last), of_target * targets + (1 - of_target) * targets.flip(0)


def rectangles(images, alpha):
    """`(N, 1, height, width)`: 0 where an image's partner shows, 1 elsewhere."""
    side = (1 - shares(images, alpha)).sqrt()  # of the rectangle, as a share of the image's

    def inside(pixels):
        middle = torch.rand(len(images), device=images.device)
        low, high = (((middle + sign * side / 2) * pixels).round()[:, None] for sign in (-1, 1))
        place = torch.arange(pixels, device=images.device)
        return (low <= place) & (place < high)

    rows, columns = (inside(pixels) for pixels in images.shape[2:])
    return 1 - (rows[:, None, :, None] & columns[:, None, None, :]).to(images.dtype)


def shares(images, alpha):
    """One draw from Beta(α, α) for each image."""
    of_each = torch.full((2, len(images)), alpha, device=images.device)
    return torch.distributions.Beta(*of_each, validate_args=False).sample()  # a check would wait for the GPU
