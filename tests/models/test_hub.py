"""Models of the Hub, from tiny checkpoints in its layouts: loaded, compared, equal to stock."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiTPipeline, PixArtAlphaPipeline

from tests.grids import pairwise
from tests.models.hub import write_model
from tracache.caching.layouts import find_blocks
from tracache.compare.arms import Setup
from tracache.compare.comparison import run
from tracache.compare.request import make_request
from tracache.compare.sampling import prepare, sample
from tracache.media import VideoSize
from tracache.metrics.fidelity import relative_error
from tracache.models import loading
from tracache.models.loading import load_model
from tracache.models.placement import Placement
from tracache.models.reading import Reader
from tracache.models.registry import MODELS
from tracache.models.schedulers import make_scheduler
from tracache.models.sources import labels_of
from tracache.models.spec import Footprint
from tracache.settings import Settings

HUB = [spec.id for spec in MODELS.values() if not (spec.embedded or spec.stock)]
ASSETS = Path(__file__).resolve().parents[2] / "demo_assets"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Every model of the Hub in a folder of ``TRACACHE_MODELS``."""
    root = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        for model_id in HUB:
            write_model(root, model_id)
            # The twins fit everywhere, whatever the machine of the test could hold.
            tiny = replace(MODELS[model_id], footprint=Footprint(0.0, 0.0, 0.0, 0.1, 0.0))
            patch.setitem(MODELS, model_id, tiny)
        yield Settings(
            assets=ASSETS, device="cpu", host="127.0.0.1", port=7860, deadline_s=60, models=root
        )


def test_one_model_of_the_hub_is_in_memory_at_a_time(settings):
    first = load_model("dit-xl-2-256", settings)
    assert load_model("dit-xl-2-256", settings) is first
    scenes = load_model("scenes-t2i", settings)
    weights = sum(p.nbytes for p in first.pipe.transformer.parameters())
    assert weights < first.weights_on("cpu") < 2 * weights
    assert first.weights_on("cuda") == 0
    assert loading._SHELF.reclaimable("cpu") == first.weights_on("cpu")
    load_model("dit-xl-2-512", settings)
    assert load_model("dit-xl-2-256", settings) is not first
    assert load_model("scenes-t2i", settings) is scenes


def test_a_space_without_a_gpu_offers_the_embedded_models_only(settings):
    space = replace(settings, space=True)
    loading._SHELF._models.clear()
    for spec in (spec for spec in MODELS.values() if not spec.stock):
        why = loading.why_unavailable(spec.id, space)
        assert ("needs a GPU, which this Space does not have" in why) != spec.embedded
        assert loading.why_unavailable(spec.id, settings) == ""


@pytest.mark.parametrize("model_id", ["pixart-256", "dit-xl-2-256"])
def test_the_format_can_be_set(settings, model_id):
    half = replace(settings, dtype="bfloat16")
    model = load_model(model_id, half)
    assert model.dtype_name == "bfloat16"
    assert {p.dtype for p in model.pipe.transformer.parameters()} == {torch.bfloat16}
    fast = run(model, ask(half, model_id)).arms[1]
    assert fast.speed_up_macs > 1
    assert np.isfinite(fast.latent_error)
    assert load_model(model_id, settings).dtype_name == "float32"
    # So small that it is not worth it.
    assert load_model("scenes-t2i", half).dtype_name == "float32"


#: A small one, where the model lets one choose.
SMALL = {"frames": 5, "resolution": "144p", "aspect": "1:1"}


def ask(settings, model_id, **changes):
    spec = MODELS[model_id]
    changes |= SMALL if spec.resizable else {}
    classes = spec.task == "class-to-image"
    subject = {"class_label": "goldfish"} if classes else {"prompt": spec.example_prompts[0]}
    return make_request(
        model_id, **subject, seed=1, steps=5, stride=2, environment=settings, **changes
    )


#: Those that differ from another in their size alone.
SIZES = ("pixart-512", "pixart-1024", "dit-xl-2-512")


@pytest.mark.parametrize(
    "model_id", [pytest.param(m, marks=[pytest.mark.slow] * (m in SIZES)) for m in HUB]
)
def test_a_comparison(settings, model_id):
    model = load_model(model_id, settings)
    request = ask(settings, model_id, arms=["tracache", "published"])
    report = run(model, request)
    full, fast, published = report.arms
    size = report.request.size
    if MODELS[model_id].resizable:
        assert size == VideoSize(192, 192, 5, 24.0)
        assert len(full.image.frames) == len(fast.image.frames) == 5
        size = 192
    assert full.image.size == fast.image.size == (size, size)
    for arm in (fast, published):
        assert arm.full_steps == request.set_up(arm.arm).num_computed
        assert arm.speed_up_macs > 1
        assert 0 < arm.latent_error < 10
    assert report.trace.labels[-1] == "prediction"
    setup = request.set_up("published")
    inputs = prepare(model, [request.subject], [1], 2.0, request.scheduler, request.size)
    trace = sample(model, inputs, setup, trace="all").trace
    assert trace.orders.shape == (5, len(find_blocks(model.pipe.transformer)))


