"""Loading from the layouts of the Hub's repositories, on tiny checkpoints."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel

from tests.models.families.opensora.conftest import about, weights
from tests.models.families.opensora.test_vae import CONFIG as VAE_CONFIG
from tests.models.hub import write_tokenizer
from tracache.models.families.opensora.loading import load_opensora, load_stdit3, load_vae

#: As the repository's configuration is: more than the constructor takes, and defaults left out.
STDIT3_CONFIG = {
    **{k: v for k, v in about("stdit3_tiny")["config"].items() if k != "input_sq_size"},
    "architectures": ["STDiT3"],
    "model_type": "STDiT3",
    "torch_dtype": "float32",
    "enable_flash_attn": True,
    "freeze_y_embedder": True,
}


def write(folder, config, state):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.fixture
def transformer(tmp_path, stdit3_case):
    return write(tmp_path / "OpenSora-STDiT-v3", STDIT3_CONFIG, weights(stdit3_case))


@pytest.fixture
def autoencoder(tmp_path, vae_case):
    config = {**VAE_CONFIG, "model_type": "VideoAutoencoderPipeline", "cal_loss": False}
    return write(tmp_path / "OpenSora-VAE-v1.2", config, weights(vae_case))


@pytest.fixture
def text_encoder(tmp_path):
    """Two shards of pickled weights and their index."""
    folder = tmp_path / "t5-v1_1-xxl"
    write_tokenizer(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=128, d_model=32, d_kv=8, d_ff=16, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False,
    )  # fmt: skip
    T5EncoderModel(config).save_pretrained(folder)
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, places = sorted(whole), {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-0000{i}-of-00002.bin"
        torch.save({name: whole[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def test_all_three_make_a_pipeline(transformer, autoencoder, text_encoder):
    pipe = load_opensora(transformer, autoencoder, text_encoder, dtype=torch.float32, offline=True)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        "a cat", height=16, width=16, num_frames=1, num_inference_steps=2, output_type="np"
    ).frames
    assert frames.shape == (1, 1, 16, 16, 3)


def test_the_transformer_conforms_as_loaded(transformer, stdit3_case):
    model = load_stdit3(transformer, torch.float32)
    start = "base/in/"
    given = {k.removeprefix(start): v for k, v in stdit3_case.items() if k.startswith(start)}
    assert (model(**given) - stdit3_case["base/out"]).abs().max() <= 1e-5
    assert load_stdit3(transformer).dtype == torch.bfloat16


def test_parts_can_be_left_out(transformer):
    pipe = load_opensora(transformer, without=("text_encoder", "vae"), offline=True)
    assert pipe.vae is pipe.text_encoder is pipe.tokenizer is None


def test_a_configuration_must_say_what_has_no_default(transformer):
    config = {k: v for k, v in STDIT3_CONFIG.items() if k not in ("depth", "patch_size")}
    (transformer / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json does not say depth, patch_size"):
        load_stdit3(transformer)


def test_weights_of_another_shape_are_refused(transformer, autoencoder):
    config = {**STDIT3_CONFIG, "depth": 3}
    (transformer / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"do not fit its configuration.*Missing key"):
        load_stdit3(transformer)
    state = load_file(autoencoder / "model.safetensors")
    state.pop("shift")
    save_file(state, autoencoder / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit its configuration"):
        load_vae(autoencoder)


def test_missing_files_are_named(transformer):
    (transformer / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file named model.safetensors in"):
        load_stdit3(transformer)
