"""Write the trained models as a folder that stock diffusers loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PixArtAlphaPipeline

from tracache.embedded.scenes import grammar
from tracache.embedded.t2i import build_scheduler, load_trained
from tracache.embedded.text import build_tokenizer

LARGEST_FILE = 10_000_000
"""Bytes that no committed file may exceed."""


def _tidy(folder: Path) -> None:
    """Make the folder portable: no local paths, names every transformers knows, readable files."""
    for name in ("model_index.json", "tokenizer/tokenizer_config.json"):
        path = folder / name
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
    pipe.to(dtype=torch.float16)
    pipe.save_pretrained(folder, safe_serialization=True)
    _tidy(folder)
    (folder / "grammar.json").write_text(json.dumps(grammar(), indent=2) + "\n")
    print(f"exported {run['steps']} steps ({run['minutes']} minutes) to {folder}")
    too_large = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > LARGEST_FILE]
    if too_large:
        raise ValueError(f"larger than 10 MB: {too_large}")
