"""Jobs: followed, stopped, lost and found again, and what is left of them."""

import errno
import json
import pickle
import shutil
import threading
import time
from dataclasses import replace

import gradio as gr
import pytest
import torch

from tracache.compare.comparison import compare
from tracache.compare.events import ArmDone, Finished, Stage, StepDone
from tracache.compare.request import make_request
from tracache.compare.saving import save_arm
from tracache.models.loading import ModelUnavailableError, load_model
from tracache.serving.backend import Here, seconds_needed
from tracache.serving.work import run_comparison
from tracache.settings import Settings
from tracache.ui import job as module
from tracache.ui import jobs as keeping
from tracache.ui.handlers import Handlers
from tracache.ui.jobs import Jobs
from tracache.ui.widgets.share import share_job
from tracache.ui.widgets.viewer import show_job

PROMPT = "a shiny red sphere on water at sunset"


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path / "runs", deadline_s=120)


def ask(**changes):
    return make_request("scenes-t2i", PROMPT, **{"seed": 1, "steps": 4, "trace": False, **changes})


def work(request):
    yield from compare(load_model(request.model), request)


def last(job):
    return list(job.follow(every_s=0))[-1]


def test_a_run_leaves_its_pictures_and_an_archive(jobs):
    job = jobs.start(ask(), "me", work)
    seen = list(job.follow(every_s=0))
    assert [now.state for now in seen[:-1]] == ["running"] * (len(seen) - 1)
    end = seen[-1]
    assert end.state == "done"
    assert [arm.arm for arm in end.progress.arms] == ["full", "tracache"]
    assert all(arm.done == 4 for arm in end.progress.arms)
    assert sorted(p.name for p in job.folder.iterdir()) == [
        "full.png",
        "report.json",
        f"tracache-{job.id}.zip",
        "tracache.png",
    ]
    assert jobs.find(job.id) is job


def test_what_was_found_before_goes_when_another_run_begins(tmp_path):
    settings = replace(Settings.from_environment(), runs=tmp_path / "runs")
    handlers = Handlers(settings, Here(settings, "scenes-t2i"))
    shown = list(handlers.show(handlers.jobs.start(ask(), "me", work), [], own=True))
    assert (shown[0]["beside"], shown[0]["table"], shown[0]["heatmap"]) == ("", "", None)
    assert "dB" not in shown[0]["headline"]
    assert "8 of 20" not in shown[-1]["headline"]
    assert "TraCache" in shown[-1]["headline"]


def test_what_is_certain_is_said_before_the_clock_has_spoken(tmp_path):
    settings = replace(Settings.from_environment(), runs=tmp_path / "runs")
    handlers = Handlers(settings, Here(settings, "scenes-t2i"))
    told = threading.Event()

    def hold_the_end(request):
        for event in compare(load_model(request.model), request):
            if isinstance(event, Finished):
                assert told.wait(60)
            yield event

    job = handlers.jobs.start(ask(), "me", hold_the_end)
    said = []
    for changes in handlers.show(job, [], own=True):
        said += [changes["headline"]] if "headline" in changes else []
        if said and "dB" in said[-1]:
            told.set()
    begun, certain, end = said
    assert "dB" not in begun
    assert "TraCache" in certain
    assert "faster" not in certain
    assert "TraCache" in end


def test_whoever_comes_late_sees_the_end(jobs):
    job = jobs.start(ask(), "me", work)
    last(job)
    assert [now.state for now in job.follow()] == ["done"]


def test_a_run_goes_on_when_its_session_is_gone(jobs):
    job = jobs.start(ask(steps=12), "me", work)
    next(job.follow())
    jobs.leave("me")
    assert last(jobs.find(job.id)).state == "done"


def test_stop_ends_it_where_it_is(jobs):
    job = jobs.start(ask(steps=100), "me", work)
    for now in job.follow(every_s=0):
        if now.progress.arms and now.progress.arms[0].done >= 3:
            assert jobs.stop("me")
            break
    end = last(job)
    assert end.state == "stopped"
    assert end.progress.message.startswith("Stopped after step ")
    # What could be seen of it stays.
    (tile, _) = show_job(job.request, end, job.previews())["arms"]
    assert (tile["state"], tile["note"]) == ("stopped", "stopped here")
    assert tile["preview"].startswith("data:image/png;base64,")
    assert not jobs.stop("me")
    # The device is free for the next.
    assert last(jobs.start(ask(), "me", work)).state == "done"


