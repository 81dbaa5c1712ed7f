"""The folder of a server's runs: its own, closed to others, and gone when the server is.

A server that is killed cannot put anything away, so the next one does. Whether a folder's server is
still there is told by a lock that it holds: numbers of processes mean nothing across containers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where what is left of other servers stays
    fcntl = None  # type: ignore[assignment]

PREFIX = "tracache-runs-"
_LOCK = ".lock"


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
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        lock = (folder / f"{_LOCK}.new").open("w")
        # A disk that is full takes names, but no contents.
        lock.write("held by the server whose runs these are\n")
        lock.flush()
        # Under its name it is held from the start: others must not find it loose.
        _hold(lock)
        (folder / f"{_LOCK}.new").rename(folder / _LOCK)
    except OSError as error:
        raise ValueError(
            f"runs cannot be kept in {parent} ({error.strerror}): make room there, or set "
            "TRACACHE_RUNS to a folder that this user may write to"
        ) from None
    with lock:
        for other in parent.glob(f"{PREFIX}*"):
            if other.resolve() != folder and _is_dead(other):
                shutil.rmtree(other, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _hold(lock: IO[str]) -> bool:
    """Take a lock; say whether nobody else has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_dead(folder: Path) -> bool:
    """Whether a folder was a server's that is not there any more."""
    try:
        with (folder / _LOCK).open() as lock:
            return _hold(lock)
    except OSError:
        # Another user's, or one that has just begun and has no lock yet.
        return False
