"""What the trainings of the two judges share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

SHIFT = 4
"""Pixels that pictures are shifted by at most, so that places say nothing exactly."""


def augment(
    x: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, tuple[int, int]]:
    """Shift pictures (n, 3, h, w) and add faint noise, so that tiny artefacts mean nothing.

    Returns
    -------
    Tensor
        The pictures, of the same size.
    tuple of int
        How far they moved, to the right and down, in pixels; all of them alike.
    """
    height, width = x.shape[-2:]
    dy, dx = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=generator).tolist()
    x = functional.pad(x, (SHIFT,) * 4, mode="replicate")
    x = x[:, :, SHIFT + dy : SHIFT + dy + height, SHIFT + dx : SHIFT + dx + width]
    amounts = strength * torch.rand(len(x), 1, 1, 1, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    return x + amounts.to(x.device) * noise.to(x.device), (-dx, -dy)


def save_judge(model: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write ``model.safetensors`` (float16) and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in model.cpu().state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def save_report(report: dict[str, Any], folder: Path) -> None:
    """Write and print ``evaluation.json``."""
    (folder / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report), flush=True)
