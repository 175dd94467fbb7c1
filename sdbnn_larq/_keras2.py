"""Puts Keras 2 behind `tf.keras`, where Larq needs it.

TensorFlow decides which Keras `tf.keras` is from the environment variable `TF_USE_LEGACY_KERAS`, in two places:

- `tf.keras.…` is a lazy loader that reads the variable at its first use, so setting it late still works;
- `from tensorflow.keras import …` is found on `tensorflow.__path__`, which is fixed when TensorFlow is imported, so
  that path has to be mended when TensorFlow came first.

Once Keras 3 stands behind `tf.keras` nothing can be mended: its classes may already be in use.
"""

import importlib.util
import os
import sys
from pathlib import Path

_ADVICE = (
    "Larq needs Keras 2 behind `tf.keras`, but `tf.keras` is already in use as Keras 3. Put `import sdbnn_larq` "
    "before the first use of `tf.keras`, or set the environment variable TF_USE_LEGACY_KERAS=1 before starting Python."
)


def use_keras_2() -> None:
    """Makes `tf.keras` and `tensorflow.keras` mean Keras 2 (the package `tf_keras`).

    # Raises
        ImportError: if `tf.keras` was already used as Keras 3 in this process, or `tf_keras` is missing.
    """
    spec = importlib.util.find_spec("tf_keras")
    if spec is None or spec.origin is None:
        raise ImportError("sdbnn_larq needs the package `tf_keras` (Keras 2). Received: it is not installed.")
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return
    keras_2 = str(Path(spec.origin).parent / "api" / "_v2")
    tensorflow.__path__.insert(0, keras_2)
    if not tensorflow.keras.Model.__module__.startswith("tf_keras."):
        tensorflow.__path__.remove(keras_2)
        os.environ.pop("TF_USE_LEGACY_KERAS")
        if before is not None:
            os.environ["TF_USE_LEGACY_KERAS"] = before
        raise ImportError(_ADVICE)
