"""Prompts as Open-Sora 1.2 reads them: scores appended, cleaned, padded tokens of T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import PixArtSigmaPipeline
from torch import Tensor


def with_scores(
    prompt: str,
    aesthetic_score: float | None = 6.5,
    motion_score: float | None = None,
    camera_motion: str | None = None,
) -> str:
    """Append what the model was trained to read of a video's quality and motion.

    Each is left out where it is None, or where the prompt says it already.
    """
    said = {
        "aesthetic score": None if aesthetic_score is None else f"{aesthetic_score:.1f}",
        "motion score": None if motion_score is None else f"{motion_score:.1f}",
        "camera motion": camera_motion,
    }
    for name, value in said.items():
        if value is not None and f"{name}:" not in prompt:
            prompt = f"{prompt} {name}: {value}."
    return prompt


class _Cleaner:
    """What diffusers' cleaner of captions reads of the pipeline that it belongs to."""

    bad_punct_regex = PixArtSigmaPipeline.bad_punct_regex


def clean_caption(text: str) -> str:
    """Return a caption without links, markup and the like; lower case, twice cleaned."""
    cleaner: Any = _Cleaner()
    for _ in range(2):
        text = PixArtSigmaPipeline._clean_caption(cleaner, text).strip()
    return text


@torch.no_grad()
def encode_text(
    tokenizer: Any, encoder: Any, prompts: Sequence[str], length: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return features [B, 1, length, channels] and the mask of real tokens [B, length]."""
    tokens = tokenizer(
        list(prompts),
        max_length=length,
        padding="max_length",
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask.to(device)
    features = encoder(tokens.input_ids.to(device), attention_mask=mask).last_hidden_state
    return features[:, None], mask
