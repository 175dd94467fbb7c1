"""The command line, `sdbnn`: one line on stderr and exit status 2 for whatever a user got wrong."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

import click

from sdbnn_larq._errors import is_foreseen, one_line
from sdbnn_larq._version import __version__


class InputError(click.ClickException):
    exit_code = 2


@contextlib.contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Ends the program with status 130 on Ctrl-C, whatever a library makes of the exception inside the block."""
    interrupted = False

    def handle(number, frame):
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    # A shell that starts a program in the background has it ignore interrupts.
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    caught = caught and threading.current_thread() is threading.main_thread()
    if caught:
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        if interrupted:
            sys.exit(130)
        raise
    finally:
        if caught:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class OneLineErrors(click.Group):
    """A group whose commands turn errors in what they were given into one line, and show where others arose."""

    def invoke(self, ctx):
        with quiet_interrupts():
            if ctx.params.get("traceback"):
                return super().invoke(ctx)
            try:
                return super().invoke(ctx)
            except click.UsageError as error:
                raise InputError(one_line(error)) from None
            except BrokenPipeError:  # `sdbnn models | head`: click ends quietly
                raise
            except Exception as error:
                if not is_foreseen(error):
                    raise
                raise InputError(one_line(error)) from None


class Runtime(click.ParamType):
    """An export target or one of `others`; the table of targets comes with TensorFlow, and so is read when needed."""

    name = "runtime"

    def __init__(self, *others: str) -> None:
        self.others = others

    @property
    def choices(self) -> list[str]:
        from sdbnn_larq.convert.targets import TARGETS

        return [*self.others, *TARGETS]

    def get_metavar(self, param=None, ctx=None) -> str:
        return f"[{'|'.join(self.choices)}]"

    def convert(self, value, param, ctx):
        if value not in self.choices:
            self.fail(f"It must be one of {', '.join(self.choices)}. Received: {value!r}.", param, ctx)
        return value


@click.group(cls=OneLineErrors)
@click.option("--traceback", is_flag=True, help="Show where in the program an error arose.")
@click.version_option(__version__, prog_name="sdbnn_larq")
def main(traceback: bool) -> None:
    """SD-BNN for Larq: train, look at and use 1-bit networks."""


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
def train(task: str, config: tuple[str, ...]) -> None:
    """Train TASK, a recipe's name or file, with fields set by CONFIG, e.g. epochs=3."""
    from sdbnn_larq.cli._train import run_task

    run_task(task, config)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--range", "ranges", multiple=True, help="Numbers to search: FIELD=LOW:HIGH, with :log if wanted.")
@click.option("--choice", "choices", multiple=True, help="Values to search: FIELD=VALUE,VALUE,...")
@click.option("--algorithm", default="hyperband", show_default=True, help="hyperband, random or bayesian.")
@click.option("--trials", default=20, show_default=True, help="How many, for all algorithms but hyperband.")
@click.option("--output-dir", help="The search's folder; by default runs/tune-TASK.")
def tune(task, config, ranges, choices, algorithm, trials, output_dir) -> None:
    """Search the best fields of TASK on its validation split; CONFIG sets the others, e.g. epochs=9."""
    from sdbnn_larq.cli._tune import tune

    tune(task, config, ranges, choices, algorithm, trials, output_dir)


@main.command()
@click.argument("pattern", default="*")
@click.option("--pretrained", is_flag=True, help="List the published weights, with their accuracy, instead.")
def models(pattern: str, pretrained: bool) -> None:
    """List the architectures whose name matches PATTERN, e.g. "*18*"."""
    from sdbnn_larq.cli._models import print_models

    print_models(pattern, pretrained)


@main.command()
@click.argument("name")
@click.option("--weights", help="A weights file, its URL or a tag, e.g. cifar10.")
def summary(name: str, weights: str | None) -> None:
    """Print the layers, sizes and MACs of the architecture NAME."""
    from sdbnn_larq.cli._models import print_summary

    print_summary(name, weights)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--weights", help="A weights file, its URL or a tag, where NAME is an architecture.")
@click.option("--dataset", "--data", help="Whose test images are shown; by default that on which the network trained.")
@click.option("--images", multiple=True, help="An image or a folder of images to show instead; may be repeated.")
@click.option("--output", required=True, help="The folder for the page, the pictures and the figures.")
def signs(name: str, config: tuple[str, ...], **options) -> None:
    """Show NAME images and draw what its signs are, layer by layer, with and without self-distribution's shifts.

    CONFIG sets the data set's fields, e.g. data_dir=DIR. Writes signs.html, which needs no network, its pictures, and
    the figures as signs.json and signs.csv.
    """
    from sdbnn_larq.cli._signs import print_signs

    print_signs(name, config=config, **options)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--weights", help="A weights file, its URL or a tag, e.g. cifar10; not for an exported file.")
@click.option("--dataset", help="Cifar10, … or a recipe file that has its own; by default that of the training.")
@click.option("--precision", type=click.Choice(["f32", "bf16"]), default="f32", help="Of OpenVINO's float operations.")
@click.option("--input-size", type=click.IntRange(8), help="Pixels of a side, if not those of the training.")
def evaluate(name: str, config: tuple[str, ...], **options) -> None:
    """Print the accuracy of NAME on a whole test set, whose fields CONFIG sets, e.g. data_dir=DIR.

    NAME is a tag such as ResNet20/cifar10, a weights file, an exported .tflite or .xml file, or an architecture with
    --weights.
    """
    from sdbnn_larq.cli._evaluate import evaluate

    evaluate(name, config=config, **options)


