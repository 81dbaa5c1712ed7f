"""Measure an exported model: ``python -m tracache.training.images.evaluate``.

Generates pictures with the stock pipeline and lets the classifier read them: the held-out captions
with the text-to-image model, all classes in turn with the class-conditional one.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiTPipeline
from PIL import Image

from tracache.metrics.judges.images import load_classifier
from tracache.models.sources import weights_digest
from tracache.training.images.class_dit import CLASSES
from tracache.training.images.classifier import HEADS, label_tensor, score
from tracache.training.images.outlines import compare_outlines, outline_scenes
from tracache.training.images.sets import PICTURES, compare_sets
from tracache.training.images.statistics import class_scenes
from tracache.training.images.vae import measure_vae
from tracache.training.pipelines import draw_samples, load_pipeline
from tracache.training.render.scenes import ASSETS, COLOURS, SOLIDS, Scene, read_prompts

SETTINGS = {"captions": (20, 2.5), "classes": (50, 1.5)}
"""Steps and guidance where none are asked for."""


def generate(
    pipe: Any,
    captions: list[str],
    steps: int = 20,
    guidance: float = 2.5,
    seed: int = 0,
    batch: int = 16,
) -> np.ndarray:
    """Generate a picture per caption: uint8, shape (n, 128, 128, 3); see ``draw_samples``."""
    return draw_samples(
        pipe,
        captions,
        seed,
        batch,
        height=128,
        width=128,
        num_inference_steps=steps,
        guidance_scale=guidance,
        use_resolution_binning=False,
        clean_caption=False,
        max_sequence_length=20,
    )


def generate_classes(
    pipe: Any,
    classes: list[int],
    steps: int = 50,
    guidance: float = 1.5,
    seed: int = 0,
    batch: int = 16,
) -> np.ndarray:
    """Generate a picture per class, as ``generate`` does."""
    return draw_samples(
        pipe, classes, seed, batch, num_inference_steps=steps, guidance_scale=guidance
    )


def class_labels(classes: list[int]) -> torch.Tensor:
    """Labels (n, 9) wanted of pictures of classes: one object, its colour and solid; -1 else."""
    wanted = torch.full((len(classes), len(HEADS)), -1)
    columns = list(HEADS)
    for row, number in zip(wanted, classes, strict=True):
        colour, solid = CLASSES[number].split()
        row[columns.index("layout")] = 0
        row[columns.index("colour_a")] = COLOURS.index(colour)
        row[columns.index("solid_a")] = SOLIDS.index(solid)
    return wanted


def score_classes(found: torch.Tensor, classes: list[int]) -> dict[str, dict]:
    """What pictures of classes got right, and what they show where they are free.

    Returns
    -------
    dict
        ``percent_right`` of what the class says, and ``percent_shown``, per word, of the rest.
    """
    said = ("colour", "solid", "colour_and_solid", "layout")
    right = score(found, class_labels(classes))
    shown = {
        head: {
            word: round(100.0 * (found[:, i] == k).float().mean().item(), 1)
            for k, word in enumerate(HEADS[head])
        }
        for i, head in enumerate(HEADS)
        if head in ("ground", "time", "finish_a")
    }
    return {
        "percent_right": {f"single_{name}": right[f"single_{name}"] for name in said},
        "percent_shown": shown,
    }


def grid(images: np.ndarray, columns: int = 8) -> Image.Image:
    """Pictures (n, h, w, 3) as one image, row by row."""
    rows = [
        np.concatenate(list(images[i : i + columns]), 1) for i in range(0, len(images), columns)
    ]
    return Image.fromarray(np.concatenate([row for row in rows if row.shape == rows[0].shape]))


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m tracache.training.images.evaluate",
        description="Generate pictures and count what they get right.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ASSETS / "scenes-t2i", help="the model")
    parser.add_argument("--prompts", default="heldout.txt", help="a list in demo_assets/prompts")
    parser.add_argument("--count", type=int, default=256, help="pictures, if it draws classes")
    parser.add_argument(
        "--set", type=int, default=PICTURES, help="pictures of the set held to renders; 0: none"
    )
    parser.add_argument("--steps", type=int, help=f"sampling steps, unlike the first of {SETTINGS}")
    parser.add_argument("--guidance", type=float, help="guidance scale, unlike the second")
    parser.add_argument("--seed", type=int, default=0, help="noise of the first picture")
    parser.add_argument("--batch", type=int, default=16, help="pictures at a time")
    parser.add_argument("--report", type=Path, help="write the figures here as JSON")
    parser.add_argument("--grid", type=Path, help="write pictures here, a mixed choice")
    args = parser.parse_args(argv)

    pipe = load_pipeline(args.folder)
    measure = evaluate_classes if isinstance(pipe, DiTPipeline) else evaluate_captions
    report = measure(pipe, args)
    print(json.dumps(report, indent=2))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n")


def _settings(pipe: Any, args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """What a report says about how its pictures were made."""
    steps, guidance = SETTINGS[kind]
    return {
        "steps": args.steps or steps,
        "guidance": guidance if args.guidance is None else args.guidance,
        "seed": args.seed,
        "transformer_sha256": weights_digest(args.folder),
        "autoencoder_psnr_db": round(measure_vae(pipe.vae), 2),
    }


def evaluate_captions(pipe: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Report on the captions of a committed list."""
    captions, settings = read_prompts(args.prompts), _settings(pipe, args, "captions")
    drawn = (settings["steps"], settings["guidance"], args.seed, args.batch)
    images = generate(pipe, captions, *drawn)
    scenes = [Scene.from_caption(caption) for caption in captions]
    if args.grid:
        singles = [i for i, s in enumerate(scenes) if not s.is_pair][:20]
        pairs = [i for i, s in enumerate(scenes) if s.is_pair][:12]
        chosen = [
            i for k in range(4) for i in (*singles[5 * k : 5 * k + 5], *pairs[3 * k : 3 * k + 3])
        ]
        grid(images[chosen]).save(args.grid, optimize=True)
        print("\n".join(captions[i] for i in chosen))
    right = score(load_classifier().read(images), label_tensor(scenes))
    figures = {"count": len(captions), **settings, "percent_right": right}
    clear = outline_scenes()
    pictures = generate(pipe, [scene.caption for scene in clear], *drawn)
    figures["outlines"] = compare_outlines(pipe.vae, pictures, clear)
    if args.set:
        # Every caption as often, its pictures from other noises than those above.
        asked = [captions[i % len(captions)] for i in range(args.set)]
        made = generate(pipe, asked, *drawn[:2], args.seed + len(captions), args.batch)
        wanted = [Scene.from_caption(caption) for caption in asked]
        figures["set"] = compare_sets("scenes-t2i", made, wanted)
    return {"prompts": args.prompts, **figures}


def evaluate_classes(pipe: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Report on all classes in turn."""
    settings = _settings(pipe, args, "classes")
    classes = [i % len(CLASSES) for i in range(args.count)]
    drawn = (settings["steps"], settings["guidance"], args.seed, args.batch)
    images = generate_classes(pipe, classes, *drawn)
    if args.grid:
        grid(images[: len(CLASSES)], len(COLOURS)).save(args.grid, optimize=True)
    found = load_classifier().read(images)
    figures = score_classes(found, classes)
    if args.set:
        # In any order, so that a part of them has all that a class leaves open alike.
        every = random.Random(args.seed).sample(class_scenes(), len(class_scenes()))
        wanted = [every[i % len(every)] for i in range(args.set)]
        asked = [CLASSES.index(f"{s.first.colour} {s.first.solid}") for s in wanted]
        made = generate_classes(pipe, asked, *drawn[:2], args.seed + args.count, args.batch)
        figures["set"] = compare_sets("scenes-class", made, wanted)
    return {"classes": len(CLASSES), "count": args.count, **settings, **figures}


if __name__ == "__main__":
    main()
