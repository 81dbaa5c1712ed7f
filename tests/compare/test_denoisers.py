"""Whatever a pipeline's denoisers are: a UNet, two experts that take turns, blocks that are found.

Everything that looks into a pipeline's blocks takes any of them.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.caching.pipes import PIPES
from tracache import TraCacheConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import denoisers_of
from tracache.caching.trace import UNTRACED, Trace
from tracache.compare.all_blocks import count_rows, make_groups, watch_blocks
from tracache.compare.arm import Setup
from tracache.compare.comparison import run
from tracache.compare.heatmap import order_heatmap
from tracache.compare.request import make_request
from tracache.compare.sampling import prepare, sample
from tracache.compare.warm_up import warm_up
from tracache.experiments.features import row_names, watch_features
from tracache.experiments.watching import trajectories, watch
from tracache.media import VideoSize
from tracache.models.families.stock import EMBEDDED, READ, StockFamily
from tracache.models.loading import LoadedModel
from tracache.models.placement import Placement
from tracache.models.reading import Reader
from tracache.models.registry import MODELS

STEPS = 6
#: Pipeline of the tests → an entry of its kind, and what it makes.
KINDS = {
    "Wan 2.2, two experts": ("wan-2.1-1.3b", VideoSize(64, 64, 5, 8.0)),
    "SDXL": ("sdxl", 16),
    "FLUX.1": ("flux.1-dev", 16),
    "Z-Image": ("z-image", 16),
}
PUBLISHED = TraCacheConfig(stride=2, max_order=2)


class Given(StockFamily):
    """Drives a pipeline with embeddings in place of prompts."""

    def __init__(self, embedded):
        super().__init__()
        self.embedded = embedded

    def encode(self, pipe, prompts, guidance_scale, max_tokens, negative_prompt=None):
        given = {"prompt": list(prompts), "guidance_scale": guidance_scale, READ: {}}
        return {**given, "max_sequence_length": max_tokens, EMBEDDED: self.embedded}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    pipe, given = PIPES[request.param]()
    model_id, size = KINDS[request.param]
    pipe.set_progress_bar_config(disable=True)
    family = Given({name: value for name, value in given.items() if "embeds" in name})
    spec = replace(MODELS[model_id], family=family, size=size, footprint=None, max_cost=10**9)
    device, dtype, whole = torch.device("cpu"), torch.float32, Placement("whole")
    reader = Reader(family, pipe, whole, lambda: pipe, device, dtype)
    config = {**pipe.scheduler.config, "_class_name": type(pipe.scheduler).__name__}
    return LoadedModel(spec, pipe, config, device, dtype, whole, reader, threading.Lock())


@pytest.fixture
def inputs(model):
    return prepare(model, ["anything"], [1], model.spec.guidance_scale, model.spec.schedulers[0])


def called(model):
    """How many of its denoisers take turns."""
    return len(denoisers_of(model.pipe))


def test_a_run_is_traced_as_a_whole_whoever_takes_turns(model, inputs):
    full = sample(model, inputs, Setup(STEPS))
    assert full.trace is None
    assert full.block_calls > 0
    every = sample(model, inputs, Setup(STEPS, PlannedConfig(compute=STEPS)))
    assert torch.equal(every.latents, full.latents)
    seen = []
    planned = Setup(STEPS, PlannedConfig(compute=3))
    done = sample(model, inputs, planned, on_step=lambda i, computed: seen.append((i, computed)))
    assert [i for i, computed in seen if computed] == list(done.computed_steps)
    assert (len(seen), len(done.trace), len(done.computed_steps)) == (STEPS, STEPS, 3)
    assert done.block_calls == full.block_calls / 2
    published = sample(model, inputs, Setup(STEPS, PUBLISHED))
    assert len(published.trace) == STEPS
    # Each of them begins with a computed step of its own.
    assert 3 <= len(published.computed_steps) < 3 + called(model)
    assert published.block_calls < full.block_calls
    assert torch.isfinite(published.latents).all()


@pytest.mark.parametrize("cache", [PUBLISHED, PlannedConfig(compute=3)], ids=["blocks", "planned"])
def test_every_block_is_watched_in_groups_as_at_once(model, inputs, cache):
    setup = Setup(STEPS, cache)
    rows = count_rows(model, setup)
    assert rows > 2
    plain = sample(model, inputs, setup)
    whole = watch_blocks(model, inputs, setup, (tuple(range(rows - 1)),))
    groups = make_groups(rows, room=2 + rows // 2, each=1)
    assert len(groups) > 1
    found = watch_blocks(model, inputs, setup, groups)
    assert found.labels == whole.labels
    assert np.array_equal(found.orders, whole.orders)
    assert np.array_equal(found.spreads, whole.spreads, equal_nan=True)
    # Whoever watches changes nothing of what is decided.
    assert whole.computed.tolist() == plain.trace.computed.tolist()
    made = plain.trace.orders[:, plain.trace.main]
    assert UNTRACED not in made
    assert np.array_equal(made, whole.orders[:, whole.main])
    skipped = whole.orders[~whole.computed]
    assert (skipped != UNTRACED).any(axis=0).sum() > 1
    assert found.main == whole.main
    kept = Trace.from_dict(whole.to_dict())
    assert kept.main == whole.main
    figure = order_heatmap(kept)
    assert len(figure.data) > 1


def test_a_warm_up_measures_what_a_block_hands_on(model, inputs):
    warm = warm_up(model, inputs, ["tracache"], lambda: None)
    assert warm.features.count > 0
    assert warm.blocks > 0


def test_a_comparison_shows_every_block(model):
    request = make_request(model.spec.id, "anything", seed=1, steps=STEPS, arms=["tracache"])
    request = replace(request, size=model.spec.size)
    report = run(model, request)
    assert report.trace.orders.shape == (STEPS, count_rows(model, request.set_up("tracache")))


def test_features_of_any_block_are_watched(model, tmp_path):
    request = make_request(model.spec.id, "anything", seed=1, steps=STEPS)
    watched = watch(model, replace(request, size=model.spec.size), [0, -1], parts=True)
    turns = STEPS if called(model) == 1 else len(watched.timesteps)
    assert 0 < len(watched.timesteps) == turns <= STEPS
    assert len(watched.features) == 2
    assert {len(seen) for seen in watched.features.values()} == {len(watched.timesteps)}
    if len(watched.timesteps) > 3:
        errors = trajectories(watched, PUBLISHED, tmp_path)
        assert {row["way"] for row in errors} == {"full compute", "reuse", "TraCache"}


def test_of_two_calls_at_one_time_the_first_is_watched():
    pipe, given = PIPES["FLUX.1, true guidance in two calls"]()
    denoiser = pipe.transformer
    with watch_features(denoiser, row_names(denoiser, [-1], parts=True)) as watched:
        pipe(**given, num_inference_steps=3, output_type="latent")
    (seen,) = watched.features.values()
    assert len(watched.timesteps) == len(seen) == 3
