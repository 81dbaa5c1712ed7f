"""The page with Ray Serve behind it, started as a user starts it, with two replicas."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client

from tests.app import ROOT, wait_for
from tracache.compare.comparison import run
from tracache.compare.request import make_request
from tracache.models.loading import load_model
from tracache.serving.cluster import DEFAULTS, deploy

PROMPT = "a shiny red sphere on water at sunset"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of the page."""
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder),
        "TRACACHE_RUNS": str(folder / "runs"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Its sockets need short paths.
        "RAY_TMPDIR": "/tmp",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = shutil.which("serve", path=str(Path(sys.executable).parent))
    arguments = ["least=2", "most=2", "gpus=0", "cpus=0.5"]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [command, "run", "app:cluster", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/", process, folder / "log.txt", seconds=240)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def compare(address, **given):
    client = Client(address, verbose=False)
    return client.predict(prompt=PROMPT, api_name="/compare", **given)


def under_way(address):
    """Whether a run has begun, as Prometheus reads it."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        return b"\ntracache_runs_under_way 0.0" not in answer.read()


@pytest.mark.slow
def test_the_page_says_what_it_runs_on(cluster):
    config = json.loads(urllib.request.urlopen(f"{cluster}/config").read())
    texts = [str(part["props"].get("value")) for part in config["components"]]
    (banner,) = [text for text in texts if "Runs on <b>2 × CPU (" in text]
    assert "timings below are rough where others run" in banner


@pytest.mark.slow
def test_a_result_is_what_it_would_be_without(cluster):
    found = compare(cluster, steps=6, seed=3)
    here = run(load_model("scenes-t2i"), make_request("scenes-t2i", PROMPT, steps=6, seed=3))
    arms = {arm["arm"]: arm for arm in found["report"]["arms"]}
    for arm in here.arms:
        assert arms[arm.arm]["latent_error"] == arm.latent_error
        assert arms[arm.arm]["ssim"] == arm.ssim


@pytest.mark.slow
def test_two_work_at_once_and_each_has_its_own_result(cluster):
    """The short one begins after the long one and is done before it, as it could not in turn."""
    ends, found = [], {}

    def ask(name, **given):
        found[name] = compare(cluster, **given)
        ends.append(name)

    lengthy = {"steps": 100, "seed": 1, "arms": ["tracache", "pab", "taylorseer"]}
    long = threading.Thread(target=ask, args=("long",), kwargs=lengthy)
    long.start()
    while not under_way(cluster):
        assert long.is_alive()
        time.sleep(0.05)
    for seed in (5, 6):
        ask(seed, steps=4, seed=seed)
    long.join()
    assert ends[0] == 5
    for seed in (5, 6):
        alone = run(
            load_model("scenes-t2i"), make_request("scenes-t2i", PROMPT, steps=4, seed=seed)
        )
        assert found[seed]["report"]["arms"][1]["latent_error"] == alone.arms[1].latent_error
    assert found["long"]["report"]["arms"][0]["num_steps"] == 100


STOP_SCRIPT = """
import ray
from ray import serve

from tracache.compare.events import Finished, StepDone
from tracache.compare.request import make_request
from tracache.serving.cluster import Cluster

ray.init(address="auto", log_to_driver=False)
backend = Cluster(serve.get_deployment_handle("Replica", "default"), 2)
backend.meet("scenes-t2i")
prompt = "a shiny red sphere on water at sunset"
asked = make_request("scenes-t2i", prompt, steps=100, seed=1, trace=False)
both = [backend.run("compare", asked) for _ in range(2)]
for events in both:
    next(event for event in events if isinstance(event, StepDone))
waiting = backend.run("compare", asked)
assert next(waiting).message.startswith("Waiting")
for events in (*both, waiting):
    events.close()
# Hundreds of steps were left to each of them, and the third had not begun.
short = make_request("scenes-t2i", prompt, steps=4, seed=1, trace=False)
heard = list(backend.run("compare", short))
assert isinstance(heard[-1], Finished), heard[-1]
ran = [event.message for event in heard if getattr(event, "name", "") == "wait"]
print("free after", len(ran))
"""


@pytest.mark.slow
def test_stopped_work_ends_there_too(cluster):
    """In a process of its own, since Ray stays in one for good."""
    done = subprocess.run(
        [sys.executable, "-c", STOP_SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # It heard "waiting" four times a second, at most: steps left over would have taken longer.
    assert int(re.search(r"free after (\d+)", done.stdout).group(1)) < 20


@pytest.mark.slow
def test_whoever_asks_ray_is_led_to_the_page(cluster):
    with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=30) as answer:
        assert answer.url.rstrip("/") == cluster


@pytest.mark.slow
def test_an_error_there_is_a_message_here(cluster):
    with pytest.raises(Exception, match="PixArt"):
        compare(cluster, model="pixart-256")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"replicas": "2"}, "unknown argument 'replicas'"),
        ({"least": "two"}, "least must be a number"),
        ({"least": "1.5"}, "number of things"),
        ({"gpus": "nan"}, "number of things"),
        ({"least": "3", "most": "2"}, "most no less"),
        ({"least": "0"}, "least must be 1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        deploy(print, "scenes-t2i", arguments)


def test_defaults_make_an_application():
    assert deploy(print, "scenes-t2i", {name: str(v) for name, v in DEFAULTS.items()})
