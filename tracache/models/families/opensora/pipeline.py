"""Text to video with Open-Sora 1.2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from tracache.models.families.opensora.schedule import set_timesteps, time_shift
from tracache.models.families.opensora.sizes import SIZES
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.families.opensora.text import clean_caption, encode_text, with_scores
from tracache.models.families.opensora.vae import VideoAutoencoder

OUTPUTS = ("pil", "np", "pt", "latent")
#: Frames per second that stand for an image.
IMAGE_FPS = 120.0


#: diffusers gives its pipelines their attributes at run time, where no type checker sees them.
_Pipeline: Any = DiffusionPipeline


@dataclass
class VideoOutput(BaseOutput):
    """What a call returns.

    Attributes
    ----------
    frames : list of list of PIL.Image.Image, ndarray, or Tensor
        One list a video; as an array uint8 [B, T, H, W, 3]; as a tensor [B, 3, T, H, W] in 0 … 1;
        or latents [B, C, t, h, w].
    """

    frames: Any


class OpenSoraPipeline(_Pipeline):
    """Generates videos from text.

    Parameters
    ----------
    tokenizer, text_encoder
        Of T5; the encoder may be None where prompts come as embeddings.
    transformer : STDiT3
        Predicts velocity.
    vae : VideoAutoencoder
        Latents to frames.
    scheduler : FlowMatchEulerDiscreteScheduler
        Its shift is set for each size.
    shift : float, optional
        One shift for all sizes; for models that were trained on a single one.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _callback_tensor_inputs = ("latents",)
    _optional_components = ["tokenizer", "text_encoder"]  # noqa: RUF012 (diffusers reads a list)

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        transformer: STDiT3,
        vae: VideoAutoencoder,
        scheduler: FlowMatchEulerDiscreteScheduler,
        shift: float | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            transformer=transformer,
            vae=vae,
            scheduler=scheduler,
        )
        self.register_to_config(shift=shift)

    def encode_prompt(
        self, prompts: Sequence[str], clean: bool = True, length: int | None = None, **scores: Any
    ) -> tuple[Tensor, Tensor]:
        """Return text features [B, 1, L, channels] and their mask [B, L].

        Parameters
        ----------
        prompts : sequence of str
            One for each video.
        clean : bool, default True
            Whether to clean them as the published model's were.
        length : int, optional
            Tokens to pad or cut to; the transformer's own number by default, so that it must be
            given where there is none.
        **scores
            As for :func:`~tracache.models.families.opensora.text.with_scores`.
        """
        texts = [with_scores(prompt, **scores) for prompt in prompts]
        texts = [clean_caption(text) for text in texts] if clean else texts
        length = length or self.transformer.config.model_max_length
        return encode_text(self.tokenizer, self.text_encoder, texts, length, self._execution_device)

    def noise(
        self,
        count: int,
        height: int,
        width: int,
        num_frames: int,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> Tensor:
        """Return initial latents in float32, drawn where the generators are."""
        factor = self.vae.spatial_factor
        frames = self.vae.latent_frames(num_frames)
        shape = (count, self.vae.latent_channels, frames, height // factor, width // factor)
        return randn_tensor(shape, generator, self._execution_device, torch.float32)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        num_frames: int = SIZES.frames,
        height: int | None = None,
        width: int | None = None,
        resolution: str = SIZES.resolution,
        aspect_ratio: str = SIZES.ratio,
        fps: float = 24.0,
        num_inference_steps: int = 30,
        guidance_scale: float = 7.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        aesthetic_score: float | None = 6.5,
        motion_score: float | None = None,
        camera_motion: str | None = None,
        clean_caption: bool = True,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
        | None = None,
    ) -> VideoOutput | tuple[Any]:
        """Generate a video for each prompt.

        Parameters
        ----------
        prompt : str or sequence of str, optional
            What to show; or ``prompt_embeds`` and ``prompt_mask`` from :meth:`encode_prompt`.
        num_frames : int, default 51
            1 makes an image.
        height, width : int, optional
            Pixels; by default those of ``resolution`` ("480p") and ``aspect_ratio`` ("9:16",
            height to width). The frames come out in multiples of the autoencoder's factor.
        fps : float, default 24
            Frames per second that the motion is made for.
        num_inference_steps, guidance_scale : int, float, defaults 30, 7
            Up to 1 there is no guidance.
        generator : torch.Generator or one for each video, optional
            Of the noise, where ``latents`` are not given.
        latents : Tensor [B, C, t, h, w], optional
            Initial noise.
        aesthetic_score, motion_score, camera_motion, clean_caption
            As for :meth:`encode_prompt`.
        output_type : {"pil", "np", "pt", "latent"}, default "pil"
            Form of the frames; see :class:`VideoOutput`.
        return_dict : bool, default True
            Whether to return a :class:`VideoOutput` rather than a tuple.
        callback_on_step_end : callable, optional
            ``callback(pipe, step, timestep, {"latents": …})`` after each step; latents that it
            returns take the place of these.

        Raises
        ------
        ValueError
            If something is missing or not allowed.
        """
        if output_type not in OUTPUTS:
            raise ValueError(f"unknown output_type {output_type!r}; choose from {OUTPUTS}")
        if num_inference_steps < 1 or num_frames < 1:
            raise ValueError("num_inference_steps and num_frames must be at least 1")
        if (height is None) != (width is None):
            raise ValueError("height and width go together: give both or neither")
        if height is None or width is None:
            height, width = SIZES.size_of(resolution, aspect_ratio)
        if prompt_embeds is None:
            if prompt is None:
                raise ValueError("give a prompt, or prompt_embeds and prompt_mask")
            prompts = [prompt] if isinstance(prompt, str) else list(prompt)
            prompt_embeds, prompt_mask = self.encode_prompt(
                prompts,
                clean_caption,
                aesthetic_score=aesthetic_score,
                motion_score=motion_score,
                camera_motion=camera_motion,
            )
        count = len(prompt_embeds)
        z = latents
        if z is None:
            z = self.noise(count, height, width, num_frames, generator)
        z = self._denoise(
            z.float(),
            prompt_embeds,
            prompt_mask,
            (height, width, num_frames),
            IMAGE_FPS if num_frames == 1 else fps,
            num_inference_steps,
            guidance_scale,
            callback_on_step_end,
        )
        frames = z if output_type == "latent" else self.decode(z, num_frames, output_type)
        self.maybe_free_model_hooks()
        return VideoOutput(frames) if return_dict else (frames,)

    def _denoise(
        self,
        z: Tensor,
        embeds: Tensor,
        mask: Tensor | None,
        size: tuple[int, int, int],
        fps: float,
        steps: int,
        guidance_scale: float,
        callback: Callable[..., Any] | None,
    ) -> Tensor:
        """Follow the velocity from noise to data: z ← z + v · (σ_i − σ_{i+1})."""
        guided = guidance_scale > 1.0
        if guided:
            # The null text is learned, and stands under the prompt's own mask.
            null = self.transformer.y_embedder.y_embedding.to(embeds)
            embeds = torch.cat([embeds, null.expand_as(embeds)])
        shift = time_shift(*size) if self.config.shift is None else self.config.shift
        set_timesteps(self.scheduler, steps, shift, z.device)
        batch = len(embeds)
        # On the host, where the transformer reads sizes without waiting for the device.
        given = {
            "height": torch.full((batch,), float(size[0])),
            "width": torch.full((batch,), float(size[1])),
            "fps": torch.full((batch,), fps, device=z.device),
        }
        channels = z.shape[1]
        with self.progress_bar(total=steps) as bar:
            for i, t in enumerate(self.scheduler.timesteps):
                both = torch.cat([z, z]) if guided else z
                v = self.transformer(both, t.expand(batch), embeds, mask, **given)[:, :channels]
                if guided:
                    conditional, unconditional = v.chunk(2)
                    v = unconditional + guidance_scale * (conditional - unconditional)
                # The scheduler's velocity points the other way.
                z = self.scheduler.step(-v, t, z, return_dict=False)[0]
                if callback is not None:
                    z = callback(self, i, t, {"latents": z}).pop("latents", z)
                bar.update()
        return z

    def decode(self, z: Tensor, num_frames: int, output_type: str = "pil") -> Any:
        """Return frames of latents, in one of the forms of :class:`VideoOutput`."""
        pixels = self.vae.decode(z, num_frames).float().clamp(-1, 1)
        if output_type == "pt":
            return (pixels + 1) / 2
        videos = ((pixels + 1) / 2 * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 4, 1).cpu().numpy()
        return videos if output_type == "np" else [to_images(video) for video in videos]


def to_images(video: np.ndarray) -> list[Image.Image]:
    """Return the frames of uint8 [T, H, W, 3] as images."""
    return [Image.fromarray(frame) for frame in video]
