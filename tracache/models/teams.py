"""Threads that PyTorch computes with on the CPU, and what idle ones cost.

OpenMP keeps a team of threads for every thread that has ever computed. Once all teams together have
more threads than there are cores, GNU's waits for work asleep and not awake, and the many small
products of a small model take half as long again. So whoever computes now and then, as for loading
a model, lets go of its team before another thread computes for long.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

#: ``omp_pause_hard`` of OpenMP 5.0: free what can be freed.
_HARD = 2
#: Of a library that is there already; no second one is loaded.
_LOADED = getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_LAZY", 0)


def release_team() -> bool:
    """Let go of the calling thread's team; it has another as soon as it computes again.

    Returns
    -------
    bool
        Whether that could be asked for: elsewhere than with GNU's OpenMP there is no need.
    """
    library = _library()
    return library is not None and library.omp_pause_resource_all(_HARD) == 0


@cache
def _library() -> Any:
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*")):
        try:
            library = ctypes.CDLL(str(path), mode=_LOADED)
        except OSError:
            continue
        if hasattr(library, "omp_pause_resource_all"):
            return library
    return None
