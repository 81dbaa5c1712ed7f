"""What Prometheus reads, and who may."""

import base64
import errno
import time
import urllib.error
import urllib.request

import pytest
from gradio_client import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.app import start_app
from tracache.compare.events import Stage
from tracache.compare.request import make_request
from tracache.models.loading import ModelUnavailableError
from tracache.serving.backend import WorkerLostError
from tracache.ui.jobs import Jobs
from tracache.ui.prometheus import Metrics


def read(address, auth=None):
    request = urllib.request.Request(f"{address}/metrics")
    if auth:
        request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[(sample.name, *sorted(sample.labels.values()))] = sample.value
    return samples


def test_runs_are_counted_and_prompts_are_not(server):
    before = read(server)
    key = ("tracache_runs_total", "done", "scenes-t2i")
    client = Client(server, verbose=False)
    client.predict(
        prompt="a matte gold torus on grass at noon", steps=5, seed=77, api_name="/compare"
    )
    after = read(server)
    assert after[key] == before.get(key, 0) + 1
    arm = ("tracache_denoising_seconds_count", "full", "scenes-t2i")
    assert after[arm] == before.get(arm, 0) + 1
    assert after["tracache_runs_under_way",] == 0
    assert "torus" not in str(after)


def test_where_the_page_has_a_password_so_have_they(tmp_path):
    with start_app(tmp_path, TRACACHE_AUTH="me:secret", TRACACHE_API="off") as server:
        for wrong in (None, "me:wrong"):
            with pytest.raises(urllib.error.HTTPError) as error:
                read(server, wrong)
            assert error.value.code == 401
        assert read(server, "me:secret")["tracache_runs_under_way",] == 0


def test_failures_are_counted_apart():
    metrics = Metrics()
    for outcome in ("done", "failed", "failed"):
        metrics.note({"model": "m", "outcome": outcome, "seconds": 1.0, "denoising_s": {}})
    text = metrics.render()[0].decode()
    assert 'tracache_runs_total{model="m",outcome="failed"} 2.0' in text
    assert 'tracache_runs_total{model="m",outcome="done"} 1.0' in text


def test_what_was_the_matter_is_counted(tmp_path):
    def refused(error):
        def make(request):
            yield Stage("load", "Loading")
            raise error

        return make

    metrics = Metrics()
    jobs = Jobs(tmp_path, 120, metrics=metrics)
    request = make_request("scenes-t2i", "a red cube", steps=2)
    for error in (
        WorkerLostError("gone"),
        ModelUnavailableError("not here"),
        OSError(errno.ENOSPC, "full"),
        MemoryError(),
        ZeroDivisionError(),
        ValueError("steps"),
    ):
        list(jobs.start(request, "", refused(error)).follow(every_s=0))
    text = ""
    for _ in range(100):
        text = metrics.render()[0].decode()
        if text.count("tracache_errors_total{") == 6:
            break
        time.sleep(0.02)
    for kind in ("worker", "model", "disk", "memory", "bug", "input"):
        assert f'tracache_errors_total{{kind="{kind}"}} 1.0' in text
