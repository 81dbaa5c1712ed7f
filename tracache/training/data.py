"""What the pictures' and the clips' data share: files in a work folder, written whole or not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from tracache.training.render.scenes import ASSETS

DONE = "rendered.txt"
"""How many renders of a work folder are there already."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` in one move once it is on the disk, or never does.

    Whoever is killed while writing leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def kept_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array as a read-only memory map, made once and kept in ``path``."""
    if not path.exists():
        with written_whole(path) as file:
            np.save(file, make())
    return np.load(path, mmap_mode="r")


def save_latents(latents: Tensor, folder: Path) -> None:
    """Write ``latents.pt`` into a folder, bfloat16."""
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}", flush=True)
    with written_whole(folder / "latents.pt") as file:
        torch.save(latents.bfloat16(), file)


def load_latents(folder: Path) -> Tensor:
    """Read ``latents.pt`` of a folder.

    Raises
    ------
    FileNotFoundError
        If nothing was encoded there yet.
    """
    path = folder / "latents.pt"
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: run the render and encode stages on this work folder first"
        )
    return torch.load(path, weights_only=True)


def write_prompt_lists(lists: dict[str, list[str]], folder: Path | None = None) -> None:
    """Write lists of captions, one caption a line, where the committed lists are."""
    folder = folder or ASSETS / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, captions in lists.items():
        (folder / name).write_text("\n".join(captions) + "\n", encoding="utf-8")


def load_captions(work: Path) -> list[str]:
    """The captions of what is rendered, in its order."""
    return json.loads((work / "captions.json").read_text())


def rendered(work: Path) -> int:
    """How many renders of a work folder are there already."""
    return int((work / DONE).read_text())


def render_into(
    path: Path,
    captions: list[str],
    shape: tuple[int, ...],
    draw: Callable[[int, int], np.ndarray],
    chunk: int,
) -> None:
    """Render a data set chunk by chunk; goes on where an earlier call was cut.

    Writes ``captions.json`` beside ``path`` as well.

    Parameters
    ----------
    path : Path
        Where the array goes: uint8 of shape (len(captions), *shape).
    captions : list of str
        What is drawn; an earlier call that drew something else is started over.
    shape : tuple of int
        Shape of one render.
    draw : callable
        From the first and the number after the last to their renders.
    chunk : int
        Renders at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done, listed, count = path.parent / DONE, path.parent / "captions.json", len(captions)
    wanted = json.dumps(captions)
    known = all(file.exists() for file in (path, done, listed)) and listed.read_text() == wanted
    start = rendered(path.parent) if known else 0
    done.write_text(str(start))
    listed.write_text(wanted)
    renders = np.lib.format.open_memmap(
        path, mode="r+" if known else "w+", dtype=np.uint8, shape=(count, *shape)
    )
    for first in range(start, count, chunk):
        last = min(first + chunk, count)
        renders[first:last] = draw(first, last)
        renders.flush()
        done.write_text(str(last))
        print(f"rendered {last} of {count}", flush=True)
