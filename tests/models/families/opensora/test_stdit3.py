"""STDiT3 against the published code's tensors, and what follows from its definition."""

import pytest
import torch
from torch.nn import functional

from tests.models.families.opensora.conftest import about, weights
from tracache.models.families.opensora.stdit3 import STDiT3, without_recomputed

CONFIG = about("stdit3_tiny")["config"]


def load(tensors, **changes):
    model = STDiT3(**{**CONFIG, **changes}).eval().requires_grad_(False)
    model.load_state_dict(without_recomputed(weights(tensors)), strict=True)
    return model


def inputs(tensors):
    start = "base/in/"
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


@pytest.fixture(scope="module")
def model(stdit3_case):
    return load(stdit3_case)


@pytest.fixture
def given(stdit3_case):
    return inputs(stdit3_case)


def random_model(**changes):
    torch.manual_seed(0)
    model = STDiT3(**{**CONFIG, **changes})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)


def test_it_conforms(model, given, stdit3_case):
    mids = {}
    hooks = [
        module.register_forward_hook(lambda m, a, out, name=name: mids.setdefault(name, out))
        for name, module in model.named_modules()
    ]
    out = model(**given)
    for hook in hooks:
        hook.remove()
    assert out.dtype == torch.float32
    assert (out - stdit3_case["base/out"]).abs().max() <= 1e-5
    compared = 0
    for key, expected in stdit3_case.items():
        name = key.removeprefix("base/mid/")
        if name != key and name in mids:
            mine = mids[name]
            if name.endswith(".attn"):
                # The published code had frames or places in the batch.
                frames = given["x"].shape[2]
                mine = mine.unflatten(1, (frames, -1))
                mine = mine.transpose(1, 2) if name.startswith("temporal") else mine
            assert (mine.reshape(expected.shape) - expected).abs().max() <= 1e-5, name
            compared += 1
    assert compared >= 20


def test_the_full_size_has_the_published_keys_and_shapes():
    with torch.device("meta"):
        state = STDiT3().state_dict()
    published = without_recomputed(about("stdit3_keys"))
    assert {name: list(value.shape) for name, value in state.items()} == published
    assert sum(value.numel() for value in state.values()) + 36 == 1_208_872_772


def test_a_mask_of_ones_is_no_mask_and_masked_text_does_not_matter(model, given):
    ones = {**given, "mask": torch.ones_like(given["mask"])}
    assert torch.allclose(model(**ones), model(**{**given, "mask": None}), atol=1e-6)
    mask = given["mask"].clone()
    mask[:, 7:] = 0
    other = given["y"].clone()
    other[:, :, 7:] = 100.0
    cut = {**given, "mask": mask}
    assert torch.allclose(model(**cut), model(**{**cut, "y": other}), atol=1e-6)
    assert not torch.allclose(model(**cut), model(**ones), atol=1e-3)


def test_a_mask_of_fewer_rows_is_tiled(model, given):
    mask = given["mask"][:1].clone()
    mask[:, 5:] = 0
    twice = model(**{**given, "mask": mask.repeat(2, 1)})
    assert torch.equal(model(**{**given, "mask": mask}), twice)
    with pytest.raises(ValueError, match="a mask of 3 rows does not go into a batch of 2"):
        model(**{**given, "mask": given["mask"][:1].repeat(3, 1)})


def test_items_do_not_see_each_other(model, given):
    whole = model(**given)
    alone = model(**{name: value[1:] for name, value in given.items()})
    assert torch.allclose(whole[1:], alone, atol=1e-5)


@pytest.mark.parametrize("size", [(3, 7, 5), (1, 8, 6), (4, 6, 9)])
def test_odd_sizes_are_padded_and_cropped(model, given, size):
    x = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(1))
    out = model(**{**given, "x": x})
    assert out.shape == (2, 8, *size)
    pads = (0, size[2] % 2, 0, size[1] % 2)
    padded = model(**{**given, "x": functional.pad(x, pads)})
    assert torch.equal(out, padded[..., : size[1], : size[2]])


def test_patches_of_two_frames():
    model = random_model(patch_size=[2, 2, 2])
    given = {
        "timestep": torch.tensor([700.0]),
        "y": torch.randn(1, 1, 12, 32),
        "fps": torch.tensor([24.0]),
        "height": torch.tensor([64.0]),
        "width": torch.tensor([64.0]),
    }
    x = torch.randn(1, 4, 5, 6, 6)
    assert model(x, **given).shape == (1, 8, 5, 6, 6)
    assert model.x_embedder(x).shape == (1, 3 * 9, 96)
    masked = model(x, **given, x_mask=torch.tensor([[False, True, True, True, True]]))
    # The pair with a noisy frame counts as noisy, so nothing is clean.
    assert torch.equal(masked, model(x, **given))


def test_without_qk_norm_there_are_no_such_weights():
    model = random_model(qk_norm=False)
    assert not any("_norm" in name for name in model.state_dict())


def test_all_noisy_frames_are_no_mask(model, given):
    noisy = torch.ones(2, 3, dtype=torch.bool)
    assert torch.allclose(model(**given, x_mask=noisy), model(**given), atol=1e-6)


def test_clean_frames_are_modulated_as_at_timestep_0_and_twice_at_the_end(model, given):
    """With all frames clean, only the final layer differs from a forward at timestep 0."""
    clean = torch.zeros(2, 3, dtype=torch.bool)
    seen = {}
    hook = model.final_layer.register_forward_pre_hook(lambda m, args: seen.update(tokens=args[0]))
    masked = model(**given, x_mask=clean)
    first = seen.pop("tokens")
    at_zero = model(**{**given, "timestep": torch.zeros(2)})
    hook.remove()
    assert torch.allclose(first, seen["tokens"], atol=1e-5)
    assert not torch.allclose(masked, at_zero, atol=1e-2)
    mixed = torch.tensor([[True, False, True]] * 2)
    out = model(**given, x_mask=mixed)
    assert not torch.allclose(out, model(**given), atol=1e-3)


def test_bfloat16_is_near(model, given, stdit3_case):
    """To float32 of inputs rounded alike: the timestep too is rounded, as it was in training."""
    rounded = {k: given[k].bfloat16().float() for k in ("x", "y", "timestep")}
    expected = model(**{**given, **rounded})
    out = load(stdit3_case).to(torch.bfloat16)(**given)
    assert out.dtype == torch.float32
    assert (out - expected).norm() / expected.norm() <= 2e-2


def test_speed_and_size_matter(model, given):
    out = model(**given)
    assert not torch.allclose(out, model(**{**given, "fps": given["fps"] * 2}), atol=1e-3)
    assert not torch.allclose(out, model(**{**given, "height": given["height"] * 2}), atol=1e-4)
    with pytest.raises(ValueError, match="fps, height and width must be given"):
        model(**{**given, "fps": None})


def test_an_image_is_a_video_of_one_frame(model, given):
    out = model(**{**given, "x": given["x"][:, :, :1], "fps": torch.tensor([120.0, 120.0])})
    assert out.shape == (2, 8, 1, 8, 6)


def test_saved_and_loaded_it_is_the_same(model, given, tmp_path):
    model.save_pretrained(tmp_path)
    again = STDiT3.from_pretrained(tmp_path).eval()
    assert torch.equal(model(**given), again(**given))
