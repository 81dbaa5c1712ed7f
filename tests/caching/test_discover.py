"""Blocks found by structure, what is live of them proved: the special cases, on toys."""

from __future__ import annotations

import pytest
import torch
from diffusers import PixArtTransformer2DModel
from diffusers.models.transformers.transformer_flux2 import (
    Flux2KVAttnProcessor,
    Flux2KVParallelSelfAttnProcessor,
)
from torch import nn

import tracache
from tests.caching.zoo import Inputs, make
from tests.tiny import denoise, pixart
from tracache import TraCacheConfig
from tracache.caching.discover import discover_blocks
from tracache.methods import (
    AdaCacheConfig,
    DeltaDiTConfig,
    FasterCacheConfig,
    FirstBlockConfig,
    MagCacheConfig,
    PABConfig,
    SeaCacheConfig,
    TeaCacheConfig,
    ToCaConfig,
)

REUSE = TraCacheConfig(stride=2, max_order=0)
LINEAR = TraCacheConfig(stride=2, max_order=1, order="fixed")
TIMES = (900.0, 700.0, 600.0, 250.0)


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.ran = 0

    def forward(self, x):
        self.ran += 1
        return x + torch.tanh(self.linear(x))


class Toy(nn.Module):
    """Tokens through blocks, and a head; subclasses differ in what reaches the head."""

    def __init__(self, depth=3):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4)
        self.layers = nn.ModuleList(Block() for _ in range(depth))
        self.head = nn.Linear(4, 4)

    def forward(self, x, timestep, text=None):
        x = self.first(x) + timestep.reshape(-1, 1, 1) / 1000
        for block in self.layers:
            x = block(x)
        return self.head(x)


def run(model, times=TIMES, text=None, shape=(2, 5, 4), rises=False):
    text = torch.zeros(1) if text is None else text
    outputs, ran = [], []
    with torch.no_grad():
        for seed, time in enumerate(times):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            before = sum(m.ran for m in model.modules() if isinstance(m, Block))
            outputs.append(model(x, timestep=torch.full((shape[0],), time), text=text).clone())
            ran.append(sum(m.ran for m in model.modules() if isinstance(m, Block)) - before)
    return outputs, ran


def tail_of(handle):
    (tail,) = handle._stack.tails.values()
    return tail


# Where blocks are


def test_outermost_lists_are_found_wherever_they_are():
    model = nn.Module()
    model.inner = nn.Sequential(nn.Module())
    model.inner[0].blocks = nn.ModuleList([Block(), nn.Sequential(nn.ModuleList([Block()]))])
    model.projections = nn.ModuleList([nn.Linear(2, 2)])
    model.levels = nn.ModuleList([nn.ModuleList([Block()]), nn.ModuleList([Block()])])
    model.modes = nn.ModuleDict({"image": nn.ModuleList([Block()]), "text": nn.Linear(1, 1)})
    model.sparse = nn.ModuleDict({"0": Block(), "4": Block()})
    assert [block.path for block in discover_blocks(model)] == [
        "inner.0.blocks.0",
        "inner.0.blocks.1",
        "levels.0.0",
        "levels.1.0",
        "modes.image.0",
        "sparse.0",
        "sparse.4",
    ]


def test_what_has_no_blocks_or_no_time_is_refused():
    with pytest.raises(TypeError, match=r"no blocks recognised in Linear"):
        tracache.attach(nn.Linear(2, 2))

    class Timeless(Toy):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match=r"Timeless.forward takes no timestep.*are x"):
        tracache.attach(Timeless())


