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
        ValueError: if the name is another, or if `TF_CONFIG` describes no cluster.
    """
    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: {name!r}.")
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        check_cluster(os.environ.get("TF_CONFIG", ""))
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.OpError as error:
            raise ValueError(
                f"TF_CONFIG must name machines that reach each other. Received: {error.message}"
            ) from error
    return tf.distribute.get_strategy()


def check_cluster(text: str) -> None:
    """Checks what TensorFlow would meet with a traceback, or wait for without an end.

    # Arguments
        text: a value of `TF_CONFIG`.

    # Raises
        ValueError: unless it is JSON with the cluster's addresses and the task of this process among them.
    """

    def expect(fits: bool, what: str, received: object = text) -> None:
        if not fits:
            raise ValueError(f"`strategy=multiworker` needs TF_CONFIG with {what}. Received: {received!r}.")

    try:
        config = json.loads(text)
    except ValueError:
        config = None
    expect(
        isinstance(config, dict), '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
    )
    cluster, task = config.get("cluster"), config.get("task")
    expect(isinstance(cluster, dict) and bool(cluster), "a cluster of workers")
    for kind, addresses in cluster.items():
        expect(kind in ("chief", "worker"), "a cluster of workers, and a chief if wanted", kind)
        expect(isinstance(addresses, list) and bool(addresses), f"a list of addresses for each {kind}", addresses)
        for address in addresses:
            expect(is_address(address), "an address HOST:PORT for each process", address)
    expect(len(cluster.get("chief", [0])) == 1, "one chief at most", cluster.get("chief"))
    everyone = [address for addresses in cluster.values() for address in addresses]
    expect(len(set(everyone)) == len(everyone), "an address of its own for each process", everyone)
    kind, index = (task.get("type"), str(task.get("index"))) if isinstance(task, dict) else (None, "")
    expect(isinstance(kind, str) and kind in cluster, "a task whose type is in the cluster", task)
    most = len(cluster[kind]) - 1
    expect(index.isdecimal() and int(index) <= most, f"a task whose index is from 0 to {most}", task)


def is_address(text: object) -> bool:
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 2**16


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.cluster_spec():
        return True
    return cluster.task_type == "chief" or (
        cluster.task_type == "worker" and cluster.task_id == 0 and "chief" not in cluster.cluster_spec().jobs
    )
