"""Tiny pipelines of many kinds, each by its own call, with embeddings in place of encoders."""

from __future__ import annotations

import inspect

import diffusers as d
import torch
import transformers
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.stable_audio import StableAudioProjectionModel

from tests.caching.test_pipelines import (
    chroma,
    flow,
    flux,
    flux_twice,
    sd3,
    sd15,
    text,
    vae,
    wan,
    z_image,
)
from tests.caching.zoo import configurations, make
from tests.parts import ltx_vae, qwen_vae, sdxl_unet, wan_vae
from tests.tiny import dit as tiny_dit
from tests.tiny import pixart as tiny_pixart
from tests.tiny import randomise


def picture(size=16, seed=5):
    return torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(seed))


def mask(size=16):
    return torch.cat([torch.ones(1, 1, size, size // 2), torch.zeros(1, 1, size, size // 2)], 3)


def config_of(name):
    return configurations()[name]["config"]


def pair(*shape):
    return {"prompt_embeds": text(*shape), "negative_prompt_embeds": text(*shape, seed=1)}


def as_is(made):
    def build():
        pipe, given, size = made()
        return pipe, {**given, "height": size, "width": size}

    return build


def with_scheduler(name, **changes):
    def build():
        pipe, given, size = sd15()
        pipe.scheduler = getattr(d, name)(**changes)
        return pipe, {**given, "height": size, "width": size}

    return build


def of_sd15(cls, given, **parts):
    pipe, prompts, _ = sd15()
    made = {**pipe.components, **{name: part(pipe) for name, part in parts.items()}}
    return cls(**made, requires_safety_checker=False), {**prompts, **given}


def sd_image():
    return of_sd15(d.StableDiffusionImg2ImgPipeline, {"image": picture(), "strength": 0.7})


def sd_inpaint():
    given = {"image": picture(), "mask_image": mask(), "height": 16, "width": 16}
    return of_sd15(d.StableDiffusionInpaintPipeline, {**given, "strength": 1.0})


def sd_control():
    def control(pipe):
        made = d.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(4,))
        return randomise(made)

    given = {"image": picture(), "height": 16, "width": 16}
    return of_sd15(d.StableDiffusionControlNetPipeline, given, controlnet=control)


def animatediff():
    unet = make("UNetMotionModel")
    pipe = d.AnimateDiffPipeline(vae(), None, None, unet, None, d.DDIMScheduler(clip_sample=False))
    width = unet.config.cross_attention_dim
    return pipe, {**pair(1, 5, width), "num_frames": 2, "height": 16, "width": 16}


def sdxl():
    torch.manual_seed(3)
    pipe = d.StableDiffusionXLPipeline(
        vae(),
        None,
        None,
        None,
        None,
        sdxl_unet().eval(),
        d.EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    pooled = {"pooled_prompt_embeds": text(1, 32)}
    pooled["negative_pooled_prompt_embeds"] = text(1, 32, seed=1)
    return pipe, {**pair(1, 5, 64), **pooled, "height": 16, "width": 16}


def unconditional():
    unet = make("UNet2DModel")
    return d.DDIMPipeline(unet, d.DDIMScheduler(clip_sample=False)), {"output_type": "np"}


def of_flux(cls, **given):
    pipe, prompts, _ = flux()
    nothing = {"image_encoder": None, "feature_extractor": None}
    takes = inspect.signature(cls).parameters
    made = {k: v for k, v in {**pipe.components, **nothing}.items() if k in takes}
    return cls(**made), {**prompts, "height": 16, "width": 16, **given}


def flux_control():
    pipe, prompts, _ = flux()
    config = dict(pipe.transformer.config)
    sizes = {key: config[key] for key in ("attention_head_dim", "num_attention_heads")}
    control = d.FluxControlNetModel.from_transformer(
        pipe.transformer, num_layers=1, num_single_layers=1, **sizes
    )
    takes = inspect.signature(d.FluxControlNetPipeline).parameters
    made = {k: v for k, v in pipe.components.items() if k in takes}
    pipe = d.FluxControlNetPipeline(**made, controlnet=randomise(control))
    return pipe, {**prompts, "control_image": picture(), "height": 16, "width": 16}


def sd3_image():
    pipe, prompts, _ = sd3()
    prompts = {k: v for k, v in prompts.items() if "embeds" in k}
    made = d.StableDiffusion3Img2ImgPipeline(**pipe.components)
    return made, {**prompts, "image": picture(), "strength": 0.8, "height": 16, "width": 16}


def qwen():
    model = make("QwenImageTransformer2DModel")
    width = model.config.joint_attention_dim
    masks = {"prompt_embeds_mask": torch.ones(1, 6).long()}
    masks["negative_prompt_embeds_mask"] = torch.ones(1, 6).long()
    pipe = d.QwenImagePipeline(flow(), qwen_vae(), None, None, model)
    return pipe, {**pair(1, 6, width), **masks, "true_cfg_scale": 3.0, "height": 16, "width": 16}


def experts():
    pipe, given, size = wan()
    parts = {**pipe.components, "transformer_2": make("WanTransformer3DModel")}
    return d.WanPipeline(**parts, boundary_ratio=0.7), {**given, "height": size, "width": size}


def ltx():
    model = make("LTXVideoTransformer3DModel")
    channels = model.config.in_channels
    torch.manual_seed(0)
    pipe = d.LTXPipeline(flow(), ltx_vae(channels), None, None, model)
    width = model.config.caption_channels
    masks = {"prompt_attention_mask": torch.ones(1, 6).bool()}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 6).bool()
    return pipe, {**pair(1, 6, width), **masks, "num_frames": 9, "height": 32, "width": 32}


def cogvideo(made):
    model = make("CogVideoXTransformer3DModel")
    decoder = d.AutoencoderKLCogVideoX(
        latent_channels=model.config.in_channels,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
    )
    pipe = d.CogVideoXPipeline(None, None, decoder, model, made)
    width = model.config.text_embed_dim
    length = model.config.max_text_seq_length
    return pipe, {**pair(1, length, width), "num_frames": 9, "height": 16, "width": 16}


def hunyuan():
    model = make("HunyuanVideoTransformer3DModel")
    decoder = d.AutoencoderKLHunyuanVideo(
        latent_channels=model.config.in_channels,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
    )
    pipe = d.HunyuanVideoPipeline(None, None, model, decoder, flow(), None, None)
    given = {
        "prompt_embeds": text(1, 6, model.config.text_embed_dim),
        "pooled_prompt_embeds": text(1, model.config.pooled_projection_dim),
        "prompt_attention_mask": torch.ones(1, 6).long(),
    }
    return pipe, {**given, "num_frames": 5, "height": 16, "width": 16}


def mochi():
    model = make("MochiTransformer3DModel")
    decoder = d.AutoencoderKLMochi(
        latent_channels=model.config.in_channels,
        out_channels=3,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    pipe = d.MochiPipeline(flow(), decoder, None, None, model)
    masks = {"prompt_attention_mask": torch.ones(1, 6).bool()}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 6).bool()
    prompts = pair(1, 6, model.config.text_embed_dim)
    return pipe, {**prompts, **masks, "num_frames": 7, "height": 32, "width": 32}


def pixart(cls):
    pipe = getattr(d, cls)(None, None, vae(), tiny_pixart(), d.DPMSolverMultistepScheduler())
    masks = {"prompt_attention_mask": torch.ones(1, 5)}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 5)
    given = {"height": 8, "width": 8, "use_resolution_binning": False, "negative_prompt": None}
    return pipe, {**pair(1, 5, 12), **masks, **given}


def dit():
    pipe = d.DiTPipeline(tiny_dit(), vae(), d.DDIMScheduler(clip_sample=False))
    return pipe, {"class_labels": [3], "output_type": "np"}


def sana():
    model = make("SanaTransformer2DModel")
    decoder = d.AutoencoderDC(
        in_channels=3,
        latent_channels=model.config.in_channels,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        attention_head_dim=2,
    )
    pipe = d.SanaPipeline(None, None, decoder, model, flow())
    masks = {"prompt_attention_mask": torch.ones(1, 6)}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 6)
    prompts = {**pair(1, 6, model.config.caption_channels), "negative_prompt": None}
    more = {"use_resolution_binning": False, "height": 32, "width": 32}
    return pipe, {**prompts, **masks, **more}