def test_stopped_while_timing_it_says_so_and_keeps_what_is_certain(tmp_path):
    settings = replace(Settings.from_environment(), runs=tmp_path / "runs")
    handlers = Handlers(settings, Here(settings, "scenes-t2i"))

    def stop_at_timing(request):
        timed = replace(settings, timing_s=1.0)
        for event in compare(load_model(request.model), request, timed):
            if isinstance(event, Stage) and event.name == "timing":
                handlers.jobs.stop("me")
            yield event

    job = handlers.jobs.start(ask(trace=True), "me", stop_at_timing)
    end = list(handlers.show(job, [], own=True))[-1]
    assert "Stopped while timing, when every picture was done." in end["status"]
    assert "TraCache" in end["headline"]
    assert "faster" not in end["headline"] + end["beside"] + end["table"]
    assert all(word in end["table"] for word in ("Fewer MACs", "PSNR", "times are left out"))
    assert not any(word in end["table"] for word in ("Speed-up", "Denoising", "End to end"))


PHASES = {
    "loading": lambda e: isinstance(e, Stage) and e.name == "load",
    "encoding": lambda e: isinstance(e, Stage) and e.name == "encode",
    "warming up": lambda e: isinstance(e, Stage) and e.name == "warm-up",
    "full compute": lambda e: isinstance(e, StepDone) and e.arm == "full",
    "between arms": lambda e: isinstance(e, ArmDone) and e.result.arm == "full",
    "the cached arm": lambda e: isinstance(e, StepDone) and e.arm == "tracache" and e.step == 3,
    "counting": lambda e: isinstance(e, Stage) and e.name == "count",
    "tracing": lambda e: isinstance(e, Stage) and e.name == "trace",
}


QUICK = ("encoding", "the cached arm", "tracing")


@pytest.mark.parametrize(
    "phase", [pytest.param(p, marks=[pytest.mark.slow] * (p not in QUICK)) for p in PHASES]
)
def test_stop_works_in_every_phase(jobs, phase):
    """At once and with nothing left behind: the next run is as if there had been none."""
    request = ask(steps=6, trace=True, arms=["tracache", "pab"])
    before = last(jobs.start(ask(), "me", work)).results
    heard = []

    def make(request):
        for event in run_comparison(request, Settings.from_environment()):
            heard.append(event)
            if PHASES[phase](event):
                jobs.stop("me")
            yield event

    job = jobs.start(request, "me", make)
    assert last(job).state == "stopped"
    assert PHASES[phase](heard[-1])
    model = load_model("scenes-t2i")
    # Held until the step that was under way is over.
    with model.lock:
        modules = model.pipe.transformer.modules()
        hooks = [m for m in modules if m._forward_pre_hooks or m._forward_hooks]
    assert hooks == []
    after = last(jobs.start(ask(), "me", work)).results
    assert [arm.latent_error for arm in after] == [arm.latent_error for arm in before]


def test_a_session_has_one_run_at_a_time(jobs):
    first = jobs.start(ask(steps=100), "me", work)
    next(first.follow())
    second = jobs.start(ask(), "me", work)
    assert last(second).state == "done"
    assert last(first).state == "stopped"


def test_whoever_has_the_link_can_look_on_and_not_stop(jobs):
    """Nor by a job of their own; the owner can, also as the session that comes after a reload."""
    job = jobs.start(ask(steps=100), "owner", work)
    next(job.follow())
    for token in ("", job.id, job.token[:-1], "é" * 32):
        assert not jobs.adopt("visitor", jobs.find(job.id), token)
    assert not jobs.stop("visitor")
    theirs = jobs.start(ask(), "visitor", work)
    on = job.follow(every_s=0)
    assert [next(on).state for _ in range(5)] == ["running"] * 5
    jobs.leave("owner")
    assert jobs.adopt("owner again", jobs.find(job.id), job.token)
    assert jobs.stop("owner again")
    assert last(job).state == "stopped"
    assert last(theirs).state == "done"


def test_what_stops_a_job_is_neither_in_its_files_nor_in_the_log(jobs, caplog):
    caplog.set_level("INFO")
    job = jobs.start(ask(), "me", work)
    end = last(job)
    assert len(job.token) >= 32
    assert job.token not in json.dumps(job.summary(prompt=True)) + caplog.text
    assert job.token not in json.dumps(share_job(job, end))
    assert all(job.token.encode() not in file.read_bytes() for file in job.folder.iterdir())


def test_programs_do_not_stop_each_other(jobs):
    both = [jobs.start(ask(seed=i), "", work) for i in range(2)]
    assert [last(job).state for job in both] == ["done", "done"]


def test_who_waits_for_the_device_hears_it_and_can_give_up(jobs):
    model = load_model("scenes-t2i")
    with model.lock:
        job = jobs.start(ask(), "me", work)
        for now in job.follow(every_s=0):
            if now.progress.message.startswith("Waiting for another run"):
                break
        jobs.stop("me")
        assert last(job).state == "stopped"


