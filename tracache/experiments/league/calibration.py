"""What arms need to know of a model before they can run, measured on tuning prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracache.caching.magnitudes import mean_ratios, record_ratios
from tracache.caching.pipeline import first_denoiser
from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, sample
from tracache.models.loading import LoadedModel

#: Of runs of full compute, an arm's own settings by name.
Calibrate = Callable[[LoadedModel, Sequence[Inputs], int], dict[str, Any]]


def _magnitudes(model: LoadedModel, several: Sequence[Inputs], steps: int) -> dict[str, Any]:
    """How much what the blocks change grows or shrinks, which MagCache decides by."""
    runs = []
    for inputs in several:
        with record_ratios(first_denoiser(model.pipe)) as ratios:
            sample(model, inputs, Setup(steps))
        runs.append([float(f"{ratio:.6g}") for ratio in ratios])
    return {"ratios": mean_ratios(runs)}


#: Arm → what calibrates it.
CALIBRATED: dict[str, Calibrate] = {"mag": _magnitudes}
