"""The training loop: cut or killed, a run goes on as if it had not been; its average is right."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.app import ROOT
from tracache.training.data import render_into, rendered, written_whole
from tracache.training.fit import Budget, Effort, fit, load_average
from tracache.training.machine import ThreadChooser
from tracache.training.optim import orthogonalise, split_optimisers


def build():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def train(path, steps=8, end=None, warmup=2, seen=None, **effort):
    """Fit a little network with dropout; ``end`` is called before each step."""
    torch.manual_seed(0)
    module = build()
    taken = iter(range(steps))

    def loss(generator, progress):
        if end:
            end(next(taken))
        if seen is not None:
            seen.append([p.detach().clone() for p in module.parameters()])
        x = torch.randn(5, 3, generator=generator)
        return (module(x).float() - x.sum(1, keepdim=True)).square().mean()

    optimisers = split_optimisers(module, lambda name: name == "0.weight", 0.01, 0.01)
    asked = Effort(Budget(steps=steps, warmup=warmup), save_every=0.0, **effort)
    fit(module, optimisers, loss, asked, path, batch=5, decay=0.4)
    return module


def die(step):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)


def stop(step):
    if step == 5:
        raise KeyboardInterrupt


def same(one, other):
    """Whether two checkpoints hold the same, the time they took aside."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return all(same(one[key], other[key]) for key in one if key != "elapsed")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def load(path):
    return torch.load(path, weights_only=True)


