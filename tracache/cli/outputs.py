"""Where a command writes: tried before it begins to work."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def require_outputs(args: argparse.Namespace) -> None:
    """Check that what a command is told to write could be written; nothing is made.

    Parameters
    ----------
    args : argparse.Namespace
        Of any command; ``json`` is a file, ``output`` a folder, which may be still to be made.

    Raises
    ------
    ValueError
        If one could not; the message names the option and what is in the way.
    """
    file: Path | None = getattr(args, "json", None)
    folder: Path | None = getattr(args, "output", None)
    if file is not None:
        if file.is_dir():
            raise ValueError(f"--json {file} is a folder: name a file in it")
        if not file.parent.exists():
            raise ValueError(f"--json {file}: there is no folder {file.parent}; make it first")
        _require_writable("--json", file)
    if folder is not None:
        _require_writable("--output", folder)
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"--output {folder} is a file: name a folder")


def _require_writable(option: str, path: Path) -> None:
    """Check the nearest part of a path that is there: the file itself, or the folder above."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if there != path and not there.is_dir():
        raise ValueError(f"{option} {path}: {there} is a file, and nothing can be put into it")
    if not os.access(there, os.W_OK):
        raise ValueError(f"{option} {path}: this user may not write to {there}")
