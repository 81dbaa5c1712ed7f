"""What words a model with a small grammar knows, and what to try instead of the others."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Words that hold a caption together.
GLUE = ("a", "an", "the")


@dataclass(frozen=True)
class Vocabulary:
    """The words of a model's captions, by kind; phrases such as "at sunset" stay whole.

    Attributes
    ----------
    finishes, colours, solids, grounds, times, relations : tuple of str
        What a caption may say.
    flat_tops : tuple of str
        Solids that something can stand on.
    """

    finishes: tuple[str, ...]
    colours: tuple[str, ...]
    solids: tuple[str, ...]
    grounds: tuple[str, ...]
    times: tuple[str, ...]
    relations: tuple[str, ...]
    flat_tops: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path) -> Vocabulary | None:
        """Read ``grammar.json`` from a model's folder; None if the model has no such grammar."""
        file = folder / "grammar.json"
        if not file.is_file():
            return None
        data = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{name: tuple(data[name]) for name in cls.__dataclass_fields__})

    @property
    def words(self) -> frozenset[str]:
        """Every single word that the model has learned."""
        kinds = (
            self.finishes,
            self.colours,
            self.solids,
            self.grounds,
            self.times,
            self.relations,
        )
        phrases = " ".join(phrase for kind in kinds for phrase in kind)
        return frozenset([*phrases.split(), "on", "a"])

    def split(self, prompt: str) -> tuple[list[str], list[str]]:
        """Return the prompt's (known, unknown) words, each once, in the order they come."""
        words = list(dict.fromkeys(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", prompt.lower())))
        known = [word for word in words if word in self.words]
        unknown = [word for word in words if word not in self.words and word not in GLUE]
        return known, unknown

    def suggest(self, word: str) -> tuple[str, ...]:
        """Return what to try instead of an unknown word: words spelt alike, else the solids."""
        choices = sorted(word for word in self.words if len(word) > 2)
        alike = difflib.get_close_matches(word, choices, n=2, cutoff=0.7)
        return tuple(alike) or self.solids

    def compose(
        self,
        first: Sequence[str],
        ground: str,
        time: str,
        relation: str | None = None,
        second: Sequence[str] | None = None,
    ) -> str:
        """Write a caption.

        Parameters
        ----------
        first, second : sequence of str
            (finish, colour, solid); the second only with a relation.
        ground, time : str
            Of the grammar.
        relation : str, optional
            Reads "first *relation* second".

        Raises
        ------
        ValueError
            If something would stand on a solid without a flat top.
        """
        text = f"a {' '.join(first)}"
        if relation and second:
            if relation == "on top of" and second[2] not in self.flat_tops:
                raise ValueError(
                    f"nothing stands on a {second[2]}; choose {' or '.join(self.flat_tops)} below"
                )
            text += f" {relation} a {' '.join(second)}"
        return f"{text} on {ground} {time}"