def auraflow():
    model = make("AuraFlowTransformer2DModel")
    pipe = d.AuraFlowPipeline(None, None, vae(model.config.in_channels), model, flow())
    masks = {"prompt_attention_mask": torch.ones(1, 6)}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 6)
    prompts = pair(1, 6, model.config.joint_attention_dim)
    return pipe, {**prompts, **masks, "height": 8, "width": 8}


def cogview4():
    model = make("CogView4Transformer2DModel")
    pipe = d.CogView4Pipeline(None, None, vae(model.config.in_channels), model, flow())
    return pipe, {**pair(1, 16, model.config.text_embed_dim), "height": 16, "width": 16}


def cogview3():
    model = make("CogView3PlusTransformer2DModel")
    made = d.CogVideoXDDIMScheduler(clip_sample=False)
    pipe = d.CogView3PlusPipeline(None, None, vae(model.config.in_channels), model, made)
    return pipe, {**pair(1, 16, model.config.text_embed_dim), "height": 16, "width": 16}


def latte():
    model = make("LatteTransformer3DModel")
    pipe = d.LattePipeline(
        None, None, vae(model.config.in_channels), model, d.DDIMScheduler(clip_sample=False)
    )
    size = model.config.sample_size
    given = {"video_length": 1, "height": size, "width": size, "negative_prompt": None}
    return pipe, {**pair(1, 5, model.config.caption_channels), **given, "clean_caption": False}


