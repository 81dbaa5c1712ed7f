"""The course of a run: what it took the picture for at every step, and how far from full compute.

While a run goes on its glimpses are only kept, so that what is timed does no work for them; they
become estimates of the final latents, pictures and distances when it is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tracache.compare.arm import REFERENCE
from tracache.compare.preview import Glimpse, Palette

#: Bytes that the glimpses of a run may keep; beyond, it goes without.
MOST_BYTES = 32 * 2**20

#: Longer side of a step's picture, pixels, and most of them in a row.
TILE, COLUMNS = 96, 10


@dataclass(frozen=True)
class Estimates:
    """The denoised estimate x̂0 at every step of one run.

    Attributes
    ----------
    timesteps : tuple of float
        In denoising order.
    computed : tuple of bool
        Whether the step computed everything.
    latents : Tensor [steps, channels, …]
        Of the first item, float32, on the CPU.
    """

    timesteps: tuple[float, ...]
    computed: tuple[bool, ...]
    latents: Tensor


class Recorder:
    """Keeps the glimpses of a run, where they are small enough.

    Parameters
    ----------
    num_steps : int
        Steps of the run.
    """

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._kept: list[tuple[Glimpse, bool]] = []
        self._fits = True

    def note(self, glimpse: Glimpse | None, computed: bool) -> None:
        """Keep a step's glimpse: references only."""
        if glimpse is None or not self._fits:
            return
        if not self._kept:
            self._fits = self._num_steps * _bytes_of(glimpse) <= MOST_BYTES
        if self._fits:
            self._kept.append((glimpse, computed))

    def finish(self) -> Estimates | None:
        """Return the estimates once the run is over; None where they are not to be had.

        That is where they would take too much memory, where a scheduler does not say how noisy its
        steps are, or of what kind its predictions, and where numbers overflow.
        """
        if not self._fits or not self._kept:
            return None
        here = [(glimpse.portable(), computed) for glimpse, computed in self._kept]
        self._kept.clear()
        if any(glimpse.level is None for glimpse, _ in here):
            return None
        try:
            latents = torch.cat([glimpse.estimate() for glimpse, _ in here])
        except ValueError:
            return None
        if not torch.isfinite(latents).all():
            return None
        timesteps = tuple(float(glimpse.timestep) for glimpse, _ in here)
        return Estimates(timesteps, tuple(computed for _, computed in here), latents)


def _bytes_of(glimpse: Glimpse) -> int:
    """What a glimpse keeps in memory: the whole of what its tensors are a part of."""
    tensors = (glimpse.sample, glimpse.model_output)
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


@dataclass(frozen=True)
class Course:
    """What a run took the picture for, step by step.

    Attributes
    ----------
    arm, title : str
        Whose.
    timesteps : tuple of float
        Of its own steps.
    computed : tuple of bool
        Whether its own steps computed everything.
    steps : tuple of int
        For each step of full compute the own one that is as far, from 0.
    distances : tuple of float
        There, ‖x̂0 − x̂0 of full compute‖ / ‖x̂0 of full compute‖.
    sheet : Image
        A picture for each own step, of a video its middle: row by row, at most ``COLUMNS`` in one.
    """

    arm: str
    title: str
    timesteps: tuple[float, ...]
    computed: tuple[bool, ...]
    steps: tuple[int, ...]
    distances: tuple[float, ...]
    sheet: Image.Image = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return {
            "arm": self.arm,
            "timesteps": list(self.timesteps),
            "steps": list(self.steps),
            "distances": [float(f"{d:.6g}") for d in self.distances],
        }


def make_courses(
    estimates: Mapping[str, Estimates], titles: Mapping[str, str], palette: Palette
) -> tuple[Course, ...]:
    """Hold the estimates of every arm against those of full compute.

    Parameters
    ----------
    estimates : mapping
        Arm → its estimates, full compute's among them; nothing is returned without them.
    titles : mapping
        Arm → its name, for people.
    palette : Palette
        Shows latents.
    """
    if REFERENCE not in estimates:
        return ()
    full = estimates[REFERENCE]
    courses = []
    for arm, own in estimates.items():
        steps = align(full.timesteps, own.timesteps)
        away = distances(own.latents[list(steps)], full.latents)
        sheet = make_sheet([palette.render(latents[None]) for latents in own.latents])
        courses.append(
            Course(arm, titles[arm], own.timesteps, own.computed, steps, tuple(away), sheet)
        )
    return tuple(courses)


def align(full: Sequence[float], own: Sequence[float]) -> tuple[int, ...]:
    """Return for each step of one run that of another which had come as far.

    Parameters
    ----------
    full, own : sequence of float
        Timesteps, noisiest first.

    Returns
    -------
    tuple of int
        The other's last step that is no less noisy; the first where all are.
    """
    if tuple(full) == tuple(own):
        return tuple(range(len(full)))
    return tuple(max(0, sum(t >= timestep for t in own) - 1) for timestep in full)


def distances(own: Tensor, full: Tensor) -> list[float]:
    """Relative distances ‖own − full‖ / ‖full‖ of each of the first axis."""
    away = (own - full).flatten(1).norm(dim=1) / full.flatten(1).norm(dim=1).clamp_min(1e-12)
    return away.tolist()


def make_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put small pictures of one size onto one, enlarged smoothly to a longer side of ``TILE``."""
    width, height = pictures[0].size
    scale = TILE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    columns = min(COLUMNS, len(pictures))
    sheet = Image.new("RGB", (columns * size[0], ceil(len(pictures) / columns) * size[1]))
    for i, picture in enumerate(pictures):
        at = (i % columns * size[0], i // columns * size[1])
        sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), at)
    return sheet


def parting(course: Course) -> int:
    """Return full compute's step at which a run is furthest from it, from 0."""
    return max(range(len(course.distances)), key=course.distances.__getitem__)


def describe_courses(courses: Sequence[Course]) -> str:
    """Say where each arm parts most from full compute, and how far away it ends."""
    told = []
    for course in courses:
        if course.arm == REFERENCE:
            continue
        most, count = parting(course), len(course.distances)
        if course.distances[most] == 0:
            told.append(f"{course.title} never parts from full compute.")
            continue
        told.append(
            f"{course.title} parts most from full compute at step {most + 1} of {count}, by "
            f"{course.distances[most]:.1%}, and ends {course.distances[-1]:.1%} away."
        )
    return " ".join(told)
