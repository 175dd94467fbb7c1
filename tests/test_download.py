"""Fetching of weights from a real https server on this machine, good and bad."""

import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request

import pytest

from sdbnn_larq.weights import download

CONTENT = bytes(range(256)) * 1000
FETCH = "import sys; from sdbnn_larq.weights import download; print(download.fetch(sys.argv[1], 10**6))"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`, or what goes wrong, by the name of the file."""

    def do_GET(self):
        name = self.path.strip("/").removesuffix(".safetensors")
        if name == "missing":
            return self.send_error(404)
        if name == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/a.safetensors")
            return self.end_headers()
        self.send_response(200)
        if name != "unsized":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 100_000 if name in ("midway", "stalled") else None])
        if name == "stalled":
            self.server.ended.wait()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        "key",
        "-out",
        "cert",
    ]
    subprocess.run([*command, *subject], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def url(certificate, monkeypatch):
    """The address of a server that this process and its children trust."""
    # Python 3.12 keeps the certificates of its first request.
    monkeypatch.setattr(urllib.request, "_opener", None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.ended = threading.Event()
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.ended.set()
        server.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "sdbnn_larq"


@pytest.mark.parametrize("name", ["sized", "unsized"])
def test_https(url, cache, name, capsys):
    path = download.fetch(f"{url}/{name}.safetensors", 10**6)
    assert path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path]
    shown = capsys.readouterr().out
    assert "256000/256000 [====" in shown if name == "sized" else "256000/Unknown" in shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("midway", "stopped after 100,000 of 256,000 bytes"),
        ("stalled", "timed out"),
        ("missing", "404"),
        ("elsewhere", "must be readable"),
    ],
)
def test_what_goes_wrong_leaves_nothing_behind(url, cache, monkeypatch, name, message):
    monkeypatch.setattr(download, "TIMEOUT", 1)
    with pytest.raises(ValueError, match=message) as error:
        download.fetch(f"{url}/{name}.safetensors", 10**6)
    assert "\n" not in str(error.value)
    assert not list(cache.iterdir())


def test_server_that_nobody_vouches_for(url, cache, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ValueError, match="CERTIFICATE_VERIFY_FAILED"):
        download.fetch(f"{url}/sized.safetensors", 10**6)
    assert not list(cache.iterdir())


@pytest.mark.slow
def test_two_processes_at_once(url, cache):
    command = [sys.executable, "-c", FETCH, f"{url}/sized.safetensors"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
    (path,) = cache.iterdir()
    assert path.read_bytes() == CONTENT


def test_folder_that_cannot_be_written(url, cache):
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.touch()  # permissions would not stop root
    with pytest.raises(ValueError, match="KERAS_HOME"):
        download.fetch(f"{url}/sized.safetensors", 10**6)
