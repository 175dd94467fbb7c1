"""The description of a network: which one it is, what it takes and what its outputs mean."""

import dataclasses
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from larq_zoo.training.data import MEAN_RGB, STDDEV_RGB

RESAMPLES = ("bilinear", "bicubic")


def _must(holds: Any, name: str, what: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"`{name}` of a description must be {what}. Received: {name}={value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_string(value: Any) -> bool:
    """Whether it is text that UTF-8 can hold: a file name may not be."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


@dataclass(frozen=True)
class ImagePreprocessing:
    """How pixels become the input of a network; `sdbnn_larq.preprocessing` does it.

    The central part of an upright RGB image is cut out and resized to the network's input shape, as uint8. Then each
    channel's mean is subtracted, and the result divided by its deviation.

    # Arguments
        crop: share of the largest central crop with the input's aspect ratio that is kept, from above 0 to 1.
        resample: filter of the resizing, `"bilinear"` or `"bicubic"`, as Pillow computes it.
        mean: of red, green and blue, on the scale from 0 to 255.
        std: deviation of red, green and blue, on the same scale.

    # Raises
        ValueError: if an argument is not as described.
    """

    crop: float
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            fits = isinstance(values, (tuple, list)) and len(values) == 3 and all(map(_is_number, values))
            _must(fits, name, "three numbers", values)
            object.__setattr__(self, name, tuple(map(float, values)))
        _must(min(self.std) > 0, "std", "greater than 0", self.std)
        _must(_is_number(self.crop) and 0 < self.crop <= 1, "crop", "from above 0 to 1", self.crop)
        _must(self.resample in RESAMPLES, "resample", f"one of {', '.join(RESAMPLES)}", self.resample)


# CIFAR-10 and images of one's own: all that fits into the input's aspect ratio.
SMALL_IMAGES = ImagePreprocessing(1.0, "bilinear", tuple(MEAN_RGB), tuple(STDDEV_RGB))
# ImageNet's custom: the central 224 of 256 pixels.
PHOTOGRAPHS = ImagePreprocessing(0.875, "bicubic", tuple(MEAN_RGB), tuple(STDDEV_RGB))


@dataclass(frozen=True)
class NetworkDescription:
    """Which network it is, what it takes, what its outputs mean and where it comes from.

    Training writes it into the packed file; published weights and exported files carry it; a model built from weights
    has it. `zoo.describe` reads it.

    !!! example
        ```python
        description = zoo.describe("ResNet20/cifar10")
        description.class_names[3]  # "cat"
        ```

    # Arguments
        architecture: a name of `zoo.list_models()`.
        arguments: the architecture's keyword arguments that differ from their defaults, and `num_classes`.
        input_shape: height, width and channels.
        preprocessing: from pixels to the input; `None` if it is not known, as for a network that nobody trained.
        class_names: in the order of the outputs; `None` if they are not known.
        provenance: what is known of the training: task, data, report, seeds, licence.

    # Raises
        ValueError: if an argument is not as described.
    """

    architecture: str
    arguments: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    preprocessing: ImagePreprocessing | None = None
    class_names: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _must(_is_string(self.architecture) and self.architecture, "architecture", "a name", self.architecture)
        for name in ("arguments", "provenance"):
            value = getattr(self, name)
            fits = isinstance(value, Mapping) and all(map(_is_string, value))
            _must(fits, name, "a mapping from names", value)
        for name, value in self.arguments.items():
            fits = value is None or isinstance(value, bool) or _is_string(value) or _is_number(value)
            _must(fits, name, "a string, a number, a truth value or None", value)
        shape = self.input_shape
        fits = isinstance(shape, (tuple, list)) and len(shape) == 3
        fits = fits and all(isinstance(n, int) and n > 0 for n in shape)
        _must(fits, "input_shape", "height, width and channels", shape)
        object.__setattr__(self, "input_shape", tuple(shape))
        fits = self.preprocessing is None or isinstance(self.preprocessing, ImagePreprocessing)
        _must(fits, "preprocessing", "an ImagePreprocessing or None", self.preprocessing)
        if (names := self.class_names) is not None:
            _must(not isinstance(names, str) and all(map(_is_string, names)), "class_names", "UTF-8 strings", names)
            object.__setattr__(self, "class_names", tuple(names))
            count = self.arguments.get("num_classes", len(names))
            _must(len(names) == count, "class_names", f"{count} names, one for each class", f"{len(names)} names")

    def replace(self, **changes: Any) -> "NetworkDescription":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON represents them; `from_json` reads them back."""
        return {
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "input_shape": list(self.input_shape),
            "preprocessing": None if self.preprocessing is None else dataclasses.asdict(self.preprocessing),
            "class_names": None if self.class_names is None else list(self.class_names),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "NetworkDescription":
        """A description from what `to_json` gave.

        # Raises
            ValueError: naming the first field that is missing or not as described.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, Mapping) or fields.keys() != known:
            received = ", ".join(sorted(map(str, fields))) if isinstance(fields, Mapping) else type(fields).__name__
            raise ValueError(f"A description must have the fields {', '.join(sorted(known))}. Received: {received}.")
        preprocessing = fields["preprocessing"]
        if preprocessing is not None:
            try:
                preprocessing = ImagePreprocessing(**preprocessing)
            except TypeError as error:
                names = ", ".join(field.name for field in dataclasses.fields(ImagePreprocessing))
                raise ValueError(
                    f"`preprocessing` of a description must have the fields {names}. Received: {preprocessing!r}."
                ) from error
        return cls(**{**fields, "preprocessing": preprocessing})


def description_of(model: Any) -> NetworkDescription | None:
    """The description that a model carries; `None` if its attribute `description` is something else."""
    found = getattr(model, "description", None)
    return found if isinstance(found, NetworkDescription) else None
