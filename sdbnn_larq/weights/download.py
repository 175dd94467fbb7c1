"""Fetching of weights files into the Keras cache folder."""

import hashlib
import http.client
import os
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import urlopen

import tensorflow as tf

from sdbnn_larq._files import atomic_file, file_sha256

SCHEMES = ("https", "file")
TIMEOUT = 30  # seconds without a byte
CHUNK = 2**16


def fetch(url: str, limit: int, sha256: str | None = None) -> Path:
    """The local copy of what `url` names, fetched unless it lies in the cache; of a `file` address always.

    A file enters the cache only once it is complete; processes that fetch the same at once do not disturb each other.

    # Arguments
        url: `https` or `file` address.
        limit: bytes beyond which the file is refused.
        sha256: of the file, if known; a cached file with another one is fetched again.

    # Raises
        ValueError: if the file cannot be fetched whole, is larger than `limit` or has another SHA-256.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise ValueError(f"A URL of weights must start with https:// or file://. Received: {url!r}.")
    path = cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlsplit(url).path).name[-64:]}"
    known = sha256 is not None or urlsplit(url).scheme == "https"  # a local file may be another by now
    if known and path.is_file() and sha256 in (None, file_sha256(path)):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            received = _copy(url, file, limit)
            if sha256 not in (None, received):
                raise ValueError(f"A file of weights must have SHA-256 {sha256}. Received: {received} from {url!r}.")
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise ValueError(
            f"A URL of weights must be readable, and {str(path.parent)!r} writable (the environment variable "
            f"KERAS_HOME moves it). Received: {url!r}, {type(error).__name__}: {error}."
        ) from error
    return path


def cache_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "sdbnn_larq"


def _copy(url: str, file: IO[bytes], limit: int) -> str:
    """Copies what `url` names with a progress bar; returns its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with urlopen(url, timeout=TIMEOUT) as response:
        if urlsplit(response.geturl()).scheme not in SCHEMES:
            raise OSError(f"redirected to {response.geturl()}")
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        bar = tf.keras.utils.Progbar(total, unit_name="byte")
        while chunk := response.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise OSError(f"more than {limit:,} bytes")
            file.write(chunk)
            digest.update(chunk)
            bar.update(size, finalize=False)
        if total not in (None, size):
            raise OSError(f"the server stopped after {size:,} of {total:,} bytes")
        bar.update(size, finalize=True)
    return digest.hexdigest()
