"""Counting and measuring against what can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel
from PIL import Image
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from tracache.metrics.fidelity import image_quality, relative_error
from tracache.metrics.macs import count_macs
from tracache.metrics.memory import peak_memory


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_macs_of_known_products(mode):
    layer, x = nn.Linear(8, 16), torch.randn(3, 4, 8)
    convolution, image = nn.Conv2d(3, 5, 2, stride=2), torch.randn(2, 3, 8, 8)
    query, key = torch.randn(2, 3, 6, 10), torch.randn(2, 3, 7, 10)
    with mode(), count_macs() as macs:
        layer(x)
        convolution(image)
        scaled_dot_product_attention(query, key, key)
    linear = 3 * 4 * 8 * 16 + 2 * 16 * 5 * 3 * 4
    attention = 2 * 3 * 6 * 7 * (10 + 10)
    assert (macs.linear, macs.attention, macs.total) == (linear, attention, linear + attention)
    assert sum(macs.by_operation.values()) == macs.total


def test_excluded_modules_are_left_out():
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    x = torch.randn(5, 8)
    with count_macs(exclude=[model[0]]) as macs:
        model(x)
    assert macs.total == macs.linear == 5 * 16 * 4


FULL_SIZE = {"num_layers": 28, "attention_head_dim": 72, "num_attention_heads": 16}


@pytest.mark.parametrize("sample_size, expected", [(32, 142.1e9), (64, 541.7e9)])
def test_pixart_at_full_size_is_what_the_paper_counts(sample_size, expected):
    with torch.device("meta"):
        model = PixArtTransformer2DModel(
            sample_size=sample_size,
            in_channels=4,
            out_channels=8,
            caption_channels=4096,
            cross_attention_dim=1152,
            use_additional_conditions=False,
            **FULL_SIZE,
        )
        latents = torch.empty(1, 4, sample_size, sample_size)
        text = torch.empty(1, 120, 4096)
        with torch.no_grad(), count_macs(exclude=[model.caption_projection]) as macs:
            model(latents, encoder_hidden_states=text, timestep=torch.empty(1))
    assert macs.linear == pytest.approx(expected, rel=0.01)
    assert macs.attention > 0


def test_dit_at_full_size_is_what_the_paper_counts():
    with torch.device("meta"):
        model = DiTTransformer2DModel(sample_size=32, in_channels=4, out_channels=8, **FULL_SIZE)
        latents = torch.empty(1, 4, 32, 32)
        labels = torch.empty(1, dtype=torch.long)
        with torch.no_grad(), count_macs() as macs:
            model(latents, timestep=torch.empty(1), class_labels=labels)
    assert macs.linear == pytest.approx(114.4e9, rel=0.01)


def test_peak_memory_sees_what_came_and_went():
    device = torch.device("cpu")
    with peak_memory(device) as before:
        pass
    with peak_memory(device) as peak:
        torch.ones(50_000_000).sum()
    assert peak.kind == "peak process RSS"
    assert peak.bytes >= before.bytes + 150e6


def picture(value):
    return Image.fromarray(np.full((32, 24, 3), value, np.uint8))


def test_quality():
    same = image_quality(picture(100), picture(100))
    assert same.psnr == math.inf
    assert same.ssim == pytest.approx(1)
    assert image_quality(picture(110), picture(100)).psnr == pytest.approx(
        20 * math.log10(255 / 10), abs=1e-3
    )
    noise = np.random.default_rng(0).integers(0, 256, (32, 24, 3), np.uint8)
    assert image_quality(Image.fromarray(noise), picture(128)).ssim < 0.2
    with pytest.raises(ValueError, match="sizes differ"):
        image_quality(picture(1), picture(1).resize((8, 8)))


def test_relative_error():
    x = torch.tensor([3.0, 4.0])
    assert relative_error(x, x) == 0
    assert relative_error(x + torch.tensor([0.3, 0.4]), x) == pytest.approx(0.1)
    assert relative_error(x.half() * 2, x.half()) == pytest.approx(1.0)
