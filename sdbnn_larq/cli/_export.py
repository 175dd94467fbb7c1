"""`sdbnn export` and `sdbnn inspect`: files for the device, and what is in them."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import tensorflow as tf
from terminaltables import AsciiTable

from sdbnn_larq import convert, zoo
from sdbnn_larq.training.datasets import read_image
from sdbnn_larq.training.preprocessing import normalize

EXPORTS: dict[str, Callable[..., convert.Report]] = {"lce": convert.to_lce, "openvino": convert.to_openvino}


def export(
    name: str,
    target: str,
    *,
    weights: str,
    output: str,
    uint8: bool,
    int8: bool,
    batch: int | None,
    no_top: bool,
    allow_float: bool,
    no_verify: bool,
    images: tuple[str, ...],
) -> None:
    """Writes a network for a runtime and prints how well it agrees with Keras."""
    if int8 and target != "openvino":
        raise ValueError("--int8 must go with --to openvino. Received: --to lce.")
    model = zoo.load(weights, name)
    names = zoo.describe(model).class_names
    model = without_top(name, model) if no_top else model
    try:
        report = EXPORTS[target](
            model,
            output,
            uint8=uint8,
            class_names=None if no_top else names,
            allow_float=allow_float,
            verify=not no_verify,
            images=read_images(images, model, uint8) if images else None,
            **({"batch_size": batch} if batch else {}),
            **({"int8": True} if int8 else {}),
        )
    except convert.VerificationError as error:
        raise click.ClickException(str(error)) from error
    for path, size in report.files.items():
        print(f"{path}: {size:,} bytes")
    if not no_verify:
        print(
            f"{name} in {target} and Keras: {report.exact_layers} 1-bit layers agree exactly, {report.blocks} blocks "
            f"to {report.max_difference:.1e} of their range"
        )
    if report.top1_agreement is not None:
        on = "the given images" if images else "4 images of noise"
        print(f"Top-1 agreement on {on}: {report.top1_agreement:.1%}")


def without_top(name: str, model: tf.keras.Model) -> tf.keras.Model:
    """The feature extractor of a network of the zoo."""
    last = zoo.get_model(name, include_top=False, input_shape=model.input_shape[1:]).layers[-1].name
    return tf.keras.Model(model.inputs, model.get_layer(last).output, name=model.name)


def read_images(paths: tuple[str, ...], model: tf.keras.Model, uint8: bool) -> np.ndarray:
    """The images at these paths and in these folders, as the file takes them."""
    files = [file for path in paths for file in (sorted(Path(path).iterdir()) if Path(path).is_dir() else [path])]
    pixels = np.stack([read_image(file, model.input_shape[1]) for file in files])
    return pixels if uint8 else np.asarray(normalize(pixels))


def print_inspection(path: str) -> None:
    inspection = convert.inspect(path)
    rows = [[o.name[-40:], o.kind, o.precision, f"{o.macs:,}", f"{o.bytes:,}"] for o in inspection.operations]
    table = AsciiTable([["operation", "kind", "precision", "MACs", "bytes"], *rows])
    table.justify_columns = {3: "right", 4: "right"}
    print(table.table)
    binary = [o for o in inspection.operations if o.precision == "1-bit" and o.macs]
    print(
        f"{path}: {inspection.bytes:,} bytes; {len(binary)} 1-bit convolutions with {inspection.binary_share:.1%} of "
        "the multiply-accumulates"
    )
