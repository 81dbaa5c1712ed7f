"""Open-Sora: text to video; the embedded text-to-video model is one too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracache.media import Video, VideoSize
from tracache.models.families.opensora.loading import load_opensora
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import set_timesteps, time_shift


class OpenSoraFamily:
    """Drives an ``OpenSoraPipeline``; see :class:`~tracache.models.families.base.Family`.

    Parameters
    ----------
    scores : bool
        Whether prompts are cleaned and have scores appended, as the published model was trained;
        a small grammar knows no such words.
    """

    #: Components that are needed only to read the prompt.
    encoders: tuple[str, ...] = ("tokenizer", "text_encoder")

    def __init__(self, scores: bool) -> None:
        self._scores = scores

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load a saved pipeline; ``offline`` refuses to ask the Hub."""
        left_out: dict[str, Any] = dict.fromkeys(without)
        return OpenSoraPipeline.from_pretrained(
            sources[0], torch_dtype=dtype, local_files_only=offline, **left_out
        )

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[str],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Encode prompts; the null text is the transformer's own."""
        scores = {} if self._scores else {"aesthetic_score": None}
        # The length is said, since the text encoder may be loaded without the transformer.
        embeds, mask = pipe.encode_prompt(
            list(prompts), clean=self._scores, length=max_tokens, **scores
        )
        return {"prompt_embeds": embeds, "prompt_mask": mask}

    def noise(self, pipe: Any, seeds: Sequence[int], size: VideoSize) -> Tensor:
        """Gaussian latents in float32, drawn on the CPU so that devices agree."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return pipe.noise(len(seeds), size.height, size.width, size.frames, generators)

    def set_timesteps(
        self, scheduler: Any, num_steps: int, size: VideoSize, index: Mapping[str, Any]
    ) -> None:
        """Space the steps by the size of the video, where the pipeline does not say how."""
        shift = index.get("shift")
        shift = time_shift(size.height, size.width, size.frames) if shift is None else shift
        set_timesteps(scheduler, num_steps, shift)

    def denoise(
        self,
        pipe: Any,
        conditions: dict[str, Any],
        noise: Tensor,
        num_steps: int,
        guidance_scale: float,
        size: VideoSize,
        generators: list[torch.Generator],
    ) -> Tensor:
        """Run the pipeline up to its final latents; its scheduler draws no noise."""
        return pipe(
            **conditions,
            latents=noise,
            num_frames=size.frames,
            height=size.height,
            width=size.width,
            fps=size.fps,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            output_type="latent",
        ).frames

    @torch.no_grad()
    def decode(
        self, pipe: Any, latents: Tensor, size: VideoSize, conditions: Any = None
    ) -> list[Video]:
        """Decode latents as the pipeline itself does."""
        return [
            Video(tuple(frames), size.fps) for frames in pipe.decode(latents, size.frames, "pil")
        ]


class PublishedOpenSora(OpenSoraFamily):
    """Open-Sora 1.2 as it is on the Hub: transformer, autoencoder and text encoder apart."""

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load the parts; ``sources`` are those of the three, in this order."""
        transformer, autoencoder, text_encoder = sources
        return load_opensora(transformer, autoencoder, text_encoder, dtype, offline, without)


SCENES = OpenSoraFamily(scores=False)
OPEN_SORA = PublishedOpenSora(scores=True)
