"""What was measured, one JSON object a line, appended as it is known.

Every worker writes a file of its own in one folder, so that none waits for another; reading merges
them. A run that was killed leaves at most half a line, which is passed over and done again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

#: Setting and index of the prompt: what a record is about.
Key = tuple[str, int]

HEADER = "run.json"


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
        torn = self.file.is_file() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as out:
            # What a killed run left of a line stays a line of its own.
            out.write(("\n" if torn else "") + line + "\n")
            out.flush()
            os.fsync(out.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Return the records of all workers, each once, by setting and index."""
        found: dict[Key, dict[str, Any]] = {}
        for file in sorted(self.folder.glob("records-*.jsonl")):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                    found[record["setting"], record["index"]] = record
                except (ValueError, KeyError, TypeError):
                    continue
        return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]

    def keys(self) -> set[Key]:
        """Return what need not be done again."""
        return {(record["setting"], record["index"]) for record in self.read()}

    def begin(self, header: dict[str, Any]) -> None:
        """Note what all records of the folder have in common, or check that it still holds.

        Raises
        ------
        ValueError
            If the folder holds records of another model or sampling; the message says what
            differs.
        """
        file = self.folder / HEADER
        if not file.is_file():
            part = self.folder / f"{HEADER}.{self.worker}"
            part.write_text(json.dumps(header, indent=1, ensure_ascii=False) + "\n", "utf-8")
            part.replace(file)
            return
        there = json.loads(file.read_text(encoding="utf-8"))
        differs = [
            name for name in header if there.get(name) != json.loads(json.dumps(header[name]))
        ]
        if differs:
            name = differs[0]
            raise ValueError(
                f"{self.folder} holds a run with {name} {there.get(name)!r}, not {header[name]!r}: "
                "choose another folder, or ask for the same"
            )
