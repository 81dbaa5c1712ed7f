"""Tiny random pipelines of many kinds, in the layout of the Hub's repositories."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL

from tests.models.hub import write_tokenizer
from tests.parts import ltx_vae, qwen_vae, sdxl_unet, wan_vae
from tests.tiny import randomise

#: What byte-level tokenizers have for each byte.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_REST = [b for b in range(256) if b not in _PRINTABLE]
BYTES = [chr(b) for b in _PRINTABLE] + [chr(256 + i) for i in range(len(_REST))]
CHAT = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def _clip(cls, width=32, projection=32):
    torch.manual_seed(20)
    config = transformers.CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=projection,
        pad_token_id=1,
        vocab_size=600,
    )
    return cls(config).eval()


def _clip_tokenizer():
    words = [*BYTES, *(c + "</w>" for c in BYTES), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _t5(width):
    torch.manual_seed(21)
    config = transformers.T5Config(
        vocab_size=140,
        d_model=width,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        tie_word_embeddings=False,
    )
    return transformers.T5EncoderModel(config).eval()


def _umt5(width):
    torch.manual_seed(22)
    config = transformers.UMT5Config(
        vocab_size=140, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return transformers.UMT5EncoderModel(config).eval()


def _t5_tokenizer(folder):
    write_tokenizer(folder / "spiece")
    return transformers.T5Tokenizer.from_pretrained(folder / "spiece")


def _qwen_tokenizer():
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocab = {word: i for i, word in enumerate([*BYTES, *special])}
    made = transformers.Qwen2Tokenizer(vocab=vocab, merges=[], chat_template=CHAT)
    made.add_special_tokens({"additional_special_tokens": special[1:]})
    return made


def _vae(channels, shift=None, shortcut=True):
    torch.manual_seed(23)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        scaling_factor=0.3,
        shift_factor=shift,
        use_quant_conv=shortcut,
        use_post_quant_conv=shortcut,
    )


def _flow(**changes):
    return diffusers.FlowMatchEulerDiscreteScheduler(**changes)


def flux(folder):
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return diffusers.FluxPipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=_vae(4, shift=0.1, shortcut=False),
        text_encoder=_clip(transformers.CLIPTextModel),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_t5(32),
        tokenizer_2=_t5_tokenizer(folder),
        transformer=randomise(transformer),
    )


def sd3(folder):
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        out_channels=4,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=randomise(transformer),
        scheduler=_flow(shift=3.0),
        vae=_vae(4, shift=0.0, shortcut=False),
        text_encoder=_clip(transformers.CLIPTextModelWithProjection),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_clip(transformers.CLIPTextModelWithProjection),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=_t5(64),
        tokenizer_3=_t5_tokenizer(folder),
    )


def qwen_image(folder):
    torch.manual_seed(24)
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "rope_theta": 1000000.0,
            "vocab_size": 300,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
        hidden_size=16,
        vocab_size=300,
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=3,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    return diffusers.QwenImagePipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=qwen_vae(),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=_qwen_tokenizer(),
        transformer=randomise(transformer),
    )


def z_image(folder):
    torch.manual_seed(25)
    config = transformers.Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=300,
        max_position_embeddings=512,
        head_dim=8,
    )
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    return diffusers.ZImagePipeline(
        scheduler=_flow(shift=3.0),
        vae=_vae(16, shift=0.1, shortcut=False),
        text_encoder=transformers.Qwen3Model(config).eval(),
        tokenizer=_qwen_tokenizer(),
        transformer=randomise(transformer),
    )


def wan(folder, scheduler=None):
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=16,
        freq_dim=64,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    return diffusers.WanPipeline(
        tokenizer=_t5_tokenizer(folder),
        text_encoder=_umt5(16),
        vae=wan_vae(16),
        scheduler=scheduler
        or diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=randomise(transformer),
    )


def ltx(folder):
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=2,
        qk_norm="rms_norm_across_heads",
        caption_channels=16,
    )
    return diffusers.LTXPipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=ltx_vae(8),
        text_encoder=_t5(16),
        tokenizer=_t5_tokenizer(folder),
        transformer=randomise(transformer),
    )


def sdxl(folder):
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=_clip(transformers.CLIPTextModel),
        text_encoder_2=_clip(transformers.CLIPTextModelWithProjection),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=randomise(sdxl_unet()),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
        add_watermarker=False,
    )


KINDS = {f.__name__: f for f in (flux, sd3, qwen_image, z_image, wan, ltx, sdxl)}

_SHELF = tempfile.TemporaryDirectory(prefix="tracache-stock-")


def write_stock(root, kind, source):
    """Write a tiny pipeline of a kind under its repository's name, and return the folder."""
    return Path(shutil.copytree(_made(kind), root / source))


@cache
def _made(kind):
    """Make a pipeline once for all tests of this process, for them to copy and to damage."""
    root = Path(_SHELF.name)
    pipe = KINDS[kind](root / f"{kind}-parts")
    torch.manual_seed(30)
    randomise_vae(pipe.vae)
    pipe.save_pretrained(root / kind)
    return root / kind


def randomise_vae(vae):
    """Colours in a range that shows."""
    for parameter in vae.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
