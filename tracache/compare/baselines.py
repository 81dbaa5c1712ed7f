"""The last results of full compute, so that the same one need not be made again."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tracache.compare.course import Estimates
from tracache.compare.kept import KeptByModel
from tracache.compare.report import ArmResult


@dataclass(frozen=True)
class Baseline:
    """Full compute's result, with its own time, its latents, and what it took the picture for.

    The last is None where it was not asked for, as ``watched`` says, or could not be had.
    """

    result: ArmResult
    latents: Tensor
    estimates: Estimates | None
    watched: bool


#: By all that an image depends on; pictures and latents, no features.
BASELINES: KeptByModel[Baseline] = KeptByModel(most=4)
