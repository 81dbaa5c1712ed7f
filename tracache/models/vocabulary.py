"""What words a model with a small grammar knows, what it reads for near ones, and what to try."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracache.models.spec import ModelSpec
from tracache.settings import Settings

#: Words that hold a caption together.
GLUE = ("a", "an", "and", "the", "with")
_WORD = r"[^\W_]+(?:['’-][^\W_]+)*"
#: What may stand before a place or a time; the grammars know one for each.
_BEFORE = r"(?:on|in|at|by|over|during|under|near|beside)(?: an?| the)?"


class Vocabulary:
    """Words of a model's captions, whatever its grammar; phrases such as "at sunset" stay whole."""

    #: What the picture is of; tried where nothing is spelt alike.
    solids: tuple[str, ...]
    #: Where that may be.
    grounds: tuple[str, ...]
    #: Word or phrase of the grammar → what is read as it.
    near: Mapping[str, tuple[str, ...]]

    @property
    def phrases(self) -> tuple[str, ...]:
        """Whatever a caption may say."""
        raise NotImplementedError

    @property
    def words(self) -> frozenset[str]:
        """Every single word that the model has learned."""
        return frozenset([*" ".join(self.phrases).split(), "on", "a"])

    @property
    def places(self) -> tuple[str, ...]:
        """Whatever a caption may end with: where, and when."""
        return tuple(f"on {ground}" for ground in self.grounds)

    def understand(self, prompt: str) -> str:
        """Return a prompt as the model reads it: near words as those that it has learned.

        What holds words together is set right along with them ("by the lake" is "on water"), and
        several of a solid are one. Words that are not near any stay. A prompt with nothing to be
        understood comes back as it is.
        """
        plain = text = " ".join(re.findall(_WORD, prompt.lower()))
        own = {solid: (solid,) for solid in self.solids}
        read = {near: word for words in (self.near, own) for word in words for near in words[word]}
        for near in sorted(read, key=len, reverse=True):
            text = re.sub(rf"\b{re.escape(near)}(?:e?s)?\b", read[near], text)
        for place in self.places:
            what = place.split(" ", 1)[1]
            text = re.sub(rf"\b{_BEFORE} {what}\b", place, text)
        if text == plain:
            return prompt
        return re.sub(r"\b(?:an|the|one|some)\b(?! left\b| right\b)", "a", text)

    def split(self, prompt: str) -> tuple[list[str], list[str]]:
        """Return the prompt's (known, unknown) words, each once, in the order they come."""
        words = list(dict.fromkeys(re.findall(_WORD, prompt.lower())))
        known = [word for word in words if word in self.words]
        unknown = [word for word in words if word not in self.words and word not in GLUE]
        return known, unknown

    def suggest(self, word: str) -> tuple[str, ...]:
        """Return what to try instead of an unknown word: words spelt alike, else the solids."""
        choices = sorted(word for word in self.words if len(word) > 2)
        alike = difflib.get_close_matches(word, choices, n=2, cutoff=0.7)
        return tuple(alike) or self.solids


@dataclass(frozen=True)
class SceneWords(Vocabulary):
    """Of pictures of one or two solids.

    Attributes
    ----------
    finishes, colours, solids, grounds, times, relations : tuple of str
        What a caption may say.
    flat_tops : tuple of str
        Solids that something can stand on.
    near : mapping of str to tuple of str
        What is read as a word or phrase of these.
    """

    finishes: tuple[str, ...]
    colours: tuple[str, ...]
    solids: tuple[str, ...]
    grounds: tuple[str, ...]
    times: tuple[str, ...]
    relations: tuple[str, ...]
    flat_tops: tuple[str, ...]
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def places(self) -> tuple[str, ...]:
        """Whatever a caption may end with: where, and when."""
        return (*super().places, *self.times)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Whatever a caption may say."""
        kinds = (self.finishes, self.colours, self.solids, self.grounds, self.times, self.relations)
        return tuple(phrase for kind in kinds for phrase in kind)

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


@dataclass(frozen=True)
class ClipWords(Vocabulary):
    """Of clips in which a solid moves, perhaps around another.

    Attributes
    ----------
    colours, solids, grounds, centres : tuple of str
        What a caption may say; centres are what is orbited.
    motions : tuple of (str, str)
        Verb and direction.
    movers : dict of str to tuple of str
        Verb → solids that can do it.
    single, orbit : str
        The sentences, to be formatted.
    near : mapping of str to tuple of str
        What is read as a word or phrase of these.
    """

    colours: tuple[str, ...]
    solids: tuple[str, ...]
    grounds: tuple[str, ...]
    motions: tuple[tuple[str, str], ...]
    movers: dict[str, tuple[str, ...]]
    centres: tuple[str, ...]
    single: str
    orbit: str
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Whatever a caption may say."""
        motions = tuple(" ".join(motion) for motion in self.motions)
        return (*self.colours, *self.solids, *self.grounds, *motions, "around")

    def compose(
        self,
        colour: str,
        solid: str,
        motion: Sequence[str],
        ground: str,
        centre: Sequence[str] | None = None,
    ) -> str:
        """Write a caption.

        Parameters
        ----------
        colour, solid, ground : str
            Of the grammar.
        motion : (str, str)
            Verb and direction.
        centre : (str, str), optional
            Colour and solid of what is orbited; only for orbits.

        Raises
        ------
        ValueError
            If the solid cannot do that, or two solids of an orbit have one colour.
        """
        verb, direction = motion
        can = self.movers[verb]
        if solid not in can:
            raise ValueError(f"no {solid} {verb} here; choose {' or '.join(can)}")
        if verb != "orbits":
            return self.single.format(
                colour=colour, solid=solid, verb=verb, direction=direction, ground=ground
            )
        other, around = centre or (self.colours[0], self.centres[0])
        if other == colour:
            raise ValueError("the two solids of an orbit differ in colour; choose another")
        first, second = self.orbit.split(" around ")
        return (
            first.format(colour=colour, solid=solid, direction=direction)
            + " around "
            + second.format(colour=other, solid=around, ground=ground)
        )


def vocabulary_of(spec: ModelSpec, settings: Settings) -> Vocabulary | None:
    """Return the vocabulary of an embedded model; None if a model reads whatever is written."""
    return load_vocabulary(settings.assets / spec.source) if spec.embedded else None


@lru_cache
def load_vocabulary(folder: Path) -> Vocabulary | None:
    """Read ``grammar.json`` from a model's folder; None if the model has no such grammar."""
    file = folder / "grammar.json"
    if not file.is_file():
        return None
    data = json.loads(file.read_text(encoding="utf-8"))
    kind = ClipWords if "motions" in data else SceneWords
    return kind(**{name: _freeze(data[name]) for name in kind.__dataclass_fields__})


def _freeze(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_freeze, value))
    return {k: _freeze(v) for k, v in value.items()} if isinstance(value, dict) else value
