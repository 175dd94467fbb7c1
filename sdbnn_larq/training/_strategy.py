"""One device, many devices or many machines."""

import json
import os

import tensorflow as tf

STRATEGIES = (None, "mirrored", "multiworker")


def make_strategy(name: str | None) -> tf.distribute.Strategy:
    """The strategy that a task's field names.

    # Arguments
        name: None for one device; `"mirrored"` for all GPUs, or else all logical CPUs, of this machine;
            `"multiworker"` for the machines that the environment variable `TF_CONFIG` lists.

    # Raises
        ValueError: if the name is another, or if `TF_CONFIG` lists no workers.
    """
    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: {name!r}.")
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        text = os.environ.get("TF_CONFIG", "")
        try:
            workers = json.loads(text)["cluster"]["worker"]
        except (ValueError, LookupError, TypeError):
            workers = None
        if not workers:
            raise ValueError(f"`strategy=multiworker` needs TF_CONFIG with the cluster's workers. Received: {text!r}.")
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.cluster_spec():
        return True
    return cluster.task_type == "chief" or (
        cluster.task_type == "worker" and cluster.task_id == 0 and "chief" not in cluster.cluster_spec().jobs
    )
