"""Train the classifier that reads what a picture shows, and score what it has read.

It learns from renders only, as they are and after a trip through the autoencoder, and then says
whether a generated picture shows what its caption asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tracache.metrics.judges.images import FOLDER, SceneClassifier, load_classifier
from tracache.training.data import kept_array, load_captions
from tracache.training.fit import Effort, fit
from tracache.training.images.data import fresh_renders, load_images
from tracache.training.images.vae import load_vae, roundtrip, to_tensor
from tracache.training.judging import augment, save_judge, save_report
from tracache.training.machine import pick_device
from tracache.training.render.scenes import COLOURS, FINISHES, GROUNDS, SOLIDS, TIMES, Scene

LAYOUTS = ("single", "side by side", "stacked")
HEADS: dict[str, tuple[str, ...]] = {
    "layout": LAYOUTS,
    "ground": GROUNDS,
    "time": TIMES,
    "colour_a": COLOURS,
    "solid_a": SOLIDS,
    "finish_a": FINISHES,
    "colour_b": COLOURS,
    "solid_b": SOLIDS,
    "finish_b": FINISHES,
}
"""What is read off a picture. ``a`` is the only object, or the left or upper one; ``b`` the other.
The relation follows: a layout and two slots say who is left of, right of or on top of whom."""


def labels(scene: Scene) -> dict[str, int]:
    """The right answers for a scene, an index per head; -1 where there is no second object."""
    a, b = scene.first, scene.second
    layout = 0 if b is None else 2 if scene.relation == "on top of" else 1
    if scene.relation == "right of":
        a, b = b, a  # type: ignore[assignment]
    found = {
        "layout": layout,
        "ground": GROUNDS.index(scene.ground),
        "time": TIMES.index(scene.time),
    }
    for slot, thing in (("a", a), ("b", b)):
        found[f"colour_{slot}"] = COLOURS.index(thing.colour) if thing else -1
        found[f"solid_{slot}"] = SOLIDS.index(thing.solid) if thing else -1
        found[f"finish_{slot}"] = FINISHES.index(thing.finish) if thing else -1
    return found


def label_tensor(scenes: list[Scene]) -> Tensor:
    """Labels as int64 of shape (n, 9), columns in the order of ``HEADS``."""
    rows = [labels(scene) for scene in scenes]
    return torch.tensor([[row[head] for head in HEADS] for row in rows])


def _through(work: Path, count: int) -> np.ndarray:
    """The first ``count`` renders after the autoencoder, kept in ``work``."""
    return kept_array(
        work / "roundtrip.npy", lambda: roundtrip(load_vae(work), load_images(work)[:count])
    )


def train_classifier(
    work: Path, effort: Effort, through: int = 8192, folder: Path = FOLDER
) -> None:
    """Train on renders, half of them through the autoencoder; save weights and report.

    Parameters
    ----------
    work : Path
        Work folder with pictures and the finished autoencoder.
    effort : Effort
        How long, and from where; 64 pictures a step.
    through : int, default 8192
        How many training pictures take the trip through the autoencoder.
    folder : Path
        Where weights and report go, by default to the committed ones.
    """
    torch.manual_seed(effort.seed)
    device, batch, images = pick_device(), effort.batch or 64, load_images(work)
    passed = _through(work, min(through, len(images)))
    answers = label_tensor([Scene.from_caption(c) for c in load_captions(work)])
    model = (load_classifier() if effort.from_assets else SceneClassifier(HEADS)).to(device)

    def loss(generator: torch.Generator, progress: float) -> Tensor:
        clean, behind = (
            torch.randint(len(part), (batch // 2,), generator=generator).sort().values
            for part in (images, passed)
        )
        pixels = np.concatenate([images[clean.numpy()], passed[behind.numpy()]])
        x, _ = augment(to_tensor(pixels, device), 0.06, generator)
        want, logits = answers[torch.cat([clean, behind])].to(device), model(x)
        return torch.stack(
            [
                functional.cross_entropy(logits[head].float(), want[:, i], ignore_index=-1)
                for i, head in enumerate(HEADS)
            ]
        ).sum()

    adamw = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    fit(model, [adamw], loss, effort, work / "classifier.pt", batch=batch, decay=0.98)
    heads = {head: list(words) for head, words in model.heads.items()}
    save_judge(model, {"widths": list(model.widths), "heads": heads}, folder)
    save_report(evaluate_classifier(load_classifier(folder), load_vae(work)), folder)


def score(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Percentages right, given labels read and labels wanted, each (n, 9).

    For single objects: colour, solid, both, finish; for pairs, all objects in their places:
    colours, solids, both, relation (the layout is right and so is who is where), finish. For all:
    layout, ground, time.
    """
    right = (found == wanted) | (wanted < 0)
    columns = dict(zip(HEADS, right.T, strict=True))
    single = wanted[:, 0] == 0
    out: dict[str, float] = {}

    def note(name: str, good: Tensor, where: Tensor) -> None:
        if where.any():
            out[name] = round(100.0 * good[where].float().mean().item(), 2)

    for name, where in (("single", single), ("pair", ~single)):
        colour = columns["colour_a"] & columns["colour_b"]
        solid = columns["solid_a"] & columns["solid_b"]
        finish = columns["finish_a"] & columns["finish_b"]
        note(f"{name}_colour", colour, where)
        note(f"{name}_solid", solid, where)
        note(f"{name}_colour_and_solid", colour & solid, where)
        note(f"{name}_finish", finish, where)
        note(f"{name}_layout", columns["layout"], where)
        note(f"{name}_all_but_finish", colour & solid & columns["layout"], where)
    note("ground", columns["ground"], torch.ones_like(single))
    note("time", columns["time"], torch.ones_like(single))
    return out


def evaluate_classifier(model: SceneClassifier, vae: Any, count: int = 1024) -> dict[str, Any]:
    """Percentages right on fresh renders, half single objects: as they are and through the VAE."""
    scenes, images = fresh_renders(count)
    wanted = label_tensor(scenes)
    return {
        "unseen_renders": count,
        "percent_right_through_autoencoder": score(model.read(roundtrip(vae, images)), wanted),
        "percent_right_as_rendered": score(model.read(images), wanted),
    }
