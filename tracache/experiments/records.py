"""What was measured, and the pictures of it: kept in a folder, or only until it is summed up.

A folder's records are one JSON object a line, appended as they are known. Every worker writes a
file of its own, so that none waits for another; reading merges them. A run that was killed leaves
at most half a line, which is passed over and done again; so is a line that somebody has damaged,
and where it is is said.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from PIL import Image

from tracache.media import Picture, Video, filmstrip, strip

#: Setting and index of the prompt: what a record is about.
Key = tuple[str, int]

HEADER = "run.json"

#: Fields that hold a number in one record and words in the next: "stride" is 3, "auto", or
#: "8 computed".
_EITHER = ("stride",)

#: Frames of a video that are kept as a picture, all of the embedded model's: a strip of all of a
#: large model's would take a hundred megabytes.
FRAMES = 17

log = logging.getLogger(__name__)


class Records:
    """The records in a folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    worker : int, default 0
        Whose file is appended to.
    """

    def __init__(self, folder: Path, worker: int = 0) -> None:
        self.folder = folder
        self.worker = worker
        self._lock = FileLock(folder / f".lock-{worker}")
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def file(self) -> Path:
        """The file this worker appends to."""
        return self.folder / f"records-{self.worker}.jsonl"

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, which is on the disk when this returns.

        Raises
        ------
        ValueError
            If a value is NaN or infinite, which JSON does not know.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        torn = _is_torn(self.file)
        with self.file.open("a", encoding="utf-8") as out:
            # What a killed run left of a line stays a line of its own.
            out.write(("\n" if torn else "") + line + "\n")
            out.flush()
            os.fsync(out.fileno())

    def save(self, setting: str, index: int, picture: Picture, title: str) -> str:
        """Write a picture to ``images/<setting>/<index>.png`` and return that path.

        Of a video, those are its frames side by side, or :data:`FRAMES` of them where there are
        more; the video itself goes to ``videos/<setting>/<title>.mp4``.
        """
        if isinstance(picture, Video):
            folder = self.folder / "videos" / setting
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{title}.mp4")
            picture = filmstrip([picture], FRAMES)
        folder = self.folder / "images" / setting
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{index:06d}.png"
        # A killed run must not leave half an image under a good name.
        part = file.with_suffix(f".{self.worker}.part")
        picture.save(part, format="png")
        part.replace(file)
        return str(file.relative_to(self.folder))

    def picture(self, record: dict[str, Any]) -> Image.Image:
        """Open the picture of a record; a video's frames side by side."""
        return Image.open(self.folder / record["image"])

    def read(self) -> list[dict[str, Any]]:
        """Return the records of all workers, each once, by setting and index.

        A line that is no record, or has something else where the others have a number, is passed
        over; the log says which.
        """
        found: dict[Key, dict[str, Any]] = {}
        kinds: dict[str, str] = {}
        for where, record in self._lines():
            if why := _fault(record, kinds):
                log.warning("%s is passed over, and will be done again: %s", where, why)
            else:
                found[record["setting"], record["index"]] = record
        return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]

    def _lines(self) -> Iterator[tuple[str, Any]]:
        """Yield the place of each line and what it holds; None where that is no JSON."""
        for file in sorted(self.folder.glob("records-*.jsonl")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        yield f"{file}, line {number},", json.loads(line)
                    except (ValueError, RecursionError):
                        yield f"{file}, line {number},", None

    def keys(self) -> set[Key]:
        """Return what need not be done again."""
        return {(record["setting"], record["index"]) for record in self.read()}

    def begin(self, header: dict[str, Any]) -> None:
        """Note what all records of the folder have in common, or check that it still holds.

        Raises
        ------
        ValueError
            If the folder holds records of another model or sampling, and the message says what
            differs; or if another run writes to it now.
        """
        try:
            # Held for as long as the process lives.
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ValueError(
                f"another run is writing to {self.folder}: wait for its end, or choose another "
                "folder"
            ) from None
        file = self.folder / HEADER
        if not file.is_file():
            part = self.folder / f"{HEADER}.{self.worker}"
            part.write_text(json.dumps(header, indent=1, ensure_ascii=False) + "\n", "utf-8")
            part.replace(file)
            return
        try:
            there = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise ValueError(
                f"{file} is damaged, so it is not known what the records beside it are of: delete "
                "it if they are of this very run, or choose another folder"
            ) from None
        differs = [
            name for name in header if there.get(name) != json.loads(json.dumps(header[name]))
        ]
        if differs:
            name = differs[0]
            raise ValueError(
                f"{self.folder} holds a run with {name} {there.get(name)!r}, not {header[name]!r}: "
                "choose another folder, or ask for the same"
            )


def _is_torn(file: Path) -> bool:
    """Whether a file ends within a line; only its end is read, for it is asked at every record."""
    if not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as lines:
        lines.seek(-1, os.SEEK_END)
        return lines.read(1) != b"\n"


def _fault(record: Any, kinds: dict[str, str]) -> str:
    """Say what is wrong with a record; empty if it is like those before it.

    Parameters
    ----------
    record
        As read.
    kinds : dict
        Name of a field → what the records so far hold there; the record's own are added.
    """
    if not isinstance(record, dict):
        return "it is no JSON object"
    if not isinstance(record.get("setting"), str) or type(record.get("index")) is not int:
        return "it does not say of which setting and prompt it is"
    mine = {
        name: _kind(value)
        for name, value in record.items()
        if value is not None and name not in _EITHER
    }
    for name, kind in mine.items():
        if kinds.get(name, kind) != kind:
            return f"its {name} is {kind}, where others have {kinds[name]}"
    kinds.update(mine)
    return ""


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "yes or no"
    # JSON has no infinity, which is how near two equal pictures are.
    if isinstance(value, int | float) or value in ("inf", "-inf"):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


class Remembered:
    """Records that are summed up at once and not kept, with :class:`Records`' methods.

    Parameters
    ----------
    pictures : bool
        Whether to remember the pictures too, for measures that look at them.
    """

    def __init__(self, pictures: bool) -> None:
        self._found: dict[Key, dict[str, Any]] = {}
        self._pictures: dict[str, Image.Image] | None = {} if pictures else None

    def append(self, record: dict[str, Any]) -> None:
        """Add a record."""
        self._found[record["setting"], record["index"]] = record

    def save(self, setting: str, index: int, picture: Picture, title: str) -> str:
        """Remember a picture, if any are, and return its name."""
        name = f"{setting}/{index}"
        if self._pictures is not None:
            self._pictures[name] = strip(picture)
        return name

    def picture(self, record: dict[str, Any]) -> Image.Image:
        """Return the picture of a record."""
        if self._pictures is None:
            raise ValueError("the pictures were not remembered")
        return self._pictures[record["image"]]

    def read(self) -> list[dict[str, Any]]:
        """Return the records by index and setting."""
        return [self._found[key] for key in sorted(self._found, key=lambda key: (key[1], key[0]))]

    def keys(self) -> set[Key]:
        """Return what need not be done again."""
        return set(self._found)


class AnyRecords(Protocol):
    """What whoever makes pictures needs of records, wherever they are kept."""

    def append(self, record: dict[str, Any]) -> None:
        """Add a record."""
        ...

    def save(self, setting: str, index: int, picture: Picture, title: str) -> str:
        """Keep a picture, and return what its record calls it."""
        ...

    def picture(self, record: dict[str, Any]) -> Image.Image:
        """Return the picture of a record."""
        ...

    def read(self) -> list[dict[str, Any]]:
        """Return all records."""
        ...

    def keys(self) -> set[Key]:
        """Return what need not be done again."""
        ...
