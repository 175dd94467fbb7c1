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
        except (ValueError, TypeError, OSError) as error:
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


@main.command()
@click.argument("pattern", default="*")
def models(pattern: str) -> None:
    """List the architectures whose name matches PATTERN, e.g. "*18*"."""
    from sdbnn_larq.cli._models import print_models

    print_models(pattern)


@main.command()
@click.argument("name")
@click.option("--weights", help="A weights file.")
def summary(name: str, weights: str | None) -> None:
    """Print the layers, sizes and MACs of the architecture NAME."""
    from sdbnn_larq.cli._models import print_summary

    print_summary(name, weights)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("config", nargs=-1, type=click.UNPROCESSED)
@click.option("--weights", required=True, help="A weights file.")
@click.option("--dataset", default="Cifar10", show_default=True, help="Cifar10, ImageNet, PhotoFolder, ….")
def evaluate(name: str, weights: str, dataset: str, config: tuple[str, ...]) -> None:
    """Print the accuracy of NAME on a whole test set, whose fields CONFIG sets, e.g. data_dir=DIR."""
    from sdbnn_larq.cli._use import evaluate

    evaluate(name, weights, dataset, config)


@main.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True)
@click.option("--weights", required=True, help="A weights file.")
@click.option("--top", default=1, show_default=True, help="Classes to print for each image.")
def predict(name: str, images: tuple[str, ...], weights: str, top: int) -> None:
    """Print the class of each of IMAGES with its probability."""
    from sdbnn_larq.cli._use import predict

    predict(name, images, weights, top)
