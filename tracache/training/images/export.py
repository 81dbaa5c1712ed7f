"""Write the trained models of pictures as folders that stock diffusers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DiTPipeline, PixArtAlphaPipeline

from tracache.training.images import class_dit, t2i
from tracache.training.pipelines import write_pipeline
from tracache.training.render.scenes import grammar
from tracache.training.text import build_tokenizer


def export_t2i(work: Path, folder: Path, checkpoint: str = "t2i.pt") -> None:
    """Write the averaged weights as a ``PixArtAlphaPipeline`` folder, float16.

    Parameters
    ----------
    work : Path
        Work folder with the finished ``vae`` and the checkpoint.
    folder : Path
        Where to write; files of an older export are overwritten.

    Raises
    ------
    ValueError
        If a written file is larger than 10 MB.
    """
    model, run = t2i.load_trained(work / checkpoint)
    pipe: Any = PixArtAlphaPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=model.text,
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        transformer=model.transformer,
        scheduler=t2i.build_scheduler(),
    )
    write_pipeline(pipe, folder, run, grammar())


def export_class(
    work: Path, folder: Path, checkpoint: str = "class.pt", layers: int = class_dit.LAYERS
) -> None:
    """Write the averaged weights as a ``DiTPipeline`` folder, float16, in files of up to 9 MB.

    Parameters
    ----------
    work, folder, checkpoint
        As in ``export_t2i``.
    layers : int, default 12
        Blocks of the checkpoint's transformer.

    Raises
    ------
    ValueError
        If a written file is larger than 10 MB.
    """
    transformer, run = class_dit.load_trained(work / checkpoint, layers)
    pipe: Any = DiTPipeline(
        transformer=transformer,
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        scheduler=class_dit.build_scheduler(),
    )
    # The pipeline takes the names when it is loaded, yet does not write them itself.
    pipe.register_to_config(id2label={str(i): name for i, name in enumerate(class_dit.CLASSES)})
    write_pipeline(pipe, folder, run)
