"""Command line of the recipe: ``python -m tracache.training.train STAGE``.

The stages in their order: ``prompts``, ``render``, ``vae``, ``encode``, ``classifier``, ``t2i``,
``export``; ``all`` runs them one after another. After ``vae``, the class-conditional model is
``render-class``, ``class`` and ``export-class``, or ``all-class``. The model of clips, in a work
folder of its own, is ``prompts-clips``, ``render-clips``, ``vae-clips``, ``judge``, ``t2v`` and
``export-clips``, or ``all-clips``. Every training stage goes on from its checkpoint in the work
folder if there is one, on CUDA where there is a GPU, else on the CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracache.training.render.scenes import ASSETS

if TYPE_CHECKING:
    from tracache.training.optim import Budget

STAGES = ("prompts", "render", "vae", "encode", "classifier", "t2i", "export")
CLASS_STAGES = ("render-class", "class", "export-class")
CLIP_STAGES = ("prompts-clips", "render-clips", "vae-clips", "judge", "t2v", "export-clips")
MINUTES = {
    "vae": 11.0,
    "classifier": 4.0,
    "t2i": 65.0,
    "class": 74.0,
    "vae-clips": 21.0,
    "judge": 5.0,
    "t2v": 75.0,
}
"""Default budgets, on two CPU cores."""


def build_parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tracache.training.train",
        description="Train the embedded models from nothing but this repository.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "stage",
        choices=(*STAGES, "all", *CLASS_STAGES, "all-class", *CLIP_STAGES, "all-clips"),
        help="what to do",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "tracache" / "train",
        help="folder for pictures, latents and checkpoints",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"wall-clock budget of a training stage, earlier parts counted in {MINUTES}",
    )
    parser.add_argument("--steps", type=int, help="budget in steps instead, reproducible")
    parser.add_argument("--batch", type=int, help="samples a step, instead of the stage's own")
    parser.add_argument("--seed", type=int, default=0, help="seed of a training stage")
    parser.add_argument("--images", type=int, default=20480, help="pictures to render")
    parser.add_argument("--clips", type=int, default=5376, help="clips to render")
    parser.add_argument("--pairs", type=float, default=0.5, help="share of pictures of two objects")
    parser.add_argument("--compile", action="store_true", help="t2i, class, t2v: compile blocks")
    parser.add_argument(
        "--shared", action="store_true", help="t2i, class: adapt to other work on the same CPU"
    )
    parser.add_argument(
        "--folder", type=Path, help="where export writes, instead of the committed assets"
    )
    return parser


def run_stage(stage: str, args: argparse.Namespace) -> None:
    """Run one stage. Imports live here, so that each stage loads only what it needs."""
    from tracache.training.optim import Budget

    budget = Budget(minutes=args.minutes or MINUTES.get(stage), steps=args.steps)
    extra: dict[str, Any] = {"seed": args.seed} | ({"batch": args.batch} if args.batch else {})
    if stage == "prompts":
        from tracache.training.images.data import write_prompt_lists

        write_prompt_lists()
    elif stage == "render":
        from tracache.training.images.data import render_dataset

        render_dataset(args.work, args.images, pair_share=args.pairs)
    elif stage == "vae":
        from tracache.training.images.vae import train_vae

        train_vae(args.work, budget, **extra)
    elif stage == "encode":
        from tracache.training.denoise import encode_dataset

        encode_dataset(args.work)
    elif stage == "classifier":
        from tracache.training.images.classifier import train_classifier

        train_classifier(args.work, budget, **extra)
    elif stage == "t2i":
        from tracache.training.images.t2i import train_t2i

        train_t2i(args.work, budget, compiled=args.compile, shared=args.shared, **extra)
    elif stage == "export":
        from tracache.training.images.export import export_t2i

        export_t2i(args.work, args.folder or ASSETS / "scenes-t2i")
    elif stage == "render-class":
        from tracache.training.images.class_dit import render_class

        render_class(args.work, args.images)
    elif stage == "class":
        from tracache.training.images.class_dit import train_class

        train_class(args.work, budget, compiled=args.compile, shared=args.shared, **extra)
    elif stage == "export-class":
        from tracache.training.images.export import export_class

        export_class(args.work, args.folder or ASSETS / "scenes-class")
    else:
        run_clip_stage(stage, args, budget, extra)


def run_clip_stage(
    stage: str, args: argparse.Namespace, budget: Budget, extra: dict[str, Any]
) -> None:
    """Run one stage of the model of clips."""
    if stage == "prompts-clips":
        from tracache.training.clips.data import write_prompt_lists

        write_prompt_lists()
    elif stage == "render-clips":
        from tracache.training.clips.data import render_dataset

        render_dataset(args.work, args.clips)
    elif stage == "vae-clips":
        from tracache.training.clips.vae import train_clip_vae

        train_clip_vae(args.work, budget, **extra)
    elif stage == "judge":
        from tracache.training.clips.judge import train_judge

        train_judge(args.work, budget, **extra)
    elif stage == "t2v":
        from tracache.training.clips.t2v import train_t2v

        train_t2v(args.work, budget, compiled=args.compile, **extra)
    elif stage == "export-clips":
        from tracache.training.clips.export import export_t2v

        export_t2v(args.work, args.folder or ASSETS / "scenes-t2v")


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    args = build_parser().parse_args(argv)
    groups = {"all": STAGES, "all-class": CLASS_STAGES, "all-clips": CLIP_STAGES}
    for stage in groups.get(args.stage, (args.stage,)):
        run_stage(stage, args)


if __name__ == "__main__":
    main()