def svd():
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=32,
        projection_dim=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        intermediate_size=16,
        patch_size=8,
    )
    config = {**config_of("UNetSpatioTemporalConditionModel"), "in_channels": 8}
    config["cross_attention_dim"] = 32
    unet = randomise(d.UNetSpatioTemporalConditionModel(**config))
    decoder = d.AutoencoderKLTemporalDecoder(
        block_out_channels=(32,), latent_channels=4, sample_size=16
    )
    pipe = d.StableVideoDiffusionPipeline(
        decoder,
        transformers.CLIPVisionModelWithProjection(vision).eval(),
        unet,
        d.EulerDiscreteScheduler(prediction_type="v_prediction", use_karras_sigmas=True),
        transformers.CLIPImageProcessor(crop_size=16, size=16),
    )
    return pipe, {"image": picture(), "num_frames": 2, "height": 16, "width": 16}


def kandinsky():
    torch.manual_seed(0)
    unet = d.UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(8, 16),
        layers_per_block=1,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
        class_embed_type=None,
    )
    movq = d.VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
    )
    pipe = d.KandinskyV22Pipeline(unet.eval(), d.DDPMScheduler(clip_sample=False), movq)
    given = {"image_embeds": text(1, 32), "negative_image_embeds": text(1, 32, seed=1)}
    return pipe, {**given, "height": 64, "width": 64}


def stable_audio():
    model = make("StableAudioDiTModel")
    width = model.config.cross_attention_input_dim
    oobleck = d.AutoencoderOobleck(
        encoder_hidden_size=6,
        downsampling_ratios=[1, 2],
        decoder_channels=3,
        decoder_input_channels=model.config.in_channels,
        audio_channels=2,
        channel_multiples=[2, 4],
        sampling_rate=4,
    )
    project = StableAudioProjectionModel(
        text_encoder_dim=width, conditioning_dim=width, min_value=0, max_value=32
    )
    made = d.EDMDPMSolverMultistepScheduler(
        solver_order=2,
        prediction_type="v_prediction",
        sigma_data=1.0,
        sigma_schedule="exponential",
    )
    pipe = d.StableAudioPipeline(oobleck, None, project, None, model, made)
    return pipe, {**pair(1, 5, width), "audio_end_in_s": 2.0}


