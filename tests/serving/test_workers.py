"""Processes that do the work: as many at once as there are, each result its own, none left over."""

import os
import pickle
import signal
import time
from dataclasses import replace

import psutil
import pytest
import torch

from tracache.compare.comparison import run
from tracache.compare.events import Finished, Stage, StepDone
from tracache.compare.request import make_request
from tracache.models.loading import ModelUnavailableError, load_model
from tracache.serving import workers as module
from tracache.serving.backend import WorkerLostError
from tracache.serving.work import BlockPath, portable
from tracache.serving.workers import Workers, count_workers
from tracache.settings import Settings
from tracache.ui.jobs import Jobs

PROMPT = "a shiny red sphere on water at sunset"


def ask(**changes):
    return make_request("scenes-t2i", PROMPT, **{"seed": 1, "steps": 4, "trace": False, **changes})


def report(events):
    return next(event for event in events if isinstance(event, Finished)).report


def first_step(events):
    return next(event for event in events if isinstance(event, StepDone))


@pytest.fixture(scope="module")
def workers():
    workers = Workers(Settings.from_environment(), "scenes-t2i", 2)
    processes = [worker._process for worker in workers._workers]
    yield workers
    workers.close()
    # A test that waited for one has taken its exit status, without which it counts as alive.
    assert not any(psutil.pid_exists(process.pid) for process in processes)


def test_they_say_what_they_run_on(workers):
    about = workers.introduce()
    assert about.device.startswith("CPU (")
    assert about.dtype == "float32"
    assert workers.why_unavailable("scenes-t2i") == ""
    workers.require_available("scenes-t2i")
    # Not to be had without a network.
    assert "pixart-256" in about.unavailable
    with pytest.raises(ModelUnavailableError, match="PixArt"):
        workers.require_available("pixart-256")


def test_what_comes_from_there_is_what_would_come_from_here(workers):
    asked = ask(steps=6, trace=True, arms=["tracache", "fewer-steps"])
    there = report(workers.run("compare", asked))
    here = run(load_model("scenes-t2i"), asked)
    for a, b in zip(there.arms, here.arms, strict=True):
        assert a.latent_error == b.latent_error
        assert a.image.tobytes() == b.image.tobytes()
    assert (there.trace.orders == here.trace.orders).all()


def test_both_work_at_once_and_who_comes_third_waits(workers):
    long = workers.run("compare", ask(steps=100))
    first_step(long)
    assert report(workers.run("compare", ask())).arms[0].num_steps == 4
    another = workers.run("compare", ask(steps=100, seed=2))
    first_step(another)
    third = workers.run("compare", ask())
    heard = next(third)
    assert isinstance(heard, Stage)
    assert heard.message.startswith("Waiting")
    long.close()
    assert report(third)
    another.close()


@pytest.mark.slow
def test_stopped_work_ends_soon_and_leaves_the_worker_free(workers):
    before = report(workers.run("compare", ask()))
    for _ in range(3):
        # One after another takes the worker that has been free the longest: both are tried.
        events = workers.run("compare", ask(steps=100))
        first_step(events)
        begun = time.monotonic()
        events.close()
        assert time.monotonic() - begun < 20
    after = report(workers.run("compare", ask()))
    assert [a.latent_error for a in after.arms] == [b.latent_error for b in before.arms]


def test_a_block_is_drawn_there_too(workers):
    heard = list(workers.run("path", ask(steps=8), 2))
    (path,) = [event for event in heard if isinstance(event, BlockPath)]
    assert path.figure.data
    with pytest.raises(ValueError, match="block"):
        list(workers.run("path", ask(), 999))


def test_what_cannot_travel_does_not_hold_a_worker_up(workers):
    for _ in range(3):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            list(workers.run("compare", lambda: None))
    assert report(workers.run("compare", ask()))


@pytest.mark.slow
def test_a_worker_that_is_lost_is_replaced(workers):
    events = workers.run("compare", ask(steps=100))
    first_step(events)
    busy = [w for w in workers._workers if w not in workers._free.queue]
    os.kill(busy[0]._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="Another has taken its place"):
        list(events)
    both = [workers.run("compare", ask(steps=40, seed=seed)) for seed in (1, 2)]
    for events in both:
        first_step(events)
    assert all(report(events) for events in both)