def test_a_deadline_ends_it(tmp_path):
    job = Jobs(tmp_path, deadline_s=0.0).start(ask(steps=50), "me", work)
    end = last(job)
    assert end.state == "failed"
    assert "longer than the 0 seconds allowed" in end.error


def test_failures_are_told(jobs):
    def refused(request):
        yield Stage("load", "Loading")
        raise ModelUnavailableError("no such files")

    def broken(request):
        yield Stage("load", "Loading")
        raise ZeroDivisionError

    assert last(jobs.start(ask(), "a", refused)).error == "no such files"
    job = jobs.start(ask(), "b", broken)
    assert last(job).state == "failed"
    assert f"the server's log says why, under {job.id}" in last(job).error


def test_previews_show_while_a_run_goes_on(jobs):
    job = jobs.start(ask(steps=60), "me", work)
    found = {}
    while not found and job.snapshot().state == "running":
        found = job.previews()
        time.sleep(0.02)
    assert found["full"].startswith("data:image/png;base64,")
    jobs.stop("me")
    last(job)
    # Of where it stopped.
    assert list(job.previews()) == ["full"]


def test_old_runs_go_with_their_files(jobs):
    """By the clock, whether anybody begins another or asks for them."""
    old, new = (jobs.start(ask(seed=seed), "me", work) for seed in range(2))
    last(old), last(new)
    old.started -= keeping.KEPT_S
    jobs.expire()
    assert not old.folder.exists()
    assert jobs.find(old.id) is None
    assert jobs.find(new.id) is new
    new.started -= keeping.KEPT_S
    assert jobs.find(new.id) is None
    assert not new.folder.exists()


def test_many_runs_of_one_leave_anothers(jobs, monkeypatch):
    monkeypatch.setattr(keeping, "KEPT_JOBS", 4)
    address = "10.0.0.1"
    monkeypatch.setattr(keeping, "address_of_visitor", lambda: address)
    theirs = jobs.start(ask(), "modest", work)
    last(theirs)
    address = "10.0.0.2"
    for seed in range(7):
        last(jobs.start(ask(seed=seed), f"name {seed}", work))
    assert jobs.find(theirs.id) is theirs
    assert len([f for f in theirs.folder.parent.iterdir() if f.is_dir()]) == 4


def test_a_server_that_ends_lets_runs_end_and_tells_the_rest(jobs):
    events = list(work(ask()))

    def quick_one(request):
        time.sleep(0.3)
        yield from events

    quick, slow = jobs.start(ask(), "a", quick_one), jobs.start(ask(steps=100), "b", endless)
    jobs.drain(2.0)
    assert last(quick).state == "done"
    assert (last(slow).state, last(slow).error) == ("failed", keeping.ENDED)
    with pytest.raises(gr.Error, match="restarted"):
        jobs.start(ask(), "c", work)
    release.set()


release = threading.Event()


def endless(request):
    yield Stage("load", "Loading")
    release.wait(60)
    yield Stage("encode", "Encoding")


def test_one_that_was_given_up_stays_so(jobs):
    release.clear()
    job = jobs.start(ask(), "me", endless)
    next(job.follow(every_s=0))
    job.give_up("over")
    release.set()
    assert [now.state for now in job.follow(every_s=0)] == ["failed"]
    assert job.snapshot().error == "over"


def test_only_so_many_are_kept(jobs, monkeypatch):
    monkeypatch.setattr(keeping, "KEPT_JOBS", 2)
    made = []
    for seed in range(3):
        made.append(jobs.start(ask(seed=seed), "me", work))
        last(made[-1])
    last(jobs.start(ask(seed=9), "me", work))
    kept = [job for job in made if jobs.find(job.id) is not None]
    assert len(kept) <= 2
    assert made[0] not in kept


def test_ids_cannot_be_guessed(jobs):
    job = jobs.start(ask(), "me", work)
    last(job)
    assert len(job.id) >= 16
    assert jobs.find("") is None
    assert jobs.find("../" + job.id) is None
    assert threading.active_count() < 50


def test_running_out_of_memory_is_survived(jobs):
    """In the middle of a run, in a block; the next one works."""
    model = load_model("scenes-t2i")
    block = model.pipe.transformer.transformer_blocks[3]
    calls = []

    def full(*args):
        calls.append(1)
        if len(calls) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    hook = block.register_forward_pre_hook(full)
    try:
        end = last(jobs.start(ask(steps=20), "me", work))
    finally:
        hook.remove()
    assert end.state == "failed"
    assert end.error.startswith("The device ran out of memory. What the run held has been freed")
    assert last(jobs.start(ask(), "me", work)).state == "done"


