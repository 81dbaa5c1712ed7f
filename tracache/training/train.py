"""Command line of the recipe: ``python -m tracache.training.train STAGE``.

The stages in their order: ``prompts``, ``render``, ``vae``, ``encode``, ``classifier``, ``t2i``,
``export``; ``all`` runs them one after another. After ``encode``, the class-conditional model is
``render-class``, ``class`` and ``export-class``, or ``all-class``. The model of clips, in a work
folder of its own, is ``prompts-clips``, ``render-clips``, ``vae-clips``, ``encode-clips``,
``judge``, ``t2v`` and ``export-clips``, or ``all-clips``. Every training stage goes on from its
checkpoint in the work folder if there is one, on CUDA where there is a GPU, else on the CPU.

With ``--start-from-assets`` a training stage without a checkpoint starts from the committed
weights, and the others take the committed autoencoder where the work folder has none. So this
trains the committed text-to-image model further, and can be killed and called again at any time::

    for stage in render encode t2i export; do
        nice python -m tracache.training.train $stage --start-from-assets --minutes 600 --threads 1
    done
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tracache.training.render.scenes import ASSETS

if TYPE_CHECKING:
    from tracache.training.fit import Effort

STAGES = ("prompts", "render", "vae", "encode", "classifier", "t2i", "export")
CLASS_STAGES = ("render-class", "class", "export-class")
CLIP_STAGES = (
    "prompts-clips",
    "render-clips",
    "vae-clips",
    "encode-clips",
    "judge",
    "t2v",
    "export-clips",
)
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
USES_VAE = {"encode", "classifier", "export", "render-class", "export-class"}
USES_CLIP_VAE = {"encode-clips", "judge", "export-clips"}


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
        "--start-from-assets",
        action="store_true",
        help="start from the committed weights, not from nothing",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"wall-clock budget of a training stage, earlier parts counted in {MINUTES}",
    )
    parser.add_argument("--steps", type=int, help="budget in steps instead, reproducible")
    parser.add_argument("--batch", type=int, help="samples a step, instead of the stage's own")
    parser.add_argument("--seed", type=int, default=0, help="seed of a training stage")
    parser.add_argument(
        "--save-every", type=float, default=120.0, help="seconds between two checkpoints"
    )
    parser.add_argument("--threads", type=int, help="CPU threads, instead of one per core")
    parser.add_argument("--images", type=int, default=20480, help="pictures to render")
    parser.add_argument("--clips", type=int, default=5376, help="clips to render")
    parser.add_argument("--pairs", type=float, default=0.5, help="share of pictures of two objects")
    parser.add_argument("--compile", action="store_true", help="t2i, class, t2v: compile blocks")
    parser.add_argument(
        "--shared", action="store_true", help="adapt to other work on the same CPU, as it comes"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where export, classifier and judge write, instead of the committed assets",
    )
    return parser


def make_effort(stage: str, args: argparse.Namespace) -> Effort:
    """What the arguments say of a training stage."""
    from tracache.training.fit import Budget, Effort

    return Effort(
        Budget(minutes=args.minutes or MINUTES[stage], steps=args.steps),
        batch=args.batch,
        seed=args.seed,
        from_assets=args.start_from_assets,
        compiled=args.compile,
        shared=args.shared,
        save_every=args.save_every,
    )


def adopt_vae(stage: str, work: Path) -> None:
    """Take the committed autoencoder into a work folder that has none, if a stage needs it."""
    source = "scenes-t2v" if stage in USES_CLIP_VAE else "scenes-t2i"
    if stage in USES_VAE | USES_CLIP_VAE and not (work / "vae").exists():
        shutil.copytree(ASSETS / source / "vae", work / "vae")
        print(f"took the autoencoder of {source}", flush=True)


def train_stage(stage: str, args: argparse.Namespace) -> None:
    """Run one training stage. Imports live here, so that each stage loads only what it needs."""
    work, effort = args.work, make_effort(stage, args)
    folder = {"folder": args.folder} if args.folder else {}
    if stage == "vae":
        from tracache.training.images.vae import train_vae

        train_vae(work, effort)
    elif stage == "classifier":
        from tracache.training.images.classifier import train_classifier

        train_classifier(work, effort, **folder)
    elif stage == "t2i":
        from tracache.training.images.t2i import train_t2i

        train_t2i(work, effort)
    elif stage == "class":
        from tracache.training.images.class_dit import train_class

        train_class(work, effort)
    elif stage == "vae-clips":
        from tracache.training.clips.vae import train_clip_vae

        train_clip_vae(work, effort)
    elif stage == "judge":
        from tracache.training.clips.judge import train_judge

        train_judge(work, effort, **folder)
    elif stage == "t2v":
        from tracache.training.clips.t2v import train_t2v

        train_t2v(work, effort)


def prepare_stage(stage: str, args: argparse.Namespace) -> None:
    """Run one of the stages that train nothing: captions, renders, latents, exports."""
    work = args.work
    if stage == "prompts":
        from tracache.training.data import write_prompt_lists
        from tracache.training.render import scenes

        write_prompt_lists(scenes.make_prompt_lists())
    elif stage == "render":
        from tracache.training.images.data import render_dataset

        render_dataset(work, args.images, pair_share=args.pairs)
    elif stage == "encode":
        from tracache.training.images.vae import encode_dataset

        encode_dataset(work)
    elif stage == "export":
        from tracache.training.images.export import export_t2i

        export_t2i(work, args.folder or ASSETS / "scenes-t2i")
    elif stage == "render-class":
        from tracache.training.images.class_dit import render_class

        render_class(work, args.images)
    elif stage == "export-class":
        from tracache.training.images.export import export_class

        export_class(work, args.folder or ASSETS / "scenes-class")
    elif stage == "prompts-clips":
        from tracache.training.data import write_prompt_lists
        from tracache.training.render import clips

        write_prompt_lists(clips.make_prompt_lists())
    elif stage == "render-clips":
        from tracache.training.clips.data import render_dataset as render_clips

        render_clips(work, args.clips)
    elif stage == "encode-clips":
        from tracache.training.clips.codec import encode_clips

        encode_clips(work)
    elif stage == "export-clips":
        from tracache.training.clips.export import export_t2v

        export_t2v(work, args.folder or ASSETS / "scenes-t2v")


def use_threads(count: int) -> None:
    """Keep PyTorch and the renderer to so many CPU threads."""
    os.environ["NUMBA_NUM_THREADS"] = str(count)  # read when the renderer is first imported
    import torch

    torch.set_num_threads(count)


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    args = build_parser().parse_args(argv)
    if args.threads:
        use_threads(args.threads)
    groups = {"all": STAGES, "all-class": CLASS_STAGES, "all-clips": CLIP_STAGES}
    for stage in groups.get(args.stage, (args.stage,)):
        if args.start_from_assets:
            adopt_vae(stage, args.work)
        run = train_stage if stage in MINUTES else prepare_stage
        run(stage, args)


if __name__ == "__main__":
    main()