@pytest.mark.parametrize(
    "config, why",
    [
        (TraCacheConfig(space="modules"), "attentions and MLPs"),
        (PABConfig(), "attentions"),
        (ToCaConfig(), "maps"),
        (TeaCacheConfig(), "modulated"),
        (AdaCacheConfig(), "attentions and MLPs"),
        (FasterCacheConfig(), "which half"),
        (DeltaDiTConfig(), "hidden states alone"),
        (FirstBlockConfig(), "hidden states alone"),
        (MagCacheConfig((1.0,)), "hidden states alone"),
        (SeaCacheConfig(), "hidden states alone"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_methods_that_need_more_say_what(config, why):
    with pytest.raises(TypeError, match=rf"{why}.*PixArt.*not of Toy: use TraCacheConfig"):
        tracache.attach(Toy(), config, num_steps=4)


# What is live


def test_one_tensor_of_the_last_block_is_live():
    model = Toy()
    handle = tracache.attach(model, LINEAR)
    outputs, ran = run(model)
    assert ran == [3, 0, 3, 0]
    assert tail_of(handle).live == ((2, 0),)
    assert handle.trace.orders[:, -1].tolist() == [-1, 0, -1, 1]
    assert handle.trace.labels == ("layers.0", "layers.1", "layers.2")
    again, _ = run(model)
    assert all(torch.equal(a, b) for a, b in zip(outputs, again, strict=True))


class WithGuidance(Toy):
    """A little list of layers makes the modulation, which blocks and head read."""

    def __init__(self):
        super().__init__()
        self.guide = nn.Module()
        self.guide.layers = nn.ModuleList(nn.Sequential(nn.Linear(1, 1)) for _ in range(2))
        self.guide.norms = nn.ModuleList(nn.LayerNorm(1) for _ in range(2))

    def forward(self, x, timestep, text=None):
        m = timestep.reshape(-1, 1) / 1000
        for layer, norm in zip(self.guide.layers, self.guide.norms, strict=True):
            m = m + layer(norm(m))
        for block in self.layers:
            x = block(x * m[:, None])
        return self.head(x + m[:, None])


def test_small_lists_that_something_else_reads_always_compute():
    model = WithGuidance()
    handle = tracache.attach(model, REUSE)
    outputs, ran = run(model)
    assert ran == [3, 0, 3, 0]
    tail = tail_of(handle)
    assert (len(tail.always), tail.live) == (4, ((2, 0),))
    # Of two skipped steps only the modulation differs, and it is the step's own.
    handle.detach()
    with torch.no_grad():
        m = torch.full((2, 1), 0.7)
        for layer, norm in zip(model.guide.layers, model.guide.norms, strict=True):
            m = m + layer(norm(m))
        x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
        first = torch.full((2, 1), 0.9)
        for layer, norm in zip(model.guide.layers, model.guide.norms, strict=True):
            first = first + layer(norm(first))
        for block in model.layers:
            x = block(x * first[:, None])
        assert torch.allclose(outputs[1], model.head(x + m[:, None]), atol=1e-6)


class WithSkips(Toy):
    """Two blocks' outputs meet in the head."""

    def forward(self, x, timestep, text=None):
        x = self.first(x)
        one = self.layers[0](x)
        return self.head(one + self.layers[2](self.layers[1](one)))


def test_several_calls_answer_where_several_are_read():
    model = WithSkips()
    handle = tracache.attach(model, REUSE)
    outputs, ran = run(model)
    # What is read beside the last call is looked up in one more forward.
    assert ran[1] == ran[3] == 0
    assert tail_of(handle).live == ((0, 0), (2, 0))
    assert torch.allclose(outputs[1], outputs[0], atol=1e-6)


class Sum(Toy):
    """Every block's output is read."""

    def forward(self, x, timestep, text=None):
        x, total = self.first(x), 0
        for block in self.layers:
            x = block(x)
            total = total + x
        return {"sample": self.head(total)}["sample"]


class Odd(Block):
    def forward(self, x):
        return Held(super().forward(x if isinstance(x, torch.Tensor) else x.value))


class Held:
    def __init__(self, value):
        self.value = value


class Wrapped(Toy):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Odd() for _ in range(3))

    def forward(self, x, timestep, text=None):
        for block in self.layers:
            x = block(x)
        return self.head(x.value)


@pytest.mark.parametrize(
    "make, why", [(lambda: Sum(depth=12), "12 tensors"), (Wrapped, "neither a tensor")]
)
def test_else_the_output_is_extrapolated_as_a_whole(make, why):
    model = make()
    handle = tracache.attach(model, LINEAR)
    outputs, ran = run(model)
    assert ran[1] == ran[3] == 0
    assert why in tail_of(handle).reason
    assert torch.equal(outputs[1], outputs[0])
    expected = outputs[2] + (outputs[2] - outputs[0]) * (250 - 600) / (600 - 900)
    assert torch.allclose(outputs[3], expected, atol=1e-5)


class Quantised(Toy):
    """A head that swallows NaN."""

    def forward(self, x, timestep, text=None):
        x = self.first(x)
        one = self.layers[0](x)
        two = self.layers[2](self.layers[1](one))
        return self.head(torch.nan_to_num(one) + two)


def test_numbers_tell_where_nan_is_swallowed():
    model = Quantised()
    handle = tracache.attach(model, REUSE)
    outputs, ran = run(model)
    assert ran[1] == ran[3] == 0
    assert tail_of(handle).reason
    assert torch.equal(outputs[1], outputs[0])


def test_an_output_that_shows_no_tensors_is_refused():
    class Hidden(Toy):
        def forward(self, x, timestep, text=None):
            return Held(super().forward(x, timestep))

    tracache.attach(model := Hidden(), REUSE)
    with pytest.raises(TypeError, match=r"Hidden returns Held, in which no tensors are found"):
        model(torch.zeros(2, 5, 4), torch.full((2,), 900.0))


# Writing in place


class Writing(Toy):
    """As a ControlNet's residual: added in place to what a block has returned."""

    def forward(self, x, timestep, text=None):
        x = self.first(x)
        for block in self.layers:
            x = block(x)
            x[:, 2:] += 1 + timestep.reshape(-1, 1, 1) / 1000
        return self.head(x)


@pytest.mark.parametrize("config", [REUSE, LINEAR], ids=["reuse", "linear"])
def test_what_is_written_into_later_is_kept_as_it_was(config):
    model = Writing()
    handle = tracache.attach(model, config)
    outputs, ran = run(model)
    tail = tail_of(handle)
    assert ran == [3, 0, 3, 0]
    assert (tail.dense, tail.copied, tail.live) == (True, True, ((2, 0),))
    handle.detach()
    # The residual of a skipped step is its own: reuse differs by the times alone.
    if config is REUSE:
        moved = model.head.weight.sum(1) * (700 - 900) / 1000
        assert torch.allclose(outputs[1][:, 2:], outputs[0][:, 2:] + moved, atol=1e-5)
        assert torch.allclose(outputs[1][:, :2], outputs[0][:, :2], atol=1e-6)
        moved = model.head.weight.sum(1) * (250 - 600) / 1000
        assert torch.allclose(outputs[3][:, 2:], outputs[2][:, 2:] + moved, atol=1e-5)


@torch.no_grad()
def test_chromas_residual_is_added_in_place_and_harms_no_history():
    name = "ChromaTransformer2DModel"
    model = make(name)
    given = Inputs(name, model)(1.0)
    given["controlnet_single_block_samples"] = [torch.randn(1, 16, 32) for _ in range(3)]
    times = (0.9, 0.7, 0.6, 0.25)

    def outputs():
        timed = ({**given, "timestep": torch.tensor([time])} for time in times)
        return [model(**inputs).sample.clone() for inputs in timed]

    handle = tracache.attach(model, REUSE)
    actual = outputs()
    assert tail_of(handle).copied
    handle.detach()
    kept = []

    def replace(module, args, output):
        kept.append(output.clone() if len(kept) % 2 == 0 else kept[-1])
        return kept[-1].clone()

    hook = model.single_transformer_blocks[-1].register_forward_hook(replace)
    for found, expected in zip(actual, outputs(), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)
    hook.remove()


class Consuming(Toy):
    """Uses up what it is given: a list of residuals, and the latents' own memory."""

    def forward(self, x, timestep, text):
        text = text["residuals"]
        x += timestep.reshape(-1, 1, 1) / 1000
        for block in self.layers:
            x = block(x)
            if text and float(timestep[0]) != 600:
                x += text.pop()
        return self.head(x)


def test_a_forward_may_use_up_what_it_is_given():
    model = Consuming()
    config = TraCacheConfig(full_steps=(0, 3), max_order=0)
    latents = [torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    every = [torch.full((2, 5, 4), 0.5), torch.full((2, 5, 4), 2.0)]

    def outputs():
        found = []
        for x, time in zip(latents, TIMES, strict=True):
            residuals = list(every)
            given, before = x.clone(), x + time / 1000
            with torch.no_grad():
                found.append(model(given, torch.full((2,), time), {"residuals": residuals}))
            # As without a cache: used up once, and written into once.
            assert len(residuals) == (2 if time == 600 else 0)
            assert torch.equal(given, before)
        return found

    plain = outputs()
    handle = tracache.attach(model, config)
    cached = outputs()
    tail = next(iter(handle._stack.tails.values()))
    assert (tail.live, tail.dense) == (((2, 0),), True)
    assert torch.equal(cached[0], plain[0])
    assert torch.equal(cached[1], plain[0])
    assert torch.equal(cached[3], plain[3])


class Fickle(Consuming):
    """Takes another way once it has used up what it was given."""

    def forward(self, x, timestep, text):
        text["residuals"].pop()
        for block in list(self.layers)[: 2 if float(timestep[0]) == 700 else 3]:
            x = block(x)
        return self.head(x + text["residuals"].pop())


def test_what_goes_another_way_is_computed_with_all_that_it_was_given():
    model = Fickle()
    x, residuals = torch.randn(2, 5, 4), [torch.zeros(2, 5, 4), torch.ones(2, 5, 4)]

    def output(time):
        with torch.no_grad():
            return model(x, torch.full((2,), time), {"residuals": list(residuals)})

    plain = [output(time) for time in (900.0, 700.0)]
    tracache.attach(model, TraCacheConfig(stride=9, max_order=0))
    for time, expected in zip((900.0, 700.0), plain, strict=True):
        assert torch.equal(output(time), expected)


# Kinds of calls


@torch.no_grad()
def test_reading_from_a_cache_of_keys_is_another_kind_of_call():
    """FLUX.2 klein: the first step goes through reference images, the others read what it kept."""
    name = "Flux2Transformer2DModel"
    model = make(name)
    for block in model.transformer_blocks:
        block.attn.set_processor(Flux2KVAttnProcessor())
    for block in model.single_transformer_blocks:
        block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
    given = Inputs(name, model)(1.0)
    ids = given["img_ids"]
    first = {
        "hidden_states": torch.cat([given["hidden_states"]] * 2, dim=1),
        "img_ids": torch.cat([ids, ids], dim=1),
        "kv_cache_mode": "extract",
        "num_ref_tokens": 16,
    }
    handle = tracache.attach(model, TraCacheConfig(stride=9, max_order=0))
    sizes = []
    for time in (1.0, 0.9):
        output = model(**{**given, **first, "timestep": torch.tensor([time])})
        # What hands out more than tensors computes at every step.
        assert output.kv_cache.get_single(0).k_ref is not None
    assert handle.trace.computed.tolist() == [True, True]
    read = {"kv_cache": output.kv_cache, "kv_cache_mode": "cached", "num_ref_tokens": 16}
    for time in (0.8, 0.6, 0.4):
        output = model(**{**given, **read, "timestep": torch.tensor([time])})
        sizes.append(output.sample.shape)
    # The first that reads computes, and starts anew.
    assert handle.trace.computed.tolist() == [True, False, False]
    assert len(handle._stack.tails) == 2
    assert set(sizes) == {(1, 16, 4)}


def test_another_size_midway_computes():
    model = Toy()
    handle = tracache.attach(model, TraCacheConfig(stride=9, max_order=0))
    text = torch.zeros(1)
    for shape in ((2, 5, 4), (1, 5, 4), (1, 7, 4)):
        _, ran = run(model, times=(900.0, 800.0), text=text, shape=shape)
        assert ran == [3, 0]
    assert len(handle._stack.tails) == 3


class Branching(Toy):
    """Goes another way than the call's signature tells."""

    def forward(self, x, timestep, text=None):
        blocks = list(self.layers)[: 2 if float(timestep[0]) < 650 else 3]
        for block in blocks:
            x = block(x)
        return self.head(x)


def test_a_forward_that_goes_another_way_computes():
    model = Branching()
    tracache.attach(model, TraCacheConfig(stride=9, max_order=0))
    _, ran = run(model, times=(900.0, 700.0, 600.0))
    assert ran[:2] == [3, 0]
    assert ran[2] >= 2


def test_spreads_of_items_need_the_batch_on_the_first_axis():
    class Turned(Toy):
        def forward(self, x, timestep, text=None):
            x = x.transpose(0, 1)
            for block in self.layers:
                x = block(x)
            return self.head(x).transpose(0, 1)

    tracache.attach(model := Turned(), TraCacheConfig(stride=2, spread="per_sample"))
    with pytest.raises(ValueError, match=r"batch on the first axis.*Turned.*spread='batch'"):
        run(model)


def test_every_block_can_be_watched_and_the_image_stays():
    model = Toy(depth=4)
    config = TraCacheConfig(stride=2, max_order=3)
    times = tuple(float(t) for t in range(1000, 0, -100))
    handle = tracache.attach(model, config)
    plain, _ = run(model, times=times)
    handle.detach()
    handle = tracache.attach(model, config, trace="all")
    watched, _ = run(model, times=times)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    orders = handle.trace.orders[~handle.trace.computed]
    assert (orders >= 0).all()
    assert handle.trace.spreads.shape[1:] == (4, 3)


class ReadsTheText(PixArtTransformer2DModel):
    """One whose output reads the projected text, past its blocks."""

    def forward(self, hidden_states, encoder_hidden_states, timestep):
        text = self.caption_projection(encoder_hidden_states)
        output = super().forward(hidden_states, encoder_hidden_states, timestep)
        output.sample.add_(text.mean())
        return output


@pytest.mark.parametrize("kind, share", [(PixArtTransformer2DModel, 0), (ReadsTheText, 1)])
def test_what_only_feeds_the_blocks_rests_with_them(kind, share):
    """That it does is declared, and proved all the same: where the output reads it, it computes."""
    model, calls = pixart(), []
    model.__class__ = kind
    model.caption_projection.linear_1.register_forward_hook(lambda *_: calls.append(1))
    plain = denoise(model, num_steps=6)
    each = len(calls) // 6
    tracache.attach(model, TraCacheConfig(stride=3, max_order=1))
    denoise(model, num_steps=6)
    calls.clear()
    cached = denoise(model, num_steps=6)
    assert len(calls) == each * (2 + 4 * share)
    assert not torch.equal(plain, cached)
