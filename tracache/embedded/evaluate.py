"""Measure the exported text-to-image model: ``python -m tracache.embedded.evaluate``.

Generates the held-out captions with the stock pipeline and lets the classifier read the pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import PixArtAlphaPipeline
from PIL import Image

from tracache.embedded.classifier import label_tensor, load_classifier, score
from tracache.embedded.optim import pick_device
from tracache.embedded.scenes import ASSETS, Scene, read_prompts
from tracache.embedded.vae import measure_vae

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def weights_digest(folder: Path) -> str:
    """SHA-256 of the transformer's weights: ties a report to the weights it was measured on."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def generate(
    pipe: Any,
    captions: list[str],
    steps: int = 20,
    guidance: float = 2.5,
    seed: int = 0,
    batch: int = 16,
) -> np.ndarray:
    """Generate a picture per caption, each from a noise of its own (seed + position).

    Returns
    -------
    numpy.ndarray
        uint8, shape (n, 128, 128, 3).
    """
    images = []
    for start in range(0, len(captions), batch):
        part = captions[start : start + batch]
        noises = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        out = pipe(
            part,
            height=128,
            width=128,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=noises,
            use_resolution_binning=False,
            clean_caption=False,
            max_sequence_length=20,
        )
        images += [np.asarray(image) for image in out.images]
    return np.stack(images)


def grid(images: np.ndarray, columns: int = 8) -> Image.Image:
    """Pictures (n, h, w, 3) as one image, row by row."""
    rows = [
        np.concatenate(list(images[i : i + columns]), 1) for i in range(0, len(images), columns)
    ]
    return Image.fromarray(np.concatenate([row for row in rows if row.shape == rows[0].shape]))


def load_pipeline(folder: Path) -> Any:
    """The exported folder as a stock pipeline, float32, without network."""
    pipe: Any = PixArtAlphaPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(pick_device())


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m tracache.embedded.evaluate",
        description="Generate a committed list of captions and count what the pictures get right.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ASSETS / "scenes-t2i", help="the model")
    parser.add_argument("--prompts", default="heldout.txt", help="a list in demo_assets/prompts")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps")
    parser.add_argument("--guidance", type=float, default=2.5, help="guidance scale")
    parser.add_argument("--seed", type=int, default=0, help="noise of the first picture")
    parser.add_argument("--batch", type=int, default=16, help="pictures at a time")
    parser.add_argument("--report", type=Path, help="write the figures here as JSON")
    parser.add_argument("--grid", type=Path, help="write pictures here, a mixed choice of 32")
    args = parser.parse_args(argv)

    captions = read_prompts(args.prompts)
    pipe, classifier = load_pipeline(args.folder), load_classifier()
    images = generate(pipe, captions, args.steps, args.guidance, args.seed, args.batch)
    scenes = [Scene.from_caption(caption) for caption in captions]
    wanted = label_tensor(scenes)
    report = {
        "prompts": args.prompts,
        "count": len(captions),
        "steps": args.steps,
        "guidance": args.guidance,
        "seed": args.seed,
        "transformer_sha256": weights_digest(args.folder),
        "autoencoder_psnr_db": round(measure_vae(pipe.vae), 2),
        "percent_right": score(classifier.read(images), wanted),
    }
    print(json.dumps(report, indent=2))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n")
    if args.grid:
        singles = [i for i, s in enumerate(scenes) if not s.is_pair][:20]
        pairs = [i for i, s in enumerate(scenes) if s.is_pair][:12]
        chosen = [
            i for k in range(4) for i in (*singles[5 * k : 5 * k + 5], *pairs[3 * k : 3 * k + 3])
        ]
        grid(images[chosen]).save(args.grid, optimize=True)
        print("\n".join(captions[i] for i in chosen))


if __name__ == "__main__":
    main()
