"""Tiny checkpoints in the exact layouts of the Hub's repositories: files, indexes, fields."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sentencepiece
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    PixArtTransformer2DModel,
)
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel

from tests.tiny import randomise
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.models.labels import imagenet
from tracache.models.published import TRANSFORMERS
from tracache.models.registry import MODELS
from tracache.training.images.class_dit import CLASSES

#: What shrinks a published configuration.
TINY = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 3}
CAPTION = 16
#: Entries of the tokenizer: pieces, and those that T5 adds.
PIECES, EXTRA = 40, 100


def write_json(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=2))


#: Sizes of the video model's twin; its text is as long as the registry says.
TINY_STDIT3 = {"depth": 2, "hidden_size": 24, "num_heads": 2, "caption_channels": CAPTION}
TINY_VAE = {
    "spatial": {
        "block_out_channels": [4, 4, 8, 8],
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 2,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
    "temporal": {"filters": 8, "num_res_blocks": 1, "num_groups": 2},
}


def write_model(root, model_id):
    """Write the tiny twin of a model of the registry under its repositories' names."""
    shutil.copytree(_made(model_id), root, dirs_exist_ok=True)
    return root / MODELS[model_id].source


_SHELF = tempfile.TemporaryDirectory(prefix="tracache-twins-")


@cache
def _made(model_id):
    """Make a twin, once for all tests of this process, for them to copy and to damage."""
    root = Path(_SHELF.name) / model_id
    _make(root, model_id)
    return root


def _make(root, model_id):
    spec = MODELS[model_id]
    if spec.further:
        _write_open_sora(*(root / source for source in spec.sources))
        return
    folder = root / spec.source
    folder.mkdir(parents=True)
    _write_vae(folder / "vae")
    if spec.embedded:
        _write_scenes_class(folder)
    elif spec.task == "class-to-image":
        _write_dit(folder, spec.source)
    else:
        _write_pixart(folder, spec.source)


def _write_open_sora(transformer, autoencoder, text_encoder):
    """Three repositories, no pipeline: one file of weights each, and a T5 in pickled shards."""
    torch.manual_seed(10)
    model = STDiT3(**TINY_STDIT3, model_max_length=300)
    state = {**randomise(model).state_dict(), "rope.freqs": torch.ones(6)}
    config = {**TINY_STDIT3, "patch_size": [1, 2, 2], "pred_sigma": True, "model_type": "STDiT3"}
    _write_whole(transformer, config, state)
    vae = VideoAutoencoder(**TINY_VAE)
    _write_whole(autoencoder, {**TINY_VAE, "model_type": "VideoAutoencoderPipeline"}, vae)
    write_tokenizer(text_encoder)
    _write_t5(text_encoder, pickled=True)


def _write_whole(folder, config, model):
    write_json(folder / "config.json", config)
    state = model if isinstance(model, dict) else model.state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors")


def _write_vae(folder):
    torch.manual_seed(5)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    vae.save_pretrained(folder)


def _write_dit(folder, source):
    """facebook/DiT-XL-2-*: pickled weights, the old name of the class, ``id2label``."""
    _, config = TRANSFORMERS[source]
    torch.manual_seed(6)
    model = randomise(DiTTransformer2DModel(**{**config, **TINY}))
    model.save_pretrained(folder / "transformer", safe_serialization=False)
    _rename_class(folder / "transformer" / "config.json")
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(vae), vae.with_suffix(".bin"))
    vae.unlink()
    DDIMScheduler(
        beta_schedule="linear", clip_sample=False, num_train_timesteps=1000
    ).save_pretrained(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "DiTPipeline",
            "_diffusers_version": "0.12.0.dev0",
            "id2label": {str(i): name for i, name in imagenet().names.items()},
            "scheduler": ["diffusers", "DDIMScheduler"],
            "transformer": ["diffusers", "Transformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def _write_scenes_class(folder):
    """The embedded model as ``python -m tracache.training`` exports it: 40 classes of the 1000."""
    torch.manual_seed(9)
    model = DiTTransformer2DModel(**TINY, in_channels=4, out_channels=4, sample_size=16)
    pipe = DiTPipeline(
        randomise(model),
        AutoencoderKL.from_pretrained(folder / "vae"),
        DDIMScheduler(clip_sample=False, prediction_type="v_prediction"),
    )
    pipe.register_to_config(id2label={str(i): name for i, name in enumerate(CLASSES)})
    pipe.save_pretrained(folder)


def _write_pixart(folder, source):
    """PixArt-alpha/PixArt-XL-2-*: a sharded T5, the old name of the class."""
    _, config = TRANSFORMERS[source]
    torch.manual_seed(7)
    tiny = {**TINY, "cross_attention_dim": 24, "caption_channels": CAPTION}
    model = randomise(PixArtTransformer2DModel(**{**config, **tiny}))
    model.save_pretrained(folder / "transformer")
    _rename_class(folder / "transformer" / "config.json")
    _write_t5(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer")
    DPMSolverMultistepScheduler(
        beta_schedule="linear", solver_order=2, algorithm_type="dpmsolver++"
    ).save_pretrained(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "PixArtAlphaPipeline",
            "_diffusers_version": "0.22.0.dev0",
            "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
            "text_encoder": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "T5Tokenizer"],
            "transformer": ["diffusers", "Transformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def _rename_class(file):
    """The repositories are older than the classes that diffusers makes of them."""
    config = json.loads(file.read_text())
    write_json(file, {**config, "_class_name": "Transformer2DModel"})


def _write_t5(folder, pickled=False):
    """Two shards and their index, as the encoder of 4.7 B parameters comes."""
    torch.manual_seed(8)
    config = T5Config(
        vocab_size=PIECES + EXTRA,
        d_model=CAPTION,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.1,
        tie_word_embeddings=False,
    )
    T5EncoderModel(config).eval().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    places = {}
    for i, shard in enumerate(shards, 1):
        part = {key: weights[key] for key in shard}
        if pickled:
            name = f"pytorch_model-0000{i}-of-00002.bin"
            torch.save(part, folder / name)
        else:
            name = f"model-0000{i}-of-00002.safetensors"
            save_file(part, folder / name, {"format": "pt"})
        places |= dict.fromkeys(shard, name)
    size = sum(tensor.nbytes for tensor in weights.values())
    write_json(
        folder / ("pytorch_model.bin.index.json" if pickled else "model.safetensors.index.json"),
        {"metadata": {"total_size": size}, "weight_map": places},
    )


def write_tokenizer(folder):
    """A sentence piece model, as T5's tokenizer comes; there is no tokenizer.json."""
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(MODELS["pixart-256"].example_prompts * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=PIECES,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            **special,
            "tokenizer_class": "T5Tokenizer",
            "model_max_length": 512,
            "extra_ids": EXTRA,
            "legacy": True,
        },
    )
