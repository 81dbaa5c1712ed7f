"""Forecasts that the last block verifies, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import tracache
from tests.tiny import denoise, dit, pixart, scheduler, stdit3
from tracache.caching.layouts import LAYOUTS, UNKNOWN, count_module_calls
from tracache.caching.methods import SpeCaConfig
from tracache.caching.trace import COMPUTED


class Add(nn.Module):
    """A block that adds the time, and counts how often it does."""

    def __init__(self, share):
        super().__init__()
        self.share, self.ran = share, 0

    def forward(self, hidden_states, timestep):
        self.ran += 1
        return hidden_states + self.share * timestep


class Sums(nn.Module):
    """Three blocks, of which the last alone hears of the time."""

    def __init__(self):
        super().__init__()
        self.transformer_blocks = nn.ModuleList([Add(0.0), Add(0.0), Add(1.0)])

    def forward(self, x, timestep):
        for block in self.transformer_blocks:
            x = block(x, timestep)
        return x

    @property
    def ran(self):
        return [block.ran for block in self.transformer_blocks]


@pytest.fixture
def sums(monkeypatch):
    monkeypatch.setitem(LAYOUTS, "Sums", replace(UNKNOWN, blocks=("transformer_blocks",)))
    return Sums()


TIMES = (9.0, 8.0, 7.0, 5.5, 5.0, 2.0, 1.0)


def run(model, config):
    """What comes out at each step, of latents that are 4 throughout, and how often blocks ran."""
    handle = tracache.attach(model, config, num_steps=len(TIMES))
    found, ran = [], []
    for time in TIMES:
        found.append(model(torch.full((1, 2, 3), 4.0), torch.tensor([time])).unique().item())
        ran.append(model.ran)
    return found, ran, handle.trace


def test_accepted_while_the_last_block_bears_it_out(sums):
    config = SpeCaConfig(threshold=0.1, decay=1.0, max_order=1, warmup=2, max_skips=2)
    found, ran, trace = run(sums, config)
    # 13, 12; forecast 11 and is 11; forecast 10 and is 9.5, off by .5 / 9.5; two skips in a row are
    # the most; forecast 8 and is 6; forecast 3 and is 5.
    assert found == pytest.approx([13.0, 12.0, 11.0, 10.0, 9.0, 6.0, 5.0])
    assert trace.computed.tolist() == [True, True, False, False, True, True, True]
    assert (trace.orders[2:4] == 1).all()
    assert (trace.orders[4:] == COMPUTED).all()
    # The last block ran once more where it did not bear the forecast out.
    assert ran == [
        [1, 1, 1],
        [2, 2, 2],
        [2, 2, 3],
        [2, 2, 4],
        [3, 3, 5],
        [4, 4, 7],
        [5, 5, 9],
    ]


def test_the_threshold_falls_along_the_run(sums):
    """.5 / 9.5 = .0526 at step 3 of 7: .1 · β^(3/7) is less from β = .22 on down."""
    config = {"threshold": 0.1, "max_order": 1, "warmup": 2, "max_skips": 9}
    assert run(sums, SpeCaConfig(**config, decay=0.23))[0][3] == 10.0
    assert run(Sums(), SpeCaConfig(**config, decay=0.21))[0][3] == 9.5


def test_a_falling_threshold_needs_the_number_of_steps():
    with pytest.raises(ValueError, match=r"decay=0.3 needs .* number of steps: pass num_steps"):
        tracache.attach(pixart(), SpeCaConfig())
    tracache.attach(pixart(), SpeCaConfig(decay=1.0))


@pytest.mark.parametrize("make", [pixart, dit, stdit3])
def test_what_is_rejected_is_computed_bit_for_bit(make):
    """A threshold that nothing meets: full compute, and the last block a second time."""
    model, made = make(), scheduler("ddim")
    expected = denoise(model, made=made)
    handle = tracache.attach(model, SpeCaConfig(threshold=1e-9), scheduler=made)
    with count_module_calls(model) as calls:
        found = denoise(model, made=made)
    assert torch.equal(found, expected)
    assert handle.trace.computed.all()
    assert [block["ff"] for block in calls] == [12, 12, 12, 12 + 12 - 3]


def test_what_it_computes_is_what_its_trace_says():
    model, made = pixart(), scheduler("ddim")
    config = SpeCaConfig(threshold=0.5, decay=0.5)
    handle = tracache.attach(model, config, scheduler=made)
    with count_module_calls(model) as calls:
        denoise(model, made=made)
    computed = np.flatnonzero(handle.trace.computed)
    assert 3 < len(computed) < 12
    assert [block["ff"] for block in calls[:3]] == [len(computed)] * 3
    # Every step that was not forced is tried on the last block, and then once where rejected.
    assert 12 <= calls[3]["ff"] <= 12 + len(computed) - 3


def test_one_block_has_no_others_to_skip():
    model, made = pixart(num_layers=1), scheduler("ddim")
    expected = denoise(model, made=made)
    handle = tracache.attach(model, SpeCaConfig(threshold=100.0), scheduler=made)
    assert torch.equal(denoise(model, made=made), expected)
    assert handle.trace.computed.all()
