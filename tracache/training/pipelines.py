"""Trained models as pipelines' folders: written, loaded, asked for samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from tracache.training.machine import pick_device

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


def write_pipeline(
    pipe: Any, folder: Path, run: dict[str, float], grammar: dict[str, object] | None = None
) -> None:
    """Write a pipeline as a folder, float16, over the files of an older one.

    Parameters
    ----------
    pipe : DiffusionPipeline
        With its trained weights.
    folder : Path
        Where to write.
    run : dict
        Figures of the training run, to say what was written.
    grammar : dict, optional
        What its prompts may be, written beside it.

    Raises
    ------
    ValueError
        If a written file is larger than 10 MB.
    """
    pipe.to(dtype=torch.float16)
    for old in folder.glob("transformer/*.safetensors*"):
        old.unlink()  # another number of shards would leave some behind
    pipe.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)
    _tidy(folder)
    if grammar is not None:
        (folder / "grammar.json").write_text(json.dumps(grammar, indent=2) + "\n")
    too_large = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > LARGEST_FILE]
    if too_large:
        raise ValueError(f"larger than 10 MB: {too_large}")
    print(f"exported {run['steps']} steps ({run['minutes']} minutes) to {folder}")


def load_pipeline(folder: Path, kind: type[DiffusionPipeline] = DiffusionPipeline) -> Any:
    """The exported folder as a pipeline, float32, without network."""
    pipe: Any = kind.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(pick_device())


def draw_samples(pipe: Any, asked: list, seed: int, batch: int, **settings: Any) -> np.ndarray:
    """Draw a sample for everything that is asked, each from a noise of its own (seed + position).

    Parameters
    ----------
    pipe : DiffusionPipeline
        Asked ``batch`` at a time.
    asked : list
        Captions or classes.
    settings
        Further arguments of the pipeline.

    Returns
    -------
    numpy.ndarray
        uint8: pictures (n, h, w, 3) or clips (n, frames, h, w, 3).
    """
    samples: list[np.ndarray] = []
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        noises = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        out = pipe(part, generator=noises, **settings)
        samples += [np.asarray(sample) for sample in out[0]]
    return np.stack(samples)
