"""Write the trained text-to-video model as a folder that ``OpenSoraPipeline`` loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import make_flow_scheduler
from tracache.training.clips.codec import load_video_vae
from tracache.training.clips.t2v import DEPTH, build_clip_tokenizer, load_trained
from tracache.training.pipelines import write_pipeline
from tracache.training.render.clips import grammar


def build_pipeline(work: Path, checkpoint: str = "t2v.pt", depth: int = DEPTH) -> tuple[Any, dict]:
    """The averaged weights of a checkpoint as a pipeline, and the run's figures."""
    model, run = load_trained(work / checkpoint, depth)
    pipe: Any = OpenSoraPipeline(
        tokenizer=build_clip_tokenizer(),
        text_encoder=model.text,
        transformer=model.transformer,
        vae=load_video_vae(work),
        scheduler=make_flow_scheduler(),
        # Trained on one size, with noise levels spread evenly about the middle.
        shift=1.0,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe, run


def export_t2v(work: Path, folder: Path, checkpoint: str = "t2v.pt", depth: int = DEPTH) -> None:
    """Write the averaged weights as an ``OpenSoraPipeline`` folder, float16.

    Parameters
    ----------
    work : Path
        Work folder with the finished ``vae`` and the checkpoint.
    folder : Path
        Where to write; files of an older export are overwritten.
    depth : int, default 6
        Pairs of blocks of the checkpoint's transformer.

    Raises
    ------
    ValueError
        If a written file is larger than 10 MB.
    """
    pipe, run = build_pipeline(work, checkpoint, depth)
    write_pipeline(pipe, folder, run, grammar())
