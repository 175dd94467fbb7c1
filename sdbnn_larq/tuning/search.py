"""The search: each trial is a training of its own, judged on the validation split."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from zookeeper import configure

from sdbnn_larq._errors import is_foreseen, one_line
from sdbnn_larq._files import atomic_file
from sdbnn_larq._lock import locked
from sdbnn_larq._memory import releasing_graphs
from sdbnn_larq.training import TrainSDBNN
from sdbnn_larq.training.datasets import check_outside
from sdbnn_larq.training.provenance import configuration, differing_data, differing_field
from sdbnn_larq.tuning._keras_tuner import keras_tuner
from sdbnn_larq.tuning.space import Choice, Range, fields_of, read_field

ALGORITHMS = ("hyperband", "random", "bayesian")
# What Keras Tuner raises for files that are gone or damaged.
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, FileNotFoundError, tf.errors.NotFoundError)
OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


@dataclass(frozen=True)
class Trial:
    """One trial of a finished or interrupted search."""

    name: str
    fields: dict[str, Any]
    epochs: int
    accuracy: float | None  # of the validation split after the last epoch; None if the trial failed
    failure: str | None = None  # why


def reason(message: str) -> str:
    """Why a trial failed, out of the traceback that Keras Tuner keeps."""
    return message.strip().splitlines()[-1].partition("FailedTrialError: ")[2]


class StopIfNotFinite(tf.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise keras_tuner.errors.FailedTrialError(f"The loss was {logs['loss']} at step {batch + 1}.")


def fault_of_trial(error: Exception) -> str | None:
    """What in a trial's fields does not fit, in one line; None for a bug."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return "There is not enough memory."
    return one_line(error) if is_foreseen(error) or isinstance(error, keras_tuner.errors.FailedTrialError) else None


def role() -> str:
    """Whether this process searches `"alone"`, or is the `"chief"` of a search or one of its `"worker"`s."""
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return "alone"
    return "chief" if "chief" in os.environ.get("KERASTUNER_TUNER_ID", "") else "worker"


def _read_identity(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"A search's file must be as it was written. Received: {str(file)!r}, altered.") from error


class TaskTuner(keras_tuner.Tuner):
    """Trains a task with the fields of a trial. No model is kept."""

    def __init__(self, search: "Search", callbacks: Sequence[tf.keras.callbacks.Callback], **kwargs):
        super().__init__(**kwargs)
        self.search_of, self.callbacks = search, callbacks

    def reload(self):
        try:
            super().reload()
        except DAMAGE as error:
            raise ValueError(
                "A search's files must be as they were written. "
                f"Received: {self.project_dir!r}, of which Keras Tuner can no longer read one."
            ) from error

    @releasing_graphs()
    def run_trial(self, trial):
        drawn = trial.hyperparameters.values
        search = self.search_of
        tf.keras.backend.clear_session()
        task = search.task(fields_of(search.space, drawn), drawn.get("tuner/epochs"))
        history = tf.keras.callbacks.History()
        try:
            task.check()
            task.prepare()
            task.fit([StopIfNotFinite(), history, *self.callbacks])
        except Exception as error:
            if (why := fault_of_trial(error)) is None:
                # Keras Tuner would count any other error as the trial's.
                raise keras_tuner.errors.FatalError(f"Trial {trial.trial_id} met a bug.") from error
            print(f"\nTrial {trial.trial_id} failed: {why}")
            raise keras_tuner.errors.FailedTrialError(why) from error
        return {OBJECTIVE.name: history.history[OBJECTIVE.name][-1]}


