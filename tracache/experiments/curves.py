"""Records how single numbers of the embedded model's features run, for "How it works".

python -m tracache.experiments.curves tracache/ui/widgets/forecast.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from tracache.compare.request import make_request
from tracache.experiments.watching import watch
from tracache.models.loading import load_model

MODEL, PROMPT, STEPS = "scenes-t2i", "a shiny red sphere on water at sunset", 40

#: Blocks, counted from 0, and whereabouts among their elements by roughness: 0 is the smoothest.
CURVES = ((10, 0.2), (5, 0.8))


def roughness(features: Tensor) -> Tensor:
    """How much each element turns on its way, over how far it gets.

    Parameters
    ----------
    features : Tensor [steps, elements]

    Returns
    -------
    Tensor [elements]
        Sum of absolute second differences over the range.
    """
    second = features.diff(n=2, dim=0).abs().sum(0)
    return second / (features.amax(0) - features.amin(0)).clamp_min(1e-6)


def pick(features: Tensor, share: float) -> Tensor:
    """Return the course of the element that is as rough as so large a share of those that move.

    Parameters
    ----------
    features : Tensor [steps, elements]
    share : float
        0 is the smoothest, 1 the roughest.
    """
    reach = features.amax(0) - features.amin(0)
    moving = features[:, reach >= reach.quantile(0.9)]
    order = roughness(moving).argsort()
    return moving[:, order[round(share * (len(order) - 1))]]


def record() -> list[dict[str, object]]:
    """Run full compute once and return the curves, four digits each."""
    request = make_request(MODEL, prompt=PROMPT, steps=STEPS, seed=0)
    watched = watch(load_model(MODEL), request, [block for block, _ in CURVES], parts=False)
    found: list[dict[str, object]] = []
    for block, share in CURVES:
        # The half with the prompt, the second of guidance's two.
        seen = torch.stack([step[-1].flatten() for step in watched.features[f"{block}"]])
        values = pick(seen, share)
        found.append(
            {
                "title": f"Recorded, block {block + 1}",
                "about": f"One number that block {block + 1} of the embedded model puts out, "
                f"“{PROMPT}”, {STEPS} steps.",
                "values": [float(f"{v:.4g}") for v in values.tolist()],
            }
        )
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(record(), ensure_ascii=False) + "\n", "utf-8")