def wan_image():
    model = d.WanTransformer3DModel(
        **{**config_of("WanTransformer3DModel"), "in_channels": 12, "image_dim": None}
    )
    pipe, given, _ = wan()
    model = randomise(model)
    pipe.vae = wan_vae(4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    parts = {"image_processor": None, "image_encoder": None, "transformer": model}
    parts = {**{k: v for k, v in pipe.components.items() if "expand" not in k}, **parts}
    pipe = d.WanImageToVideoPipeline(**parts)
    return pipe, {**given, "image": picture(), "height": 16, "width": 16}


def ltx2():
    """Picture and sound: three calls a step, and a copy of the scheduler for what is heard."""
    model = make("LTX2VideoTransformer3DModel")
    torch.manual_seed(0)
    decoder = d.AutoencoderKLLTX2Video(
        latent_channels=model.config.in_channels,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        patch_size=1,
    )
    heard = d.AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2, mel_bins=8
    )
    connectors = LTX2TextConnectors(
        caption_channels=16,
        text_proj_in_factor=1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
        connector_rope_base_seq_len=32,
    )
    made = flow(use_dynamic_shifting=True)
    pipe = d.LTX2Pipeline(made, decoder, heard, None, None, connectors, model, None)
    masks = {"prompt_attention_mask": torch.ones(1, 6).long()}
    masks["negative_prompt_attention_mask"] = torch.ones(1, 6).long()
    sizes = {"num_frames": 9, "height": 32, "width": 32, "spatio_temporal_guidance_blocks": [1]}
    return pipe, {**pair(1, 6, 16), **masks, **sizes}


class Ideogram4(d.Ideogram4Pipeline):
    """With features in place of those that an encoder finds."""

    def encode_prompt(self, prompt, grid_h, grid_w, max_sequence_length, device):
        length = max_sequence_length
        found = text(1, length + grid_h * grid_w, self.transformer.config.llm_features_dim)
        found[:, length:] = 0
        return found, *self._prepare_ids([length - 1], grid_h, grid_w, length, device)


def ideogram():
    """Guidance by a second denoiser."""
    model = make("Ideogram4Transformer2DModel")
    decoder = d.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )
    pipe = Ideogram4(flow(), decoder, None, None, model, randomise(type(model)(**model.config)))
    sizes = {"height": 8, "width": 8, "max_sequence_length": 5}
    return pipe, {"prompt": "", "guidance_scale": 4.0, "guidance_schedule": None, **sizes}


PIPES = {
    "FLUX.1": as_is(flux),
    "FLUX.1, true guidance in two calls": as_is(flux_twice),
    "FLUX.1 image to image": lambda: of_flux(d.FluxImg2ImgPipeline, image=picture(), strength=0.8),
    "FLUX.1 inpaint": lambda: of_flux(
        d.FluxInpaintPipeline, image=picture(), mask_image=mask(), strength=0.9
    ),
    "FLUX.1 Kontext": lambda: of_flux(
        d.FluxKontextPipeline, image=picture(), max_area=256, _auto_resize=False
    ),
    "FLUX.1 ControlNet": flux_control,
    "SD 3.5 image to image": sd3_image,
    "Z-Image": as_is(z_image),
    "Chroma": as_is(chroma),
    "Qwen-Image": qwen,
    "AuraFlow": auraflow,
    "CogView 4": cogview4,
    "CogView 3+": cogview3,
    "Sana": sana,
    "PixArt-α": lambda: pixart("PixArtAlphaPipeline"),
    "PixArt-Σ": lambda: pixart("PixArtSigmaPipeline"),
    "DiT": dit,
    "Wan 2.1": as_is(wan),
    "Wan 2.1 image to video": wan_image,
    "Wan 2.2, two experts": experts,
    "LTX-Video": ltx,
    "LTX-2": ltx2,
    "Ideogram 4": ideogram,
    "CogVideoX": lambda: cogvideo(d.CogVideoXDDIMScheduler(clip_sample=False)),
    "CogVideoX, DPM": lambda: cogvideo(d.CogVideoXDPMScheduler()),
    "HunyuanVideo": hunyuan,
    "Mochi": mochi,
    "Latte": latte,
    "SD 1.5, DDIM": as_is(sd15),
    "SD 1.5, DPM-Solver++": with_scheduler("DPMSolverMultistepScheduler"),
    "SD 1.5, Euler ancestral": with_scheduler("EulerAncestralDiscreteScheduler"),
    "SD 1.5, DDPM": with_scheduler("DDPMScheduler", clip_sample=False),
    "SD 1.5, UniPC": with_scheduler("UniPCMultistepScheduler"),
    "SD 1.5 image to image": sd_image,
    "SD 1.5 inpaint": sd_inpaint,
    "SD 1.5 ControlNet": sd_control,
    "AnimateDiff": animatediff,
    "SDXL": sdxl,
    "SVD": svd,
    "Kandinsky 2.2": kandinsky,
    "unconditional UNet": unconditional,
    "Stable Audio": stable_audio,
}