@main.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True)
@click.option("--weights", help="A weights file, its URL or a tag; not for an exported file.")
@click.option("--top", default=1, show_default=True, help="Classes to print for each image.")
@click.option("--runtime", type=Runtime("keras"), default="keras", show_default=True)
def predict(name: str, images: tuple[str, ...], weights: str | None, top: int, runtime: str) -> None:
    """Print the class of each of IMAGES with its probability.

    NAME is a tag such as ResNet20/cifar10, a weights file, an exported .tflite or .xml file, or an architecture with
    --weights.
    """
    from sdbnn_larq.cli._predict import predict

    predict(name, images, weights, top, runtime)


@main.command()
@click.argument("name")
@click.option("--weights", help="A weights file, its URL or a tag, where NAME is an architecture.")
@click.option("--to", "target", type=Runtime(), required=True, help="The runtime.")
@click.option("--output", required=True, help="The file, ending in .tflite or .xml.")
@click.option("--uint8", is_flag=True, help="Take pixels, 0 to 255, and normalise them in the file.")
@click.option("--int8", is_flag=True, help="Compute the float convolutions and the classifier in 8 bits (OpenVINO).")
@click.option("--batch", type=click.IntRange(1), help="Fixed batch size.  [default: any for LCE, 1 for OpenVINO]")
@click.option("--no-top", is_flag=True, help="Leave out the classifier.")
@click.option("--allow-float", is_flag=True, help="Accept quantized layers that compute in float.")
@click.option("--no-verify", is_flag=True, help="Do not compare with Keras.")
@click.option(
    "--images", multiple=True, help="An image or a folder to compare on, and for the ranges of --int8; may be repeated."
)
def export(name: str, target: str, **options) -> None:
    """Write the network NAME for Larq Compute Engine or OpenVINO, compared with Keras block by block."""
    from sdbnn_larq.cli._export import export

    export(name, target, **options)


@main.command()
@click.argument("file")
def inspect(file: str) -> None:
    """List the operations of an exported FILE with their precision and bytes."""
    from sdbnn_larq.cli._export import print_inspection

    print_inspection(file)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--weights", help="A weights file, its URL or a tag, where NAME is an architecture.")
@click.option("--dataset", help="Whose test images give the accuracy; by default that on which NAME was trained.")
@click.option("--twin", help="Weights of the float twin, so that its accuracy is measured too.")
@click.option("--images", multiple=True, help="An image or a folder of images; may be repeated.  [default: noise]")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Images for the throughput.")
@click.option("--rounds", type=click.IntRange(1), default=50, show_default=True, help="Timings of each contestant.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads, each on its own core.")
@click.option("--input-size", type=click.IntRange(8), help="Pixels of a side, for random weights.")
@click.option("--output", required=True, help="The JSON file; a bar chart (.png) goes beside it.")
def benchmark(name: str, config: tuple[str, ...], **options) -> None:
    """Measure NAME in Keras, LCE and OpenVINO, beside its float and 8-bit twins.

    NAME is an architecture, whose weights are random, or trained weights. With --dataset or CONFIG, e.g. data_dir=DIR,
    the accuracy of each is measured too, on the whole test set; 8-bit ranges are then found on training images.
    """
    from sdbnn_larq.cli._benchmark import benchmark

    benchmark(name, config=config, **options)


@main.group()
def convert() -> None:
    """Make weights files from checkpoints of other libraries."""


@convert.command("torch")
@click.argument("file")
@click.argument("config", nargs=-1)
@click.option("--model", required=True, help="The architecture, e.g. ResNet18 or FloatResNet34.")
@click.option("--output", required=True, help="The file to write: packed (.safetensors) or latent weights (.h5).")
def convert_torch(file: str, model: str, output: str, config: tuple[str, ...]) -> None:
    """Read FILE, a checkpoint of SD-BNN's authors, into a model with arguments CONFIG, e.g. binary_weights=False."""
    from sdbnn_larq.cli._convert import convert_torch

    convert_torch(file, model, output, config)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--weights", help="A weights file.  [default: that of the first --run]")
@click.option(
    "--run", "runs", multiple=True, help="Folder of a finished run of the recipe; several, for several seeds."
)
@click.option("--twin", "twins", multiple=True, help="Folder of a finished run of the float twin; may be repeated.")
@click.option("--benchmark", help="What `sdbnn benchmark` wrote for these weights and their test set.")
@click.option("--input-size", "sizes", type=click.IntRange(8), multiple=True, help="Also evaluate at so many pixels.")
@click.option("--tag", required=True, help="What `weights=` shall take, e.g. cifar10.")
@click.option("--dataset", help="Whose test split gives the accuracy; by default that on which the network trained.")
@click.option("--data", required=True, help='Which images those are, e.g. "CIFAR-10".')
@click.option("--recipe", required=True, help="The command that trained, or how the weights were made.")
@click.option("--seed", "seeds", type=int, multiple=True, required=True, help="Of the training; give several if so.")
@click.option("--licence", default="MIT", show_default=True, help="SPDX identifier.")
@click.option("--half", multiple=True, help="Wildcard of weights to round to float16, as for `zoo.save_packed`.")
@click.option("--card", help="The model card.  [default: zoo/NAME_TAG.md]")
@click.option(
    "--about", type=click.Path(exists=True, dir_okay=False), help="Text for the model card: intended use, limits."
)
def publish(name: str, config: tuple[str, ...], **options) -> None:
    """Enter NAME's trained weights, with their accuracy, in the catalogue of this checkout or installation.

    CONFIG sets the data set's fields, e.g. data_dir=DIR. The figures, history and pictures of the model card are
    written beside it.
    """
    from sdbnn_larq.cli._publish import publish

    publish(name, config=config, **options)
