"""Measuring everything again that was measured on older weights, by the commands that say how.

Every committed file of figures holds the command that made it, and of which weights it is. So what
is out of date can be told, made again and compared, without a list beside the files.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tracache.compare.output import write_json
from tracache.models import sources
from tracache.models.registry import DEFAULT_MODEL, find_model
from tracache.settings import Settings

#: Where a command that is kept says where its figures go.
PLACE = "FILE"
#: Commands that keep records in a folder, and go on from them.
_RECORDS = ("sweep", "analyse", "league", "--nearness")
#: Numbers that the machine decides, not the weights; by how their names end, or begin.
_CLOCK = ("_s", "seconds", "bytes", "memory", "rss", "measured_at", "share_of_ratio")


@dataclass(frozen=True)
class Figures:
    """A committed file of figures.

    Attributes
    ----------
    file : Path
        Where it is.
    command : str
        What made it; empty where it does not say.
    weights : str
        SHA-256 of the transformer it was measured on; empty where it does not say.
    model : str
        Of the command; several with blanks between.
    current : str
        SHA-256 of the transformer that is there now.
    """

    file: Path
    command: str
    weights: str
    model: str
    current: str

    @property
    def is_fresh(self) -> bool:
        """Whether it is of the weights that are there."""
        return self.weights == self.current


@dataclass(frozen=True)
class Move:
    """A number that is another than before: where it stands, and what it was and is."""

    where: str
    before: float
    after: float

    @property
    def factor(self) -> float:
        """How many times as large, or as small, it is: 1 and up."""
        low, high = sorted((abs(self.before), abs(self.after)))
        return high / low if low else math.inf


def find_figures(folder: Path, settings: Settings) -> list[Figures]:
    """Return the figures in a folder that are of a model's weights, by name.

    Raises
    ------
    ValueError
        If a file is not what a command of this project wrote; the message names it.
    """
    found, digests = [], dict[str, str]()
    for file in sorted(folder.glob("*.json")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} is no JSON ({error}): restore it, or remove it") from None
        if not isinstance(data, dict):
            raise ValueError(f"{file} holds no figures: restore it, or remove it")
        command = data.get("command", "")
        if not command.startswith("python -m tracache "):
            continue
        models = models_of(command)
        named = " ".join(models)
        if named not in digests:
            digests[named] = digest_of(models, settings)
        found.append(Figures(file, command, data.get("weights", ""), named, digests[named]))
    return found


def models_of(command: str) -> list[str]:
    """Return the models that a kept command runs."""
    words = shlex.split(command)
    if words[3:4] == ["league"]:
        return list(itertools.takewhile(lambda word: not word.startswith("-"), words[4:]))
    return [words[words.index("--model") + 1] if "--model" in words else DEFAULT_MODEL]


def digest_of(models: Sequence[str], settings: Settings) -> str:
    """Return the SHA-256 of a model's weights, or of several models' digests one after another."""
    digests = [sources.digest_of(find_model(model), settings) for model in models]
    return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()


def refresh(
    stale: Sequence[Figures], work: Path, say: Callable[[str], None] = print
) -> Iterator[tuple[Figures, list[Move]]]:
    """Make figures again, one file after the other, and yield what moved in each.

    What was made before a cut is kept in the work folder and not made again. A command that fails
    is said, and the rest goes on; so are numbers that a file had and has no more.

    Parameters
    ----------
    stale : sequence of Figures
        What is made again.
    work : Path
        For figures and records under way.
    say : callable, optional
        Hears what is done next.
    """
    for number, figures in enumerate(stale, start=1):
        folder = work / figures.current[:12]
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / figures.file.name
        if not made.is_file():
            say(f"{number} of {len(stale)}: {figures.command}")
            argv = arguments_of(figures.command, made, folder / figures.file.stem)
            done = subprocess.run([sys.executable, "-m", "tracache", *argv], check=False)
            if done.returncode or not made.is_file():
                say(f"{figures.file.name}: the command ended with {done.returncode}; left as it is")
                continue
        new = json.loads(made.read_text(encoding="utf-8"))
        old = json.loads(figures.file.read_text(encoding="utf-8"))
        write_json(figures.file, {**new, "command": figures.command, "weights": figures.current})
        # Pictures that belong to the figures.
        for sheet in sorted(folder.glob(f"{made.stem}-*.webp")):
            shutil.copyfile(sheet, figures.file.with_name(sheet.name))
        if lost := missing(old, new):
            say(f"{figures.file.name}: {len(lost)} of its numbers are gone, the first {lost[0]}")
        yield figures, moved(old, new)


def arguments_of(command: str, made: Path, records: Path) -> list[str]:
    """Return the arguments of a kept command, with its figures and its records put elsewhere."""
    argv = [str(made) if word == PLACE else word for word in shlex.split(command)[3:]]
    if str(made) not in argv:
        argv += ["--json", str(made)]
    if "--output" not in argv and any(word in argv for word in _RECORDS):
        argv += ["--output", str(records)]
    return argv


def moved(old: Any, new: Any, least: float = 1.02) -> list[Move]:
    """Return the numbers that are others than before, the farthest first.

    Parameters
    ----------
    old, new
        Figures, as JSON holds them.
    least : float, default 1.02
        Factor from which a number has moved.
    """
    before = dict(_numbers(old, ""))
    moves = [
        Move(where, before[where], after)
        for where, after in _numbers(new, "")
        if where in before and before[where] != after
    ]
    return sorted((m for m in moves if m.factor >= least), key=lambda m: -m.factor)


def missing(old: Any, new: Any) -> list[str]:
    """Return where older figures have numbers and the new ones have none."""
    there = dict(_numbers(new, ""))
    return [where for where, _ in _numbers(old, "") if where not in there]


def _numbers(data: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(data, dict):
        for name, value in data.items():
            if not (name.endswith(_CLOCK) or name.startswith(_CLOCK) or name == "versions"):
                yield from _numbers(value, f"{where}.{name}" if where else name)
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _numbers(value, f"{where}[{i}]")
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield where, float(data)
