"""Train the classifier that reads what a picture shows, and score what it has read.

It learns from renders only, as they are and after a trip through the autoencoder, and then says
whether a generated picture shows what its caption asked for.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from tracache.metrics.judges.images import FOLDER, SceneClassifier, load_classifier
from tracache.training.images.data import fresh_renders, load_captions, load_images
from tracache.training.images.vae import decode_latents, encode_images, load_vae, to_tensor
from tracache.training.optim import Budget, Run, autocast, pick_device, step_generator
from tracache.training.render.scenes import (
    COLOURS,
    FINISHES,
    GROUNDS,
    SOLIDS,
    TIMES,
    Scene,
)

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


def _roundtrip(work: Path, count: int) -> np.ndarray:
    """The first ``count`` renders after the autoencoder, cached in ``work``."""
    path = work / "roundtrip.npy"
    if not path.exists():
        vae = load_vae(work)
        np.save(path, decode_latents(vae, encode_images(vae, load_images(work)[:count])))
    return np.load(path, mmap_mode="r")


def _augment(x: Tensor, g: torch.Generator) -> Tensor:
    """Shift by up to 4 pixels and add faint noise, so that tiny artefacts mean nothing."""
    dy, dx = torch.randint(-4, 5, (2,), generator=g).tolist()
    x = functional.pad(x, (4, 4, 4, 4), mode="replicate")[
        :, :, 4 + dy : 132 + dy, 4 + dx : 132 + dx
    ]
    strength = 0.06 * torch.rand(len(x), 1, 1, 1, generator=g)
    return x + strength.to(x.device) * torch.randn(x.shape, generator=g).to(x.device)


def train_classifier(
    work: Path, budget: Budget, batch: int = 64, seed: int = 0, roundtrip: int = 8192
) -> None:
    """Train on renders, half of them through the autoencoder; save weights and report.

    Parameters
    ----------
    work : Path
        Work folder with pictures and the finished autoencoder.
    budget : Budget
        When to stop.
    roundtrip : int, default 8192
        How many training pictures take the trip through the autoencoder.
    """
    torch.manual_seed(seed)
    device, images = pick_device(), load_images(work)
    passed = _roundtrip(work, roundtrip)
    answers = label_tensor([Scene.from_caption(c) for c in load_captions(work)])
    model = SceneClassifier(HEADS).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    run = Run(model, [optimiser], budget, work / "classifier.pt", decay=0.98)
    while not run.finished:
        g = step_generator(seed, run.step)
        half = batch // 2
        clean = torch.randint(len(images), (half,), generator=g).sort().values
        through = torch.randint(roundtrip, (half,), generator=g).sort().values
        pixels = np.concatenate([images[clean.numpy()], passed[through.numpy()]])
        want = answers[torch.cat([clean, through])].to(device)
        with autocast(device):
            logits = model(_augment(to_tensor(pixels, device), g))
        loss = torch.stack(
            [
                functional.cross_entropy(logits[head].float(), want[:, i], ignore_index=-1)
                for i, head in enumerate(HEADS)
            ]
        ).sum()
        run.update(loss)
        if run.step % 50 == 0:
            print(f"step {run.step} {run.elapsed:.0f}s loss {loss.item():.4f}", flush=True)
    run.save()
    save_classifier(model.cpu().eval(), FOLDER)
    report = evaluate_classifier(load_classifier(), work)
    (FOLDER / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report), flush=True)


def save_classifier(model: SceneClassifier, folder: Path) -> None:
    """Write ``model.safetensors`` (float16) and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    config = {"widths": list(model.widths), "heads": {k: list(v) for k, v in model.heads.items()}}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


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


def evaluate_classifier(model: SceneClassifier, work: Path, count: int = 1024) -> dict:
    """Percentages right on fresh renders, half single objects: as they are and through the VAE."""
    scenes, images = fresh_renders(count)
    wanted, vae = label_tensor(scenes), load_vae(work)
    passed = decode_latents(vae, encode_images(vae, images))
    return {
        "unseen_renders": count,
        "percent_right_through_autoencoder": score(model.read(passed), wanted),
        "percent_right_as_rendered": score(model.read(images), wanted),
    }
