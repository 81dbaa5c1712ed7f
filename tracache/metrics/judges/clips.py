"""A small network that finds the objects of a clip, frame by frame, and follows them.

Per frame and colour it says whether there is an object of that colour, where, which solid it is
and how its stripe is turned; what moves how is then read off the tracks by
:mod:`tracache.metrics.judges.tracks`. Its weights are embedded; the recipe that trains it is
:mod:`tracache.training.clips.judge`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tracache.metrics.judges.tracks import Track
from tracache.settings import assets_folder, require_asset

FOLDER = assets_folder() / "clips-judge"
WIDTHS = (32, 64, 96, 96, 96)
PRESENT = 0.5
"""Share of the frames that must show a colour for the clip to show it."""
STRIPED = 0.5
"""Mean length of the stripe's vector from which on an object is striped."""


class Found(NamedTuple):
    """What is read off frames, per colour.

    ``present`` (n, colours) logits, ``places`` (n, colours, 2) in widths, ``solids``
    (n, colours, solids) logits, ``stripes`` (n, colours, 2) cosine and sine of twice the angle.
    """

    present: Tensor
    places: Tensor
    solids: Tensor
    stripes: Tensor


class ClipJudge(nn.Module):
    """Five convolutions, a map of where each colour is, and what is there.

    Parameters
    ----------
    colours, solids : sequence of str
        The words to choose from.
    widths : sequence of int, default ``WIDTHS``
        Channels of the convolutions, the first two of stride 2.
    """

    def __init__(
        self, colours: Sequence[str], solids: Sequence[str], widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        self.colours, self.solids, self.widths = tuple(colours), tuple(solids), tuple(widths)
        layers: list[nn.Module] = []
        for i, (inside, outside) in enumerate(zip((3, *widths), widths, strict=False)):
            stride = 2 if i < 2 else 1
            layers += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(outside), nn.ReLU()]
        self.stages = nn.Sequential(*layers)
        self.where = nn.Conv2d(widths[-1], len(colours), 1)
        self.what = nn.Sequential(
            nn.Linear(widths[-1], 96), nn.ReLU(), nn.Linear(96, 1 + len(solids) + 2)
        )

    def forward(self, x: Tensor) -> Found:
        """Read frames (n, 3, h, w) in -1..1."""
        maps = self.stages(x)
        height, width = maps.shape[-2:]
        share = self.where(maps).float().flatten(2).softmax(-1)
        rows = (torch.arange(height, device=x.device) + 0.5) / height
        columns = (torch.arange(width, device=x.device) + 0.5) / width
        grid = torch.stack([columns.repeat(height), rows.repeat_interleave(width)], -1)
        inside = share @ maps.float().flatten(2).mT
        present, solids, stripes = self.what(inside).float().split([1, len(self.solids), 2], -1)
        return Found(present[..., 0], share @ grid, solids, stripes)

    @torch.no_grad()
    def read(self, frames: np.ndarray, batch: int = 128) -> Found:
        """Read uint8 frames (n, h, w, 3)."""
        device, parts = next(self.parameters()).device, []
        for start in range(0, len(frames), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(frames[start : start + batch]))
            found = self(pixels.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0)
            parts.append(Found(*(value.cpu() for value in found)))
        return Found(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def follow(self, clip: np.ndarray) -> list[Track]:
        """The objects of a uint8 clip (frames, h, w, 3), one per colour that it shows."""
        found = self.read(clip)
        seen = (found.present > 0).numpy()
        tracks = []
        for k in np.flatnonzero(seen.mean(0) >= PRESENT):
            frames = np.flatnonzero(seen[:, k])
            moments = np.arange(len(clip))
            places = found.places[:, k].numpy()[frames]
            path = np.stack([np.interp(moments, frames, axis) for axis in places.T], 1)
            solid = found.solids[frames, k].log_softmax(-1).mean(0).argmax()
            stripe, vectors = None, found.stripes[frames, k].numpy()
            if np.linalg.norm(vectors, axis=1).mean() > STRIPED:
                stripe = np.unwrap(np.arctan2(vectors[:, 1], vectors[:, 0])) / 2
            tracks.append(Track(self.colours[k], self.solids[int(solid)], path, stripe))
        return tracks


def judge_loss(found: Found, wanted: Found) -> Tensor:
    """How far a reading is from the truth.

    ``wanted.present`` is 1, 0 or, where an object is hidden, NaN; ``wanted.solids`` holds numbers
    of solids in its last dimension of size 1; stripes are zero where there is none.
    """
    known = ~wanted.present.isnan()
    there = known & (wanted.present > 0.5)
    loss = functional.binary_cross_entropy_with_logits(found.present[known], wanted.present[known])
    loss = loss + 20.0 * (found.places - wanted.places)[there].abs().mean()
    loss = loss + functional.cross_entropy(found.solids[there], wanted.solids[there][:, 0].long())
    return loss + functional.mse_loss(found.stripes[there], wanted.stripes[there])


def load_judge(folder: Path = FOLDER) -> ClipJudge:
    """The committed judge, float32 on the CPU, ready to read clips.

    Raises
    ------
    FileNotFoundError
        If the assets are not here; the message says where to get them.
    """
    config = json.loads((require_asset(folder, folder.parent) / "config.json").read_text())
    model = ClipJudge(config["colours"], config["solids"], config["widths"])
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()
