"""Write the trained models as a folder that stock diffusers loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiTPipeline, PixArtAlphaPipeline

from tracache.training.images import class_dit
from tracache.training.images.t2i import build_scheduler, load_trained
from tracache.training.render.scenes import grammar
from tracache.training.text import build_tokenizer

LARGEST_FILE = 10_000_000
"""Bytes that no committed file may exceed."""
SHARD = "9900KB"
"""Weights larger than this are written as several files."""


def _tidy(folder: Path) -> None:
    """Make the folder portable: no local paths, names every transformers knows, readable files."""
    for path in (folder / "model_index.json", *folder.glob("tokenizer/tokenizer_config.json")):
        text = path.read_text().replace('"TokenizersBackend"', '"PreTrainedTokenizerFast"')
        path.write_text(text)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        if "dtype" in config:
            # transformers loads in this format where none is asked for, diffusers in float32;
            # a pipeline loaded plainly needs the two to agree.
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2) + "\n")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


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
    model, run = load_trained(work / checkpoint)
    pipe: Any = PixArtAlphaPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=model.text,
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        transformer=model.transformer,
        scheduler=build_scheduler(),
    )
    _write(pipe, folder)
    (folder / "grammar.json").write_text(json.dumps(grammar(), indent=2) + "\n")
    print(f"exported {run['steps']} steps ({run['minutes']} minutes) to {folder}")


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
    _write(pipe, folder)
    print(f"exported {run['steps']} steps ({run['minutes']} minutes) to {folder}")


def _write(pipe: Any, folder: Path) -> None:
    pipe.to(dtype=torch.float16)
    for old in folder.glob("transformer/*.safetensors*"):
        old.unlink()  # another number of shards would leave some behind
    pipe.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)
    _tidy(folder)
    too_large = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > LARGEST_FILE]
    if too_large:
        raise ValueError(f"larger than 10 MB: {too_large}")
