"""The video autoencoder against the published code's tensors, and its frame counts."""

import pytest
import torch

from tests.models.families.opensora.conftest import about, weights
from tracache.models.families.opensora.vae import VideoAutoencoder

ABOUT = about("vae_tiny")
LEFT_OUT = ("sample_size", "scaling_factor")
CONFIG = {
    "spatial": {k: v for k, v in ABOUT["spatial_config"].items() if k not in LEFT_OUT},
    "temporal": ABOUT["temporal_config"],
    "latent_shift": ABOUT["shift"],
    "latent_scale": ABOUT["scale"],
}


@pytest.fixture(scope="module")
def vae(vae_case):
    model = VideoAutoencoder(**CONFIG).eval().requires_grad_(False)
    model.load_state_dict(weights(vae_case), strict=True)
    return model


def test_decoding_conforms(vae, vae_case):
    z = vae_case["decode_20/in/z"]
    time = vae.decode_time(z, 20) * ABOUT["spatial_scaling_factor"]
    assert (time - vae_case["decode_20/mid/temporal_out"]).abs().max() <= 1e-5
    assert (vae.decode(z, 20) - vae_case["decode_20/out"]).abs().max() <= 1e-5


def test_the_full_size_has_the_published_keys_and_shapes():
    with torch.device("meta"):
        state = VideoAutoencoder().state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == about("vae_keys")
    assert sum(value.numel() for value in state.values()) == 393_341_015


@pytest.mark.parametrize("frames", [int(n) for n in ABOUT["latent_sizes"]])
def test_frame_counts_are_the_published_ones(vae, frames):
    assert vae.latent_frames(frames) == ABOUT["latent_sizes"][str(frames)][0]


@pytest.mark.parametrize("frames", [51, 34, 17, 5, 4, 1])
def test_there_and_back(vae, frames):
    x = torch.rand(1, 3, frames, 16, 24, generator=torch.Generator().manual_seed(frames)) * 2 - 1
    z = vae.encode(x)
    assert z.shape == (1, 4, vae.latent_frames(frames), 2, 3)
    assert vae.decode(z, frames).shape == x.shape


def test_groups_of_17_frames_do_not_see_each_other(vae):
    x = torch.rand(1, 3, 34, 16, 16) * 2 - 1
    z = vae.encode(x)
    assert torch.allclose(z[:, :, :5], vae.encode(x[:, :, :17]), atol=1e-5)
    assert torch.allclose(z[:, :, 5:], vae.encode(x[:, :, 17:]), atol=1e-5)


def test_later_frames_do_not_reach_earlier_ones(vae):
    """Within a group, latents of the first frames stay when the last frame changes."""
    x = torch.rand(1, 3, 17, 16, 16) * 2 - 1
    other = x.clone()
    other[:, :, -1] = 0
    z, changed = vae.encode(x), vae.encode(other)
    assert not torch.allclose(z[:, :, 4:], changed[:, :, 4:], atol=1e-4)
    # Norms look at a whole group, so earlier frames change a little; convolutions do not look
    # ahead, so the last latent frame changes most.
    change = (z - changed).abs().amax((0, 1, 3, 4))
    assert change[-1] == change.max()


def test_how_many_frames_at_a_time_does_not_matter(vae):
    x = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    whole = vae.encode(x)
    vae.spatial_vae.micro_batch_size = 1
    assert torch.allclose(vae.encode(x), whole, atol=1e-5)
    vae.spatial_vae.micro_batch_size = 4


def test_wrong_frame_counts_are_refused(vae):
    with pytest.raises(ValueError, match="17 frames have 5 latent frames, and 4 were given"):
        vae.decode(torch.zeros(1, 4, 4, 2, 2), 17)
    with pytest.raises(ValueError, match="at least one frame"):
        vae.latent_frames(0)


def test_saved_and_loaded_it_is_the_same(vae, tmp_path):
    vae.save_pretrained(tmp_path)
    again = VideoAutoencoder.from_pretrained(tmp_path).eval()
    z = torch.randn(1, 4, 1, 2, 2)
    assert torch.equal(vae.decode(z, 4), again.decode(z, 4))
