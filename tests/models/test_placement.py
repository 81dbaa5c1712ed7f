"""Which placement a machine gets, or what does not fit."""

from dataclasses import replace

import pytest
import torch

from tracache.models.families.decoding import decode_latents
from tracache.models.placement import (
    DoesNotFitError,
    Placement,
    choose_placement,
    free_memory,
    pick_dtype,
    require_room,
)
from tracache.models.registry import MODELS
from tracache.models.spec import GB

#: Name → (GPU memory or None, main memory), GB.
T4 = (15, 50)
COLAB_T4 = (14.5, 12.7)
L4 = (23.5, 60)
H200 = (141, 1000)
ZERO_GPU = (70, 60)
LAPTOP_24 = (None, 22)
LAPTOP_16 = (None, 14)
LAPTOP_8 = (None, 7)
SMALL_GPU = (8, 32)


def place(machine, model_id):
    device, host = machine
    return choose_placement(
        None if device is None else int(device * GB), int(host * GB), MODELS[model_id]
    )


WHOLE = Placement("whole")


@pytest.mark.parametrize(
    "machine, model_id, expected",
    [
        (T4, "pixart-256", WHOLE),
        (T4, "pixart-1024", Placement("offload")),
        (COLAB_T4, "pixart-512", Placement("encode-first")),
        (L4, "pixart-1024", WHOLE),
        (H200, "pixart-1024", WHOLE),
        (ZERO_GPU, "pixart-1024", WHOLE),
        (LAPTOP_24, "pixart-256", Placement("encode-first", torch.bfloat16)),
        ((None, 24), "pixart-256", Placement("encode-first")),
        (LAPTOP_16, "pixart-512", Placement("encode-first", torch.bfloat16)),
        ((None, 64), "pixart-1024", WHOLE),
        ((13, 14), "pixart-512", Placement("offload")),
        ((13, 12.7), "pixart-512", Placement("encode-first")),
        *((machine, "dit-xl-2-512", WHOLE) for machine in (T4, L4, H200, ZERO_GPU, LAPTOP_24)),
        (LAPTOP_8, "dit-xl-2-256", WHOLE),
        (SMALL_GPU, "dit-xl-2-512", WHOLE),
        ((None, 0.1), "scenes-t2i", WHOLE),
        (L4, "open-sora-1.2", WHOLE),
        (H200, "open-sora-1.2", WHOLE),
        (T4, "open-sora-1.2", Placement("offload")),
        (COLAB_T4, "open-sora-1.2", Placement("encode-first")),
        ((None, 24), "open-sora-1.2", Placement("encode-first", torch.bfloat16)),
    ],
)
def test_machines(machine, model_id, expected):
    assert place(machine, model_id) == expected


@pytest.mark.parametrize(
    "machine, model_id, words",
    [
        (LAPTOP_8, "pixart-256", "its text encoder beside its transformer needs 12.3 GB"),
        (LAPTOP_8, "pixart-1024", "its transformer and VAE needs 10.8 GB of memory"),
        (SMALL_GPU, "pixart-256", "its text encoder needs 11.5 GB of GPU memory, and 7.5 GB"),
        ((2, 32), "dit-xl-2-256", "running its transformer and VAE needs 2.5 GB of GPU memory"),
        ((16, 8), "pixart-256", "loading its text encoder needs 11.5 GB of main memory"),
        (SMALL_GPU, "open-sora-1.2", "running its transformer and VAE needs 9.2 GB of GPU memory"),
        (LAPTOP_16, "open-sora-1.2", "its transformer and VAE needs 18.4 GB of memory"),
        ((16, 2), "dit-xl-2-256", "loading its transformer and VAE needs 1.5 GB of main memory"),
    ],
)
def test_what_does_not_fit_is_said(machine, model_id, words):
    with pytest.raises(DoesNotFitError) as error:
        place(machine, model_id)
    assert words in str(error.value)
    assert str(error.value).startswith(MODELS[model_id].title)
    assert str(error.value).endswith("choose a smaller model")


def test_larger_videos_need_more_memory_to_work_in():
    spec, cpu = MODELS["open-sora-1.2"], torch.device("cpu")
    require_room(spec, spec.size, cpu, 4)
    require_room(spec, replace(spec.size, frames=1), cpu, 4)
    vast = replace(spec, footprint=replace(spec.footprint, working_gb=10_000))
    with pytest.raises(DoesNotFitError) as error:
        require_room(vast, replace(spec.size, frames=102), cpu, 2)
    assert "of this size needs about 20000.0 GB of memory beside the weights" in str(error.value)
    assert str(error.value).endswith("choose fewer frames or a lower resolution")
    require_room(MODELS["scenes-t2i"], 128, cpu, 4)


def test_a_format_that_was_asked_for_is_reckoned_with():
    spec = MODELS["pixart-256"]
    laptop, l4 = int(22 * GB), int(23.5 * GB)
    assert choose_placement(None, laptop, spec, 2) == WHOLE
    assert choose_placement(None, laptop, spec, 4) == place(LAPTOP_24, "pixart-256")
    assert choose_placement(l4, 60 * GB, spec, 2) == WHOLE
    assert choose_placement(l4, 60 * GB, spec, 4) == Placement("offload")
    with pytest.raises(DoesNotFitError, match="text encoder needs 19"):
        choose_placement(15 * GB, 60 * GB, spec, 4)


def test_formats():
    assert pick_dtype(torch.device("cpu")) == torch.float32
    assert pick_dtype(torch.device("mps")) == torch.float32
    assert pick_dtype(torch.device("cpu"), "bfloat16") == torch.bfloat16
    assert pick_dtype(torch.device("cuda"), "float32") == torch.float32
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        pick_dtype(torch.device("cpu"), "float16")
    device, host = free_memory(torch.device("cpu"))
    assert device is None
    assert host > GB // 10


class Vae(torch.nn.Module):
    """Multiplies, beyond what float16 holds if asked to."""

    def __init__(self, factor):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor, dtype=torch.float16))
        self.formats = []

    @property
    def dtype(self):
        return self.factor.dtype

    def decode(self, latents, return_dict):
        self.formats.append(latents.dtype)
        return ((latents * self.factor) / self.factor,)


@pytest.mark.parametrize("factor, formats", [(2.0, 1), (60_000.0, 2)])
def test_a_vae_that_overflows_decodes_in_float32(factor, formats):
    vae = Vae(factor)
    with torch.no_grad():
        pixels = decode_latents(vae, torch.full((1, 3, 2, 2), 3.0, dtype=torch.float16))
    assert torch.equal(pixels.float(), torch.full((1, 3, 2, 2), 3.0))
    assert vae.formats == [torch.float16, torch.float32][:formats]
    assert vae.dtype == torch.float16
