"""From a server's start to its end: what it says of itself, keeps, logs and leaves behind."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

import psutil
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from gradio_client.utils import Status

from tests.app import ROOT, start_app
from tracache.ui.jobs import ENDED, ENDING
from tracache.ui.runs_folder import own_folder

#: In nothing that the server writes by itself.
CANARY = "xylocarp"


def fetch(address):
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def folders(server):
    return [path for path in server.runs.iterdir() if path.is_dir()]


def end(server):
    """Tell a server to end, and wait until it has."""
    process = psutil.Process(server.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def test_health(server):
    assert fetch(f"{server}/healthz") == (200, "ok")
    assert fetch(f"{server}/readyz") == (200, "ready")
    request = urllib.request.Request(f"{server}/readyz", headers={"Host": "10.0.0.5:7860"})
    assert urllib.request.urlopen(request).status == 200


def test_what_is_asked_for_is_in_no_log(tmp_path):
    """By every way in, right and wrong, and too long for the model."""
    with start_app(tmp_path, TRACACHE_LOG_PROMPTS="off") as server:
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders(server)] == [0o700]
        client = Client(server, verbose=False)
        long = " ".join([CANARY, *["a red cube on grass"] * 12])
        for changes in (
            {"prompt": f"a red cube on {CANARY}"},
            {"prompt": long},
            {"prompt": f"a red {CANARY}" * 100},
            {"prompt": CANARY, "steps": -1},
            {"prompt": "a red cube", "negative_prompt": CANARY},
            {"model": "scenes-class", "class_label": CANARY, "prompt": ""},
            {"model": CANARY},
        ):
            with suppress(AppError):
                client.predict(**{"steps": 2, **changes}, api_name="/compare")
        for path in (f"?prompt={CANARY}", f"gradio_api/file={CANARY}", f"gradio_api/{CANARY}"):
            fetch(f"{server}/{path}")
        log = (tmp_path / "log.txt").read_text()
        assert log.count('"outcome": "done"') >= 2
        # Idle, it goes at once, and nothing is left.
        end(server)
        assert folders(server) == []
    assert CANARY not in log + (tmp_path / "log.txt").read_text()


def test_told_to_end_it_finishes_or_tells(tmp_path):
    """Two runs are under way: one has time enough, the other hears why it has not."""
    with start_app(tmp_path, TRACACHE_DRAIN="6", TRACACHE_WORKERS="0") as server:
        client = Client(server, verbose=False)
        short = client.submit(prompt="a red cube on grass", steps=8, api_name="/compare")
        while short.status().code != Status.PROCESSING:
            time.sleep(0.02)
        clip = {"model": "scenes-t2v", "prompt": "a red cube slides to the right on grass"}
        long = client.submit(**clip, steps=100, api_name="/compare")
        time.sleep(0.1)
        end(server)
        assert short.result()["report"]["arms"]
        with pytest.raises(AppError) as error:
            long.result()
        assert str(error.value) in (ENDED, ENDING)
        assert folders(server) == []


def test_what_a_killed_server_left_goes_and_the_living_keep_theirs(tmp_path):
    holder = (
        "import sys, time; from pathlib import Path\n"
        "from tracache.ui.runs_folder import own_folder\n"
        "with own_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True); time.sleep(60)\n"
    )
    dead, living = (
        subprocess.Popen(
            [sys.executable, "-c", holder, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for _ in range(2)
    )
    theirs, others = dead.stdout.readline().strip(), living.stdout.readline().strip()
    assert os.path.isdir(theirs)
    dead.kill()
    dead.wait()
    strange = tmp_path / "tracache-runs-of-somebody"
    strange.mkdir()
    try:
        with own_folder(tmp_path) as mine:
            assert not os.path.exists(theirs)
            assert os.path.isdir(others)
            assert strange.is_dir()
            assert stat.S_IMODE(mine.stat().st_mode) == 0o700
        assert not mine.exists()
    finally:
        living.kill()
        living.wait()


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_noticed_at_start(tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env={**os.environ, "TRACACHE_RUNS": str(tmp_path / where)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith(f"tracache: runs cannot be kept in {tmp_path / where}")
    assert "TRACACHE_RUNS" in line


def test_a_log_line_has_what_an_answer_says(server):
    request = urllib.request.Request(f"{server}/config", headers={"Origin": "http://evil.example"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    number = error.value.headers["X-Request-ID"]
    log = (server.runs.parent / "log.txt").read_text()
    assert f"request {number} from 127.0.0.1: GET /config answered 403" in log
    assert json.loads(error.value.read())["detail"].startswith("Another website")
