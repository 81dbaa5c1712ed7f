"""Names of a model's classes: from its ``id2label``, or ImageNet's."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

#: The thousand names of ImageNet's classes in the order of their numbers, synonyms by commas.
IMAGENET = Path(__file__).with_name("imagenet.txt")

MAX_NEAR = 4


@dataclass(frozen=True)
class Labels:
    """The classes of a model.

    Attributes
    ----------
    names : dict of int to str
        Number → name, synonyms separated by commas, as in ``id2label``.
    """

    names: Mapping[int, str]

    @classmethod
    def from_id2label(cls, id2label: Mapping[Any, str]) -> Labels:
        """Read the table of a ``model_index.json``, whose keys are text."""
        return cls({int(number): name for number, name in sorted_by_number(id2label)})

    @classmethod
    def from_index(cls, file: Path) -> Labels | None:
        """Read ``model_index.json``; None if it is not there or names no classes."""
        if not file.is_file():
            return None
        id2label = json.loads(file.read_text(encoding="utf-8")).get("id2label")
        return cls.from_id2label(id2label) if id2label else None

    @classmethod
    def of_pipeline(cls, pipe: Any) -> Labels:
        """Return the classes that a ``DiTPipeline`` knows by name."""
        synonyms: dict[int, list[str]] = {}
        for name, number in pipe.labels.items():
            synonyms.setdefault(number, []).append(name)
        return cls.from_id2label({number: ", ".join(names) for number, names in synonyms.items()})

    def choices(self) -> list[tuple[str, int]]:
        """Return (name, number) of every class for a drop-down, the number told where names meet.

        ImageNet has two cranes: a bird and a machine.
        """
        count = Counter(self.names.values())
        return [
            (name if count[name] == 1 else f"{name} ({number})", number)
            for number, name in self.names.items()
        ]

    def find(self, label: str | int) -> int:
        """Return the number of a class.

        Parameters
        ----------
        label : str or int
            Its number, also as text, its whole name, or any of its synonyms; capitals and white
            space do not matter.

        Raises
        ------
        ValueError
            If there is none, or more than one; the message names near ones.
        """
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise ValueError(f"class_label must be a class's name or number, got {label!r}")
        if isinstance(label, int) or label.strip().isdecimal():
            number = int(label)
            if number not in self.names:
                raise ValueError(f"class_label: there is no class {number}; {self._range()}")
            return number
        asked = _plain(label)
        if not asked:
            raise ValueError("class_label is empty: choose a class")
        for numbers in (self._whole.get(asked), self._synonyms.get(asked)):
            if numbers and len(numbers) == 1:
                return numbers[0]
            if numbers:
                which = " or ".join(f"{number} ({self.names[number]})" for number in numbers)
                raise ValueError(f"class_label {label!r} names several classes: choose {which}")
        raise ValueError(f"class_label: there is no class {label[:60]!r}; {self._near(asked)}")

    @property
    def _whole(self) -> dict[str, list[int]]:
        return _index((name, number) for number, name in self.names.items())

    @property
    def _synonyms(self) -> dict[str, list[int]]:
        return _index(
            (part, number) for number, name in self.names.items() for part in name.split(",")
        )

    def _range(self) -> str:
        return f"they go from {min(self.names)} to {max(self.names)}"

    def _near(self, asked: str) -> str:
        known = self._synonyms
        containing = [name for name in known if asked in name.split()]
        alike = difflib.get_close_matches(asked[:60], known, n=MAX_NEAR, cutoff=0.6)
        near = list(dict.fromkeys([*sorted(containing, key=len), *alike]))[:MAX_NEAR]
        if not near:
            return f"choose a name such as {', '.join(list(known)[:3])}, or a number: " + (
                self._range()
            )
        return f"did you mean {', '.join(near)}?"


@lru_cache
def imagenet() -> Labels:
    """Return ImageNet's classes."""
    lines = IMAGENET.read_text(encoding="utf-8").splitlines()
    return Labels(dict(enumerate(lines)))


def sorted_by_number(id2label: Mapping[Any, str]) -> list[tuple[Any, str]]:
    """Return the items of ``id2label`` in the order of their numbers."""
    return sorted(id2label.items(), key=lambda item: int(item[0]))


def _plain(name: str) -> str:
    return ", ".join(" ".join(part.split()).casefold() for part in name.split(",")).strip(", ")


def _index(pairs: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, number in pairs:
        numbers = found.setdefault(_plain(name), [])
        if number not in numbers:
            numbers.append(number)
    return found
