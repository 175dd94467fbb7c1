"""What a run leaves: its report, and files of weights that say which network they are of."""

import os
import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
from larq.models import ModelProfile

from sdbnn_larq.training._run_folder import RunFolder
from sdbnn_larq.training._survival import Progress
from sdbnn_larq.weights import NetworkDescription, save_packed

LONGEST_REPORT = 2000  # characters, as JSON


def make_report(
    task: str, model: tf.keras.Model, progress: Progress, *, seed: int, accuracy: float, images: int
) -> dict[str, Any]:
    """Everything worth knowing of a finished run, for `report.json`.

    # Arguments
        task: the name of the recipe's class.
        model: the trained model.
        progress: of the whole run.
        seed: of the run.
        accuracy: of the test split.
        images: of the test split.
    """
    history, best = progress.history, progress.best()
    # The first epoch compiles the graph; it counts only if there is no other.
    speeds = [row["images_per_second"] for row in history][1:] or [history[0]["images_per_second"]]
    return {
        "task": task,
        "test_accuracy": accuracy,
        "test_images": images,
        "validation_accuracy": history[-1]["val_accuracy"],
        "best_epoch": int(best["epoch"]) + 1,  # by validation; its weights are best.safetensors
        "best_validation_accuracy": best["val_accuracy"],
        "epochs": len(history),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "images_per_second": round(statistics.median(speeds), 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "model_bytes": ModelProfile(model).memory // 8,
        "seed": seed,
    }


def summary(report: dict[str, Any], folder: Path) -> str:
    """A report in one line."""
    return (
        f"{report['task']}: {report['test_accuracy']:.2%} of {report['test_images']:,} test images after "
        f"{report['epochs']} epochs, {report['seconds']} s, {report['images_per_second']} images/s in "
        f"training, 1-bit model {report['model_bytes'] / 1024:.1f} KiB; saved in {folder}"
    )


class Results:
    """Writes a model's weights, with the description of the network that was trained.

    # Arguments
        model: the model.
        description: what training knows of it: preprocessing, class names, task and data; None for a model without
            description, whose files hold the class names alone.
        class_names: in the order of the labels.
    """

    def __init__(self, model: tf.keras.Model, description: NetworkDescription | None, class_names: list[str]):
        self.model, self.description, self.class_names = model, description, class_names

    def save_weights(self, path: Path, report: dict[str, Any]) -> None:
        """Writes a packed file.

        # Arguments
            path: the file.
            report: of the run, or of the epoch whose weights they are.
        """
        if self.description is None:
            save_packed(self.model, path, {"class_names": self.class_names, "report": report})
            return
        provenance = {**self.description.provenance, "report": report}
        save_packed(self.model, path, description=self.description.replace(provenance=provenance))

    def save_model(self, path: Path) -> None:
        """Writes the whole model, with its optimizer, as Keras does."""
        partial = path.with_name("model.partial.keras")
        self.model.save(partial)
        os.replace(partial, path)

    def try_saving(self) -> None:
        """Writes every file once and throws it away, so that what cannot be saved is known before it is trained."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_weights(Path(folder, "weights.safetensors"), {"room": "x" * LONGEST_REPORT})
            self.save_model(Path(folder, "model.keras"))

    def save(self, folder: RunFolder, report: dict[str, Any]) -> None:
        """Writes all that a finished run leaves, the report last: a run with a report is finished."""
        self.save_weights(folder.path / "weights.safetensors", report)
        self.save_model(folder.path / "model.keras")
        folder.write_json("report.json", report)
