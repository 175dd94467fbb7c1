"""`sdbnn export` and `sdbnn inspect`: files for the device, and what is in them."""

import click
import tensorflow as tf
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sdbnn_larq import convert, zoo
from sdbnn_larq.cli._images import read_images
from sdbnn_larq.convert.targets import TARGETS
from sdbnn_larq.evaluation import load_network


def export(
    name: str,
    target: str,
    *,
    weights: str | None,
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
        raise ValueError(f"--int8 must go with --to openvino. Received: --to {target}.")
    model = load_network(name, weights)
    if not isinstance(model, tf.keras.Model):
        raise ValueError(f"`name` must be a network to export. Received: {name!r}, which is exported.")
    model = without_top(model) if no_top else model
    try:
        report = TARGETS[target].export(
            model,
            output,
            uint8=uint8,
            allow_float=allow_float,
            verify=not no_verify,
            images=read_images(images, zoo.describe(model), uint8) if images else None,
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


def without_top(model: tf.keras.Model) -> tf.keras.Model:
    """The feature extractor of a network of the zoo."""
    whole = zoo.describe(model)
    arguments = {name: value for name, value in whole.arguments.items() if name != "num_classes"}
    description = whole.replace(arguments={**arguments, "include_top": False}, class_names=None)
    last = zoo.build(description).layers[-1].name
    features = tf.keras.Model(model.inputs, model.get_layer(last).output, name=model.name)
    features.description = description
    return features


def print_inspection(path: str) -> None:
    inspection = convert.inspect(path)
    table = Table("operation", "kind", "precision", box=box.ASCII)
    for column in ("MACs", "bytes"):
        table.add_column(column, justify="right")
    for o in inspection.operations:
        table.add_row(escape(o.name[-40:]), o.kind, o.precision, f"{o.macs:,}", f"{o.bytes:,}")
    Console(width=110).print(table)
    binary = [o for o in inspection.operations if o.precision == "1-bit" and o.macs]
    print(
        f"{path}: {inspection.bytes:,} bytes; {len(binary)} 1-bit convolutions with {inspection.binary_share:.1%} of "
        "the multiply-accumulates"
    )
