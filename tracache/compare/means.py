"""What an arm comes to on average over many prompts, as it was measured beforehand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracache.compare.request import Request
from tracache.models.presets import CUSTOM

#: Where the figures are, within the assets: a file for each model that has some. Each is what
#: ``tracache sweep --compute … --json`` writes.
FOLDER, NAME = "benchmarks", "{}-by-budget.json"


@dataclass(frozen=True)
class Means:
    """Means over prompts that no setting was chosen on.

    Attributes
    ----------
    count : int
        How many.
    of : str
        Of what: "prompts" or "classes".
    psnr : dict
        Arm → mean of the PSNR to full compute, dB.
    """

    count: int
    of: str
    psnr: dict[str, float]


def means_for(request: Request, assets: Path) -> Means | None:
    """Return what was measured with a request's settings and other prompts; None if nothing was.

    Parameters
    ----------
    request : Request
        Its prompt and seed do not matter; all else must be as it was measured.
    assets : Path
        Where the figures are.
    """
    found = _read(assets, request.model)
    # Arms' own settings, and another size or prompt to lead away from, were not measured.
    plain = not request.options and request.preset == CUSTOM and not request.negative_prompt
    if found is None or not plain or request.size != request.spec.size:
        return None
    # As JSON has it: a tuple is a list there.
    cache = json.loads(json.dumps(request.cache.to_dict()))
    asked = {name: cache[name] for name in found["settings"]}
    sampling = (request.scheduler, request.guidance_scale)
    if (found["scheduler"], found["guidance_scale"]) != sampling or found["settings"] != asked:
        return None
    known = {
        row["arm"]: float(row["psnr"])
        for row in found["rows"]
        if row["steps"] == request.steps and row["stride"] == f"{request.cache.compute} computed"
    }
    psnr = {arm: known[arm] for arm in request.arms[1:] if arm in known}
    of = "prompts" if request.class_label is None else "classes"
    return Means(found["images"], of, psnr) if psnr else None


@lru_cache(maxsize=16)
def _read(assets: Path, model: str) -> dict[str, Any] | None:
    file = assets / FOLDER / NAME.format(model)
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
