"""A small classifier of the scenes: what a picture shows, read off the picture alone.

It judges whether a generated picture shows what was asked for, and its feature maps serve as a
space in which to measure how far apart sets of pictures are. Its weights are embedded; the recipe
that trains it is :mod:`tracache.training.images.classifier`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tracache.settings import assets_folder, require_asset

FOLDER = assets_folder() / "scenes-classifier"
WIDTHS = (24, 48, 64, 96, 128)


def _stage(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class SceneClassifier(nn.Module):
    """Six convolutions and one hidden layer; pictures (n, 3, 128, 128) in -1..1 to logits.

    Parameters
    ----------
    heads : mapping of str to sequence of str
        What is read off a picture, and the words to choose from for each.
    widths : sequence of int, default ``WIDTHS``
        Channels of the stages.
    """

    def __init__(self, heads: Mapping[str, Sequence[str]], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.heads = {head: tuple(words) for head, words in heads.items()}
        self.widths = tuple(widths)
        inputs = (3, *widths[:-1])
        strides = (2, 2, 2, 2, 1)
        self.stages = nn.ModuleList(
            _stage(i, o, s) for i, o, s in zip(inputs, widths, strides, strict=True)
        )
        self.squeeze = nn.Conv2d(widths[-1], 32, 1)
        self.hidden = nn.Linear(32 * 64, 160)
        self.out = nn.Linear(160, sum(len(words) for words in self.heads.values()))

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps of the stages, at 64, 32, 16, 8 and 8 pixels a side."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits per head, each (n, number of words)."""
        x = functional.relu(self.squeeze(self.features(x)[-1])).flatten(1)
        x = functional.dropout(functional.relu(self.hidden(x)), 0.2, self.training)
        parts = self.out(x).split([len(words) for words in self.heads.values()], dim=1)
        return dict(zip(self.heads, parts, strict=True))

    @torch.no_grad()
    def read(self, images: np.ndarray, batch: int = 64) -> Tensor:
        """Most likely labels of uint8 pictures (n, h, w, 3): int64 (n, heads), in heads' order."""
        device, rows = next(self.parameters()).device, []
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
            logits = self(pixels.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0)
            rows.append(torch.stack([out.argmax(1) for out in logits.values()], dim=1).cpu())
        return torch.cat(rows)


def load_classifier(folder: Path = FOLDER) -> SceneClassifier:
    """The committed classifier, float32 on the CPU, ready to read pictures.

    Raises
    ------
    FileNotFoundError
        If the assets are not here; the message says where to get them.
    """
    config = json.loads((require_asset(folder, folder.parent) / "config.json").read_text())
    model = SceneClassifier(config["heads"], config["widths"])
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()