def test_a_worker_that_hangs_is_given_up_at_the_deadline_and_replaced(
    workers, monkeypatch, tmp_path
):
    monkeypatch.setattr(module, "GRACE_S", 0.5)
    job, hung = begin_and_suspend(workers, Jobs(tmp_path, deadline_s=3.0))
    end = list(job.follow())[-1]
    assert end.state == "failed"
    assert "longer than the 3 seconds allowed" in end.error
    assert_replaced(workers, hung)


def test_stop_works_while_a_worker_hangs(workers, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "GRACE_S", 0.5)
    jobs = Jobs(tmp_path, deadline_s=600)
    job, hung = begin_and_suspend(workers, jobs)
    assert jobs.stop("me")
    before = time.monotonic()
    assert list(job.follow())[-1].state == "stopped"
    assert time.monotonic() - before < 5
    assert_replaced(workers, hung)


def begin_and_suspend(workers, jobs):
    """Return a job, and the process that would do it if it had not been suspended in a step."""
    job = jobs.start(ask(steps=100), "me", lambda request: workers.run("compare", request))
    for now in job.follow(every_s=0):
        if now.progress.arms and now.progress.arms[0].done:
            break
    (busy,) = [worker for worker in workers._workers if worker not in workers._free.queue]
    os.kill(busy._process.pid, signal.SIGSTOP)
    return job, psutil.Process(busy._process.pid)


def assert_replaced(workers, hung):
    """It is gone, and all work again, each at once."""
    hung.wait(timeout=20)
    both = [workers.run("compare", ask(steps=40, seed=seed)) for seed in (1, 2)]
    for events in both:
        first_step(events)
    assert all(report(events) for events in both)


def test_a_worker_that_hangs_does_not_hold_up_the_end():
    alone = Workers(Settings.from_environment(), "scenes-t2i", 1)
    process = alone._workers[0]._process
    os.kill(process.pid, signal.SIGSTOP)
    alone.close()
    assert not process.is_alive()


@pytest.mark.slow
def test_a_model_that_fails_there_is_remembered_and_tried_again(workers, tmp_path):
    broken = Workers(
        replace(Settings.from_environment(), assets=tmp_path, models=tmp_path), "scenes-t2i", 1
    )
    try:
        assert broken.introduce().device == ""
        assert "scenes-t2i" in broken.introduce().unavailable
        for _ in range(2):
            with pytest.raises(ModelUnavailableError):
                list(broken.run("compare", ask()))
        assert broken.why_unavailable("scenes-t2i")
    finally:
        broken.close()


@pytest.mark.slow
def test_they_end_with_the_page(workers):
    """Also where the page is killed: nobody is left to tell them."""
    script = (
        "import sys, time\n"
        "from tracache.serving.workers import Workers\n"
        "from tracache.settings import Settings\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(Settings.from_environment(), 'scenes-t2i', 1)\n"
        "    print(workers._workers[0]._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    import subprocess
    import sys

    page = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(page.stdout.readline()))
    page.kill()
    page.wait()
    worker.wait(timeout=30)


@pytest.mark.parametrize(
    "visible, workers, device, expected",
    [
        ("2,5,7", None, None, 3),
        ("2,5,7", None, "cuda", 3),
        ("2,5,7", None, "cuda:1", 0),
        ("2,5,7", None, "cpu", 0),
        ("2,5,7", 0, None, 0),
        ("2,5,7", 2, None, 2),
        ("4", None, None, 0),
        ("4", 1, None, 1),
    ],
)
def test_one_for_each_gpu_where_there_are_several(monkeypatch, visible, workers, device, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
    settings = replace(Settings.from_environment({}), workers=workers, device=device)
    assert count_workers(settings) == expected


def test_none_without_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    assert count_workers(Settings.from_environment({})) == 0


def test_errors_travel_without_what_they_held():
    class LocalError(Exception):
        pass

    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise LocalError("cannot be pickled") from inner
    except LocalError as error:
        told = portable(error)
    assert type(told) is RuntimeError
    assert str(told) == "LocalError: cannot be pickled"
    assert isinstance(portable(torch.OutOfMemoryError("full")), torch.OutOfMemoryError)
    plain = portable(ValueError("x"))
    assert plain.__traceback__ is None
