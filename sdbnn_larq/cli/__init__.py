"""The command line, `sdbnn`: one line on stderr and exit status 2 for whatever a user got wrong."""

import os

import click


class InputError(click.ClickException):
    exit_code = 2


class OneLineErrors(click.Group):
    """A group whose commands turn errors in what they were given into one line."""

    def invoke(self, ctx):
        if ctx.params.get("traceback"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise InputError(error.format_message().splitlines()[0]) from None
        except (ValueError, TypeError, OSError, ImportError) as error:
            raise InputError((str(error).strip() or type(error).__name__).splitlines()[0]) from None


@click.group(cls=OneLineErrors)
@click.option("--traceback", is_flag=True, help="Show where in the program an error arose.")
def main(traceback: bool) -> None:
    """SD-BNN for Larq: train, look at and use 1-bit networks."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported


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
@click.option("--weights", required=True, help="A weights file, its URL or a tag, e.g. cifar10.")
@click.option("--dataset", help="Cifar10, ImageNet, PhotoFolder, …; by default that of published weights, or Cifar10.")
def evaluate(name: str, weights: str, dataset: str | None, config: tuple[str, ...]) -> None:
    """Print the accuracy of NAME on a whole test set, whose fields CONFIG sets, e.g. data_dir=DIR."""
    from sdbnn_larq.cli._use import evaluate

    evaluate(name, weights, dataset, config)


@main.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True)
@click.option("--weights", required=True, help="A weights file, its URL or a tag, e.g. cifar10.")
@click.option("--top", default=1, show_default=True, help="Classes to print for each image.")
def predict(name: str, images: tuple[str, ...], weights: str, top: int) -> None:
    """Print the class of each of IMAGES with its probability."""
    from sdbnn_larq.cli._use import predict

    predict(name, images, weights, top)


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


@main.command()
@click.argument("name")
@click.option("--weights", required=True, help="A weights file.")
@click.option("--tag", required=True, help="What `weights=` shall take, e.g. cifar10.")
@click.option("--dataset", default="Cifar10", show_default=True, help="Whose test split gives the accuracy.")
@click.option("--data-dir", help="Where the data set lies.")
@click.option("--data", required=True, help='Which images those are, e.g. "CIFAR-10".')
@click.option("--recipe", required=True, help="The command that trained, or how the weights were made.")
@click.option("--seed", "seeds", type=int, multiple=True, required=True, help="Of the training; give several if so.")
@click.option("--licence", default="MIT", show_default=True, help="SPDX identifier.")
@click.option("--half", multiple=True, help="Wildcard of weights to round to float16, as for `zoo.save_packed`.")
@click.option("--about", type=click.File(), help="Text for the model card.")
def publish(name: str, **options) -> None:
    """Enter NAME's trained weights, with their accuracy, in the catalogue of this checkout or installation."""
    from sdbnn_larq.cli._publish import publish

    publish(name, **options)