def test_a_cut_run_goes_on_as_if_it_had_not_been_cut(tmp_path):
    whole = train(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.pt", end=stop)
    assert load(tmp_path / "cut.pt")["step"] == 5
    cut = train(tmp_path / "cut.pt")
    assert load(tmp_path / "cut.pt")["step"] == 8
    assert same(load(tmp_path / "cut.pt"), load(tmp_path / "whole.pt"))
    assert same(cut.state_dict(), whole.state_dict())


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    train(tmp_path / "whole.pt")
    code = "from pathlib import Path; from tests.training.test_fit import *; "
    code += f"train(Path({str(tmp_path / 'killed.pt')!r}), end=die)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert load(tmp_path / "killed.pt")["step"] == 5
    train(tmp_path / "killed.pt")
    assert same(load(tmp_path / "killed.pt"), load(tmp_path / "whole.pt"))


def test_a_finished_run_is_left_alone(tmp_path):
    first = train(tmp_path / "run.pt")
    before = (tmp_path / "run.pt").read_bytes()
    again = train(tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == before
    assert same(first.state_dict(), again.state_dict())


def test_whoever_dies_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "file"
    with written_whole(path) as file:
        file.write(b"old")

    def die_while_writing():
        with written_whole(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_while_writing()
    assert path.read_bytes() == b"old"


def test_the_average_follows_the_weights_and_is_what_remains(tmp_path):
    seen = []
    module = train(tmp_path / "run.pt", seen=seen)
    last = load(tmp_path / "run.pt")["module"]
    after = [*seen[1:], list(last.values())]  # the weights after each step
    average = after[0]
    for step, weights in enumerate(after[1:], 1):
        decay = min(0.4, (1 + step) / (10 + step))  # early steps count for less
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    for mine, wanted, raw in zip(module.parameters(), average, last.values(), strict=True):
        torch.testing.assert_close(mine, wanted)
        assert not torch.equal(mine, raw)
    assert not module.training
    fresh = build()
    assert load_average(fresh, tmp_path / "run.pt") == {"steps": 8, "minutes": 0.0}
    assert same(fresh.state_dict(), module.state_dict())


def test_a_resumed_run_reports_the_mean_of_its_own_steps(tmp_path, capsys):
    def losses():
        lines = capsys.readouterr().out.splitlines()
        return [float(line.split()[4]) for line in lines if line.startswith("step ")]

    train(tmp_path / "one.pt", report_every=1)
    each = losses()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.pt", end=stop, report_every=8)
    train(tmp_path / "cut.pt", report_every=8)
    assert losses() == [pytest.approx(sum(each[5:]) / 3, abs=1e-4)]


def test_checks_see_the_average_and_leave_the_run_as_it_was(tmp_path, capsys):
    module, noted = nn.Linear(2, 1), []

    def check(averaged):
        noted.append((averaged.training, averaged.weight.detach().clone()))
        return "all is well"

    def run(name, **settings):
        torch.manual_seed(0)
        module.reset_parameters()
        adamw = torch.optim.AdamW(module.parameters(), lr=0.1)
        effort = Effort(Budget(steps=6, warmup=1), report_every=1)

        def loss(generator, progress):
            return module(torch.randn(4, 2, generator=generator)).float().square().mean()

        fit(module, [adamw], loss, effort, tmp_path / name, batch=4, decay=0.9, **settings)
        return load(tmp_path / name)

    assert same(run("checked.pt", check=check), run("plain.pt"))
    assert [training for training, _ in noted] == [False]
    assert "all is well" in capsys.readouterr().out
    assert not torch.equal(noted[0][1], module.weight)


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(tmp_path):
    module = nn.Linear(2, 1)

    def loss(generator, progress):
        return module(torch.ones(1, 2)).float().sum() * (float("nan") if progress > 0.4 else 1.0)

    effort = Effort(Budget(steps=4), save_every=0.0)
    adamw = [torch.optim.AdamW(module.parameters(), lr=0.1)]
    with pytest.raises(FloatingPointError, match=r"step 3 .*run\.pt"):
        fit(module, adamw, loss, effort, tmp_path / "run.pt", batch=1)
    assert load(tmp_path / "run.pt")["step"] == 2


def test_learning_rate_warms_up_holds_and_ends_at_zero():
    budget = Budget(steps=1000, warmup=100, hold=0.3)
    assert budget.rate(0, 0.0) == 0.01
    assert budget.rate(200, 0.0) == 1.0
    assert budget.rate(650, 0.0) == pytest.approx(0.5)
    assert budget.rate(1000, 0.0) == 0.0
    clock = Budget(minutes=10)
    assert clock.progress(5, 300.0) == 0.5
    assert clock.progress(5, 900.0) == 1.0
    for nothing in ({}, {"minutes": 0}, {"steps": 0}):
        with pytest.raises(ValueError, match="budget"):
            Budget(**nothing)


@pytest.mark.parametrize(("alone", "better"), [(0.5, 1), (2.0, 4)])
def test_threads_are_chosen_by_what_is_faster_now(monkeypatch, alone, better):
    state = {"threads": 4, "now": 0.0}
    monkeypatch.setattr(torch, "get_num_threads", lambda: state["threads"])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: state.update(threads=n))
    monkeypatch.setattr("time.monotonic", lambda: state["now"])
    chooser, used = ThreadChooser(cycle=10), []
    for _ in range(20):
        used.append(state["threads"])
        state["now"] += alone if state["threads"] == 1 else 1.0
        chooser.step()
    assert used[:9] == [4] * 9
    assert used[10:14] == [1, 1, 4, 4]
    assert set(used[14:]) == {better}


def test_muon_pushes_singular_values_towards_one():
    stack = torch.randn(3, 24, 64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(stack).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_rendering_goes_on_where_it_was_cut_and_starts_over_for_other_captions(tmp_path):
    path, drawn = tmp_path / "work" / "images.npy", []

    def draw(first, last):
        if len(drawn) == 2:
            drawn.append(None)
            raise KeyboardInterrupt
        drawn.append((first, last))
        return np.arange(first, last)[:, None, None] * np.ones((2, 2))

    with pytest.raises(KeyboardInterrupt):
        render_into(path, list("abcdefg"), (2, 2), draw, chunk=2)
    assert rendered(path.parent) == 4
    render_into(path, list("abcdefg"), (2, 2), draw, chunk=2)
    assert drawn == [(0, 2), (2, 4), None, (4, 6), (6, 7)]
    assert np.load(path)[:, 0, 0].tolist() == list(range(7))
    render_into(path, list("abc"), (2, 2), draw, chunk=4)
    assert drawn[-1] == (0, 3)
    assert np.load(path).shape == (3, 2, 2)
