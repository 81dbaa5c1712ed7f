"""Why a model could not be loaded, and what to do: one sentence for each way it can fail."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path

import httpx
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError


class PartError(Exception):
    """A part of a model could not be loaded; the cause says why.

    Attributes
    ----------
    source : str or Path
        Its repository or folder.
    """

    def __init__(self, source: str | Path) -> None:
        super().__init__(f"{source} could not be loaded")
        self.source = source


def explain(error: BaseException, title: str, source: str, on_hub: bool) -> str:
    """Say why a model could not be loaded and what to do.

    Parameters
    ----------
    error : Exception
        What loading raised; what it was raised from is looked at too.
    title, source : str
        Name of the model, and its folder or repository; of a :class:`PartError` its own counts.
    on_hub : bool
        Whether the source is a repository.
    """
    chain = list(_chain(error))
    for part in (e for e in chain if isinstance(e, PartError)):
        source, on_hub = str(part.source), not isinstance(part.source, Path)
    chain = [e for e in chain if not isinstance(e, PartError)]
    return f"{title} could not be loaded: {_reason(chain, source, on_hub)}"


def _reason(chain: list[BaseException], source: str, on_hub: bool) -> str:
    for e in chain:
        # A gated repository is a kind of missing one to huggingface_hub.
        if isinstance(e, GatedRepoError):
            return (
                f"access to {source} is restricted; accept its terms on "
                f"https://huggingface.co/{source} and log in with: hf auth login"
            )
        if isinstance(e, RepositoryNotFoundError):
            return (
                f"the Hub has no repository {source}, or it is private; check the name, or log in "
                "with: hf auth login"
            )
        if isinstance(e, torch.OutOfMemoryError | MemoryError):
            return "the memory ran out; close what else uses it, or choose a smaller model"
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full; free some space, or set HF_HOME to a folder on another disk"
    for e in chain:
        if isinstance(e, HfHubHTTPError) and (status := _status(e)) is not None:
            if status in (401, 403):
                return f"the Hub refuses access to {source} ({status}); log in with: hf auth login"
            return f"the Hub answered {status} for {source}; try again later"
    if on_hub:
        offline = any(isinstance(e, OfflineModeIsEnabled) for e in chain)
        unreachable = (httpx.TransportError, ConnectionError, LocalEntryNotFoundError)
        if offline or any(isinstance(e, unreachable) for e in chain):
            return (
                f"{source} is not downloaded and the Hub cannot be reached; connect to the "
                "network and unset HF_HUB_OFFLINE, or put the files into TRACACHE_MODELS"
            )
    first = " ".join(str(chain[0]).split())[:300]
    if any(isinstance(e, SafetensorError) for e in chain) or _about_files(chain):
        fetch = f"hf download {source}" if on_hub else "the download of that folder"
        return f"the files of {source} are incomplete or damaged; repeat {fetch} ({first})"
    return first


def _about_files(chain: list[BaseException]) -> bool:
    """Whether files are missing or cannot be read."""
    words = (
        "no file named",
        "unable to load weights from checkpoint",
        "json",
        "not found",
        "no such file",
        "shard",
        "corrupt",
        "truncated",
        # What seeking in half a pickled file comes to.
        "invalid argument",
    )
    return any(
        isinstance(e, FileNotFoundError | EOFError | JSONDecodeError)
        or (isinstance(e, OSError | ValueError) and any(w in str(e).lower() for w in words))
        for e in chain
    )


def _status(error: HfHubHTTPError) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