def alone(call):
    """Run in a thread of its own, as comparisons do: the order of sums depends on threads."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def same(image, other):
    return np.array_equal(np.asarray(image), np.asarray(other))


@pytest.mark.parametrize("guidance_scale", [4.0, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "dpm-solver++", "deis"])
def test_dit_is_the_stock_pipeline_bit_for_bit(settings, scheduler, guidance_scale):
    model = load_model("dit-xl-2-256", settings)
    family = model.spec.family
    labels, seeds = [1, 7, 999], [3, 4, 5]
    stock = DiTPipeline.from_pretrained(settings.models / model.spec.source)
    stock.scheduler = make_scheduler(scheduler, stock.scheduler.config)
    stock.set_progress_bar_config(disable=True)

    def call():
        return stock(
            labels,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=4,
        ).images

    def ours():
        inputs = prepare(model, labels, seeds, guidance_scale, scheduler)
        state = torch.get_rng_state()
        done = sample(model, inputs, Setup(4))
        assert torch.equal(torch.get_rng_state(), state)
        assert done.latents.shape == (3, 4, 32, 32)
        return family.decode(model.pipe, done.latents, model.spec.size)

    for image, other in zip(alone(ours), alone(call), strict=True):
        assert same(image, other)
    # Everything that stood in for the pipeline's parts is gone.
    assert "decode" not in vars(model.pipe.vae)
    assert {"step", "scale_model_input"} & vars(model.pipe.scheduler).keys() == set()


def test_the_embedded_class_model_is_the_stock_pipeline_bit_for_bit(settings, tmp_path):
    folder = write_model(tmp_path, "scenes-class")
    here = replace(settings, assets=tmp_path)
    model = load_model("scenes-class", here)
    report = run(model, make_request("scenes-class", class_label="red cube", environment=here))
    assert (report.request.class_label, report.arms[1].full_steps) == (8, 20)
    stock = DiTPipeline.from_pretrained(folder)
    stock.set_progress_bar_config(disable=True)
    seed = report.request.seed

    def call():
        generator = torch.Generator().manual_seed(seed)
        return stock([8], guidance_scale=1.5, generator=generator, num_inference_steps=50).images[0]

    assert same(report.arms[0].image, alone(call))


def test_pixart_is_the_stock_pipeline_bit_for_bit(settings):
    model = load_model("pixart-256", settings)
    prompt = model.spec.example_prompts[0]
    stock = PixArtAlphaPipeline.from_pretrained(settings.models / model.spec.source)
    stock.scheduler = make_scheduler("dpm-solver++", stock.scheduler.config)
    stock.set_progress_bar_config(disable=True)

    def call():
        return stock(
            prompt,
            num_inference_steps=4,
            guidance_scale=4.5,
            generator=torch.Generator().manual_seed(3),
            use_resolution_binning=False,
            height=256,
            width=256,
            clean_caption=False,
        ).images[0]

    def ours():
        inputs = prepare(model, [prompt], [3], 4.5, "dpm-solver++")
        return model.spec.family.decode(
            model.pipe, sample(model, inputs, Setup(4)).latents, model.spec.size
        )[0]

    assert same(alone(ours), alone(call))


def test_every_item_has_its_own_noise_under_ddpm(settings):
    """An item's noise, drawn step by step, does not depend on its neighbours."""
    model = load_model("dit-xl-2-256", settings)

    def latents(labels, seeds):
        inputs = prepare(model, labels, seeds, 4.0, "ddpm")
        return sample(model, inputs, Setup(4)).latents

    both, one = latents([1, 7], [3, 4]), latents([7], [4])
    # Sums of a larger batch are in another order, which random weights amplify.
    assert relative_error(both[1:], one) < 1e-3
    assert relative_error(both[:1], one) > 0.1


def test_classes_by_name_number_and_synonym(settings):
    for label in ("tench, Tinca tinca", "tinca  TINCA", "tench", 0, "0"):
        request = (
            ask(settings, "dit-xl-2-512")
            if False
            else make_request("dit-xl-2-512", class_label=label, environment=settings)
        )
        assert (request.class_label, request.prompt) == (0, "tench, Tinca tinca")
    pipe = load_model("dit-xl-2-512", settings).pipe
    family = MODELS["dit-xl-2-512"].family
    assert family.encode(pipe, ["tench", 5], 4.0, 0) == {"class_labels": [0, 5]}
    assert len(labels_of(MODELS["dit-xl-2-512"], settings).names) == 1000


@pytest.mark.parametrize(
    "kind, dtype, model_id",
    pairwise(("offload", "encode-first"), (None, torch.bfloat16), ("pixart-256", "open-sora-1.2")),
)
def test_a_text_encoder_that_is_elsewhere_reads_the_same(settings, kind, dtype, model_id):
    model = load_model(model_id, settings)
    family, folders = model.spec.family, [settings.models / s for s in model.spec.sources]
    made = []

    def load_encoder():
        made.append(1)
        return family.load(folders, dtype or torch.float32, True, ("transformer", "vae"))

    rest = family.load(folders, torch.float32, True, family.encoders)
    assert rest.text_encoder is None
    reader = Reader(
        family, rest, Placement(kind, dtype), load_encoder, torch.device("cpu"), torch.float32
    )
    for _ in range(2):
        found = reader.read(["a happy horse"], 4.5, model.spec.max_tokens)
    expected = family.encode(model.pipe, ["a happy horse"], 4.5, model.spec.max_tokens)
    assert len(made) == (1 if kind == "offload" else 2)
    for name, value in expected.items():
        tolerance = 0 if dtype is None else 0.05
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)
