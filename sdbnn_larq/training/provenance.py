"""What a run was: its resolved configuration, and the versions and the machine it ran on."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField
from zookeeper.core.component import base_getattr
from zookeeper.core.utils import is_component_instance

from sdbnn_larq._version import __version__

PACKAGES = ("tensorflow", "tf_keras", "larq", "larq-zoo", "zookeeper", "tensorflow-datasets", "numpy")
# Fields that say where things lie or what is written down, and not what is computed.
PLACES = ("output_dir", "data_dir", "download", "checkpoint_steps", "sign_statistics")

# Fields by the names that they had in earlier versions, as in the `config.json` of old runs.
RENAMED = {"ema": "averaging_momentum", "stage1": "float_weights"}


def with_present_names(fields: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """Fields of a task, or of its class, by the names that they have now."""
    known = task.__component_fields__
    return {
        RENAMED[name] if name not in known and RENAMED.get(name) in known else name: value
        for name, value in fields.items()
    }


def configuration(task) -> dict[str, Any]:
    """All fields of a configured task, nested ones as `model.filters`, as JSON holds them."""
    fields: dict[str, Any] = {}
    for name in sorted(task.__component_fields__):
        if name in PLACES:
            continue
        value = base_getattr(task, name)  # `getattr` would build the model
        if is_component_instance(value):
            fields |= {f"{name}.{nested}": x for nested, x in configuration(value).items()}
            fields[name] = type(value).__name__
        else:
            fields[name] = plain(value)
    return fields


def differing_field(known: dict[str, Any], config: dict[str, Any], given: Collection[str]) -> str | None:
    """The first field in which a configuration is not that of a run; None if it is the same run."""
    known = {RENAMED.get(name, name): value for name, value in known.items()}
    for name in sorted(known.keys() | config.keys()):
        is_new = name not in known and name not in given
        if not is_new and known.get(name) != config.get(name):
            return name
    return None


def differing_data(known: dict[str, Any], data: dict[str, Any]) -> str | None:
    """What of some data is not as it was, in words; None if it is the same as far as both are known."""
    for name, value in data.items():
        if None not in (begun := known.get(name), value) and begun != value:
            return f"the {name} {begun}, and now {value}"
    return None


def given_fields(task: Any) -> set[str]:
    """The names of the fields that were set when a task was configured, nested ones as `model.filters`."""
    given = set(task.__component_configured_field_values__)
    for name, field in task.__component_fields__.items():
        component: Any = base_getattr(task, name) if isinstance(field, ComponentField) else None
        if is_component_instance(component):
            inherited = given & set(component.__component_fields__)
            given |= {f"{name}.{nested}" for nested in given_fields(component) | inherited}
    return given


def plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, tf.keras.optimizers.Optimizer | tf.keras.losses.Loss | tf.keras.initializers.Initializer):
        value = {"class": type(value).__name__, **value.get_config()}
    if not isinstance(value, str | int | float | bool | list | tuple | dict | None):
        value = type(value).__name__
    return json.loads(json.dumps(value, default=lambda x: x.item() if hasattr(x, "item") else type(x).__name__))


def digest(config: dict[str, Any]) -> str:
    """Eight characters that tell configurations apart."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def environment() -> dict[str, Any]:
    """Versions, source revision, command and machine of this process."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {"sdbnn_larq": __version__, **{name: version(name) for name in PACKAGES}},
        "commit": commit(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "devices": [device.name for device in tf.config.list_physical_devices()],
    }


def commit() -> str | None:
    """The revision of the package's source, with a + if it was changed since; None for an installed package."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(folder)]
        revision = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
        return revision + "+" * bool(subprocess.check_output([*git, "status", "--porcelain"]))
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor()) or platform.machine()