def test_latents_that_are_not_finite_are_named(jobs):
    model = load_model("scenes-t2i")
    block = model.pipe.transformer.transformer_blocks[0]
    calls = []

    def spoil(module, args, output):
        calls.append(1)
        # Full compute and the first step of the cache are left alone.
        return output * float("nan") if len(calls) > 6 + 1 else output

    # Once the model is warm, nothing but the arms calls a block.
    last(jobs.start(ask(), "me", work))
    hook = block.register_forward_hook(spoil)
    try:
        end = last(jobs.start(ask(steps=6), "me", work))
    finally:
        hook.remove()
    assert end.state == "failed"
    assert end.error.startswith("TraCache gave latents that are not finite")
    assert "full" in end.files
    assert last(jobs.start(ask(), "me", work)).state == "done"


def test_an_exception_in_a_block_leaves_no_cache_behind(jobs):
    model = load_model("scenes-t2i")
    block = model.pipe.transformer.transformer_blocks[5]
    calls = []

    def broken(*args):
        calls.append(1)
        # The model is warm: after full compute's six, the second that the cache computes.
        if len(calls) == 6 + 2:
            raise RuntimeError("a kernel that is not there")

    before = last(jobs.start(ask(), "me", work)).results
    hook = block.register_forward_pre_hook(broken)
    try:
        end = last(jobs.start(ask(steps=6), "me", work))
    finally:
        hook.remove()
    assert "the server's log says why" in end.error
    after = last(jobs.start(ask(), "me", work)).results
    assert [arm.latent_error for arm in after] == [arm.latent_error for arm in before]
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(after, before, strict=True))


def test_a_model_that_cannot_be_loaded_is_told_and_may_be_repaired(tmp_path):
    """Its weights are cut in half on the disk, and then whole again; others go on meanwhile."""
    folder = tmp_path / "scenes-t2i"
    shutil.copytree(Settings.from_environment().assets / "scenes-t2i", folder)
    settings = replace(Settings.from_environment(), assets=tmp_path, runs=tmp_path / "runs")
    backend = Here(settings, "scenes-t2i")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert backend.introduce().device == ""
    jobs = Jobs(settings.runs, 120)
    end = last(jobs.start(ask(), "me", lambda request: backend.run("compare", request)))
    assert end.state == "failed"
    assert "are incomplete or damaged" in end.error
    assert "incomplete or damaged" in backend.why_unavailable("scenes-t2i")
    assert last(jobs.start(ask(), "other", work)).state == "done"
    weights.write_bytes(whole)
    assert (
        last(jobs.start(ask(), "me", lambda request: backend.run("compare", request))).state
        == "done"
    )
    assert backend.why_unavailable("scenes-t2i") == ""


def test_a_full_disk_is_told(jobs, monkeypatch):
    saved = []

    def full(*args, **more):
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(save_arm(*args, **more))
        return saved[0]

    monkeypatch.setattr(module, "save_arm", full)
    job = jobs.start(ask(), "me", work)
    end = last(job)
    assert end.error == module.DISK_FULL
    # What there was of it makes room for the next.
    assert not job.folder.exists()
    assert end.files == {}
    monkeypatch.undo()
    assert last(jobs.start(ask(), "me", work)).state == "done"


def test_the_log_has_a_line_for_each_run_and_no_prompt(jobs, caplog):
    caplog.set_level("INFO", logger="tracache.ui.jobs")
    job = jobs.start(ask(), "me", work)
    last(job)
    for _ in range(100):
        if caplog.records:
            break
        time.sleep(0.02)
    line = json.loads(caplog.records[-1].getMessage())
    assert (line["run"], line["outcome"], line["model"]) == (job.id, "done", "scenes-t2i")
    assert set(line["denoising_s"]) == {"full", "tracache"}
    assert PROMPT not in caplog.text


def test_whatever_comes_from_the_gpu_can_be_pickled():
    """Since on a shared GPU it comes from another process."""
    request = ask(steps=6, trace=True, arms=["tracache", "fewer-steps"])
    events = list(run_comparison(request, Settings.from_environment()))
    again = [pickle.loads(pickle.dumps(event)) for event in events]
    assert [type(event) for event in again] == [type(event) for event in events]
    report, before = again[-1].report, events[-1].report
    assert (report.trace.orders == before.trace.orders).all()
    assert report.arms[1].image.tobytes() == before.arms[1].image.tobytes()
    glimpses = [e.glimpse for e in again if isinstance(e, StepDone) and e.glimpse is not None]
    assert glimpses[0].estimate().shape == (1, 8, 16, 16)


def test_a_shared_gpu_is_asked_for_as_long_as_a_run_may_take():
    settings = Settings.from_environment()
    short = seconds_needed(ask(steps=4), settings)
    long = seconds_needed(ask(steps=100, arms=["tracache", "reuse", "pab"]), settings)
    assert 15 <= short < long <= 120
