"""The folder of a server's runs: its own, closed to others, and gone when the server is.

A server that is killed cannot put anything away, so the next one does. Whether a folder's server is
still there is told by a lock that it holds: numbers of processes mean nothing across containers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "tracache-runs-"
_LOCK = ".lock"

#: What is written to see whether there is room: a disk that is full takes names, but no contents.
_SOME = bytes(64 * 1024)


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for this server's runs; remove it at the end, and what dead servers left.

    Parameters
    ----------
    parent : Path
        Where it is to be.

    Yields
    ------
    Path
        The folder, which only its owner may read.

    Raises
    ------
    ValueError
        If nothing can be written there.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # One at a time, or a folder that has just been made would be found without its server.
        with FileLock(parent / f".{PREFIX}{user}.lock"):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
            (folder / ".room").write_bytes(_SOME)
            lock = FileLock(folder / _LOCK)
            lock.acquire(blocking=False)
            for other in parent.glob(f"{PREFIX}*"):
                if _is_dead(other):
                    shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        raise ValueError(
            f"runs cannot be kept in {parent} ({error.strerror}): make room there, or set "
            "TRACACHE_RUNS to a folder that this user may write to"
        ) from None
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    """Whether a folder was a server's that is not there any more."""
    if not (folder / _LOCK).is_file():
        return False
    try:
        FileLock(folder / _LOCK).acquire(blocking=False).lock.release()
    except (Timeout, OSError):
        # Held, or another user's.
        return False
    return True