class Search:
    """A search over fields of a task, kept in a folder and taken up again from there.

    Hyperband gives many trials few epochs and the best of them more. A trial trains from the start, so that its
    schedules end with its epochs.

    !!! example
        ```python
        from sdbnn_larq.recipes.digits import TrainDigits

        space = [Range("learning_rate", 1e-4, 1e-2, log=True)]
        search = Search(TrainDigits, {"epochs": 9}, space, "runs/search")
        ```

    # Arguments
        task_class: a task, derived from `TrainSDBNN`.
        config: fields that all trials share; `epochs` are those of the longest trials.
        space: what to vary.
        folder: for the search's state.
        algorithm: `"hyperband"`, `"random"` or `"bayesian"`.
        trials: how many, for all algorithms but Hyperband, which follows from the epochs.
        seed: of the draws.

    # Raises
        ValueError: if an argument does not fit, or if the folder holds another search; nothing is written then.
    """

    def __init__(
        self,
        task_class: type[TrainSDBNN],
        config: dict[str, Any],
        space: Sequence[Range | Choice],
        folder: str | Path,
        *,
        algorithm: str = "hyperband",
        trials: int = 20,
        seed: int = 0,
    ):
        if algorithm not in ALGORITHMS:
            raise ValueError(f"`algorithm` must be one of {', '.join(ALGORITHMS)}. Received: {algorithm!r}.")
        if trials < 1:
            raise ValueError(f"`trials` must be at least 1. Received: {trials}.")
        if not space:
            raise ValueError("A search must have at least one range or choice. Received: none.")
        names = [entry.field for entry in space]
        for name in names:
            if names.count(name) > 1 or name in config:
                raise ValueError(f"A field must be given once, or searched once. Received: {name!r} twice.")
        if algorithm == "hyperband" and "epochs" in names:
            raise ValueError("Hyperband chooses the epochs itself: `epochs` must not be searched.")
        self.task_class, self.config, self.space = task_class, config, space
        self.folder = Path(folder)
        for fields in self.ends():  # types and limits, before anything is trained
            task = self.task(fields)
            for name in names:
                read_field(task, name)
            task.check()
        self.algorithm, self.trial_count, self.seed = algorithm, trials, seed
        first = self.task(next(self.ends()))
        self.epochs = first.epochs
        if algorithm == "hyperband" and not (self.folder / "search.json").exists():
            self.check_shortest_trials()
        check_outside("--output-dir", self.folder, first.dataset)

    def ends(self) -> Iterator[dict[str, Any]]:
        """The fields of trials at the ends of the space, one field at a time; the others are at their first ends."""
        first = {entry.field: entry.ends()[0] for entry in self.space}
        for entry in self.space:
            for value in entry.ends():
                yield {**first, entry.field: value}

    def shortest_epochs(self) -> int:
        """Epochs of Hyperband's shortest trials: those of the longest, divided by 3 until below 3, rounded up."""
        epochs: float = self.epochs
        while epochs >= 3:
            epochs /= 3
        return math.ceil(epochs)

    def check_shortest_trials(self) -> None:
        """Refuses a task of which Hyperband's shortest trials would all fail."""
        epochs = self.shortest_epochs()
        try:
            self.find_possible(lambda task: task.check(), epochs)
        except ValueError as error:
            raise ValueError(
                f"Hyperband's shortest trials (epochs={epochs}) must be possible; `--algorithm random` trains for "
                f"{self.epochs} epochs each time. Received: {error}"
            ) from error

    def find_possible(self, attempt: Callable[[TrainSDBNN], Any], epochs: int | None = None) -> TrainSDBNN:
        """The first task at the ends of the space with which something can be done.

        # Raises
            Exception: what the last attempt raised, if none succeeds.
        """
        failure: Exception | None = None
        for fields in self.ends():
            task = self.task(fields, epochs)
            try:
                attempt(task)
                return task
            except Exception as error:
                if not is_foreseen(error):
                    raise
                failure = error
        assert failure is not None
        raise failure

    def task(self, fields: dict[str, Any], epochs: int | None = None) -> TrainSDBNN:
        """The configured task of a trial."""
        task = self.task_class()
        configure(task, {**self.config, **fields, **({"epochs": epochs} if epochs else {})})
        return task

    def tuner(self, callbacks: Sequence[tf.keras.callbacks.Callback] = ()) -> TaskTuner:
        """Keras Tuner with all that the folder knows of this search."""
        parameters = keras_tuner.HyperParameters()
        for entry in self.space:
            entry.add_to(parameters)
        shared = {
            "objective": OBJECTIVE,
            "hyperparameters": parameters,
            "seed": self.seed,
            "allow_new_entries": False,
            "max_consecutive_failed_trials": 2**31,  # values that do not fit may be drawn one after another
        }
        if self.algorithm == "hyperband":
            oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=self.epochs, **shared)
        elif self.algorithm == "random":
            oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=self.trial_count, **shared)
        else:
            oracle = keras_tuner.oracles.BayesianOptimizationOracle(max_trials=self.trial_count, **shared)
        return TaskTuner(self, callbacks, oracle=oracle, directory=str(self.folder), project_name="trials")

    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other, but for the task's fields and data."""
        space = [
            [type(entry).__name__, *(value for name, value in vars(entry).items() if name != "declared")]
            for entry in self.space
        ]
        config = hashlib.sha256(json.dumps(self.config, sort_keys=True, default=str).encode()).hexdigest()
        return json.loads(
            json.dumps(
                {
                    "task": self.task_class.__name__,
                    "algorithm": self.algorithm,
                    "trials": self.trial_count,
                    "seed": self.seed,
                    "space": space,
                    "config": config,
                }
            )
        )

    def run(self, callbacks: Sequence[tf.keras.callbacks.Callback] = ()) -> list[Trial]:
        """Searches, or goes on searching.

        # Arguments
            callbacks: of every trial's training, after those of the task.

        # Returns
            The trials of the whole search, the best first; none to a worker, whose chief has them.
        """
        file = self.folder / "search.json"
        known = _read_identity(file) if file.exists() else {}  # earlier versions wrote no configuration and no data
        first = self.task(next(self.ends()))
        now = {**self.identity(), "configuration": configuration(first), "data": known.get("data")}
        if known and {name: known.get(name) for name in self.identity()} != self.identity():
            raise ValueError(
                f"--output-dir must be a new folder, or one with the same search. Received: {str(self.folder)!r}."
            )
        if name := differing_field(known.get("configuration", {}) or now["configuration"], now["configuration"], ()):
            self.refuse(f"the {name} {known['configuration'].get(name)!r}, and now {now['configuration'].get(name)!r}")
        if role() != "chief":  # a chief trains nothing
            # Data that no trial can use are an error of the search, and not of its trials.
            data = self.find_possible(lambda task: task.examples("train")).data_identity
            if different := differing_data(known.get("data") or {}, data):
                self.refuse(different)
            now["data"] = data
        with locked(self.folder) if role() != "worker" else contextlib.nullcontext():  # workers share their chief's
            with atomic_file(file) as out:
                out.write((json.dumps(now, indent=2) + "\n").encode())
            tuner = self.tuner(callbacks)
            tuner.search()
        return self.trials(tuner) if hasattr(tuner.oracle, "trials") else []

    def refuse(self, different: str) -> None:
        raise ValueError(
            "A search must have the recipe and the data that it began with, or another --output-dir. "
            f"Received: {str(self.folder)!r}, begun with {different}."
        )

    def trials(self, tuner: TaskTuner) -> list[Trial]:
        found = [(trial, fields_of(self.space, trial.hyperparameters.values)) for trial in tuner.oracle.trials.values()]
        trials = [
            Trial(
                trial.trial_id,
                fields,
                trial.hyperparameters.values.get("tuner/epochs", fields.get("epochs", self.epochs)),
                trial.score if trial.status == "COMPLETED" else None,
                reason(trial.message) if trial.message else None,
            )
            for trial, fields in found
        ]
        return sorted(trials, key=lambda trial: -1.0 if trial.accuracy is None else trial.accuracy, reverse=True)
