"""The app, started as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Server(str):
    """The app's address, with its process and its folder of runs."""

    def __new__(cls, address, pid, runs):
        server = super().__new__(cls, address)
        server.pid, server.runs = pid, runs
        return server


@contextmanager
def start_app(folder, port=None, script="app.py", patience=20, **environment):
    """Start the app as a user starts it, from another folder; yields its :class:`Server`.

    Another script of the repository may stand in for it. It has ``patience`` seconds to end.
    """
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder),
        "TMPDIR": str(folder),
        "HF_HOME": str(folder / "hf"),
        "TRACACHE_RUNS": str(folder / "runs"),
        **environment,
    }
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / script)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/", process, folder / "log.txt")
        yield Server(address, process.pid, folder / "runs")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=patience)


def wait_for(address, process, log, seconds=120):
    """Return once the address answers; fail with the log if the process ends before."""
    for _ in range(5 * seconds):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the app did not start:\n{log.read_text()}")
