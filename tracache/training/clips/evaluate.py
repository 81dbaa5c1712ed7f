"""Measure the exported model of clips: ``python -m tracache.training.clips.evaluate``.

Generates a clip per held-out caption and lets the judge say what is seen and how it moves.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tracache.metrics.judges.clips import load_judge
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.sources import weights_digest
from tracache.training.clips.codec import measure_clips
from tracache.training.clips.data import fresh_clips
from tracache.training.clips.judge import score
from tracache.training.images.evaluate import grid
from tracache.training.pipelines import draw_samples, load_pipeline
from tracache.training.render.clips import PROMPT_LISTS, Clip
from tracache.training.render.motion import FPS, FRAMES, SIZE
from tracache.training.render.scenes import ASSETS, read_prompts

STEPS, GUIDANCE = 30, 4.0


def generate_clips(
    pipe: Any,
    captions: list[str],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
    batch: int = 8,
) -> np.ndarray:
    """Generate a clip per caption: uint8, shape (n, 17, 64, 64, 3); see ``draw_samples``."""
    return draw_samples(
        pipe,
        captions,
        seed,
        batch,
        num_frames=FRAMES,
        height=SIZE,
        width=SIZE,
        fps=FPS,
        num_inference_steps=steps,
        guidance_scale=guidance,
        aesthetic_score=None,  # no word of the grammar
        output_type="np",
    )


def sheet(clips: np.ndarray, every: int = 2, columns: int = 2) -> Image.Image:
    """Clips (n, frames, h, w, 3) as one image, each a row of every other frame."""
    return grid(np.stack([np.concatenate(list(clip[::every]), 1) for clip in clips]), columns)


def evaluate(captions: list[str], clips: np.ndarray) -> dict[str, dict[str, float]]:
    """Percentages of clips that show what their captions say, by kind of motion."""
    return score([Clip.from_caption(caption) for caption in captions], clips, load_judge())


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m tracache.training.clips.evaluate",
        description="Generate clips and count what they get right.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ASSETS / "scenes-t2v", help="the model")
    parser.add_argument("--prompts", default=PROMPT_LISTS[0], help="a list in demo_assets/prompts")
    parser.add_argument("--steps", type=int, default=STEPS, help="sampling steps")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="guidance scale")
    parser.add_argument("--seed", type=int, default=0, help="noise of the first clip")
    parser.add_argument("--batch", type=int, default=8, help="clips at a time")
    parser.add_argument("--report", type=Path, help="write the figures here as JSON")
    parser.add_argument("--sheet", type=Path, help="write frames of the clips here")
    args = parser.parse_args(argv)

    pipe, captions = load_pipeline(args.folder, OpenSoraPipeline), read_prompts(args.prompts)
    began = time.monotonic()
    clips = generate_clips(pipe, captions, args.steps, args.guidance, args.seed, args.batch)
    seconds = (time.monotonic() - began) / len(captions)
    report = {
        "prompts": args.prompts,
        "count": len(captions),
        "steps": args.steps,
        "guidance": args.guidance,
        "seed": args.seed,
        "seconds_per_clip": round(seconds, 2),
        "transformer_sha256": weights_digest(args.folder),
        "autoencoder_psnr_db": round(measure_clips(pipe.vae, fresh_clips(64)[1]), 2),
        "percent_right": evaluate(captions, clips),
    }
    print(json.dumps(report, indent=2))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n")
    if args.sheet:
        sheet(clips).save(args.sheet, optimize=True)


if __name__ == "__main__":
    main()
