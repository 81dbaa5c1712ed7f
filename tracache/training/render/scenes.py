"""The caption grammar: what a scene is, how it is written down and read back.

A caption has one of two forms::

    a shiny red sphere on water at sunset
    a matte yellow cone left of a shiny blue cube on snow in daylight

The grammar is pure Python, so the training code, the tests and whoever writes prompts share it
without importing torch or the renderer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tracache.settings import assets_folder
from tracache.training.render.synonyms import near_words

FINISHES = ("shiny", "matte")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SOLIDS = ("sphere", "cube", "cylinder", "cone", "ring")
GROUNDS = ("grass", "sand", "snow", "water")
TIMES = ("in daylight", "at sunset", "at night")
RELATIONS = ("left of", "right of", "on top of")
FLAT_TOPS = ("cube", "cylinder")
"""Solids that something can stand on: ``on top of`` needs one of these below."""

ASSETS = assets_folder()
"""The committed assets: weights, prompts and reports."""

PROMPT_LISTS = ("heldout.txt", "tuning.txt")
"""The committed lists whose captions training must never see."""

_OBJECT = rf"a ({'|'.join(FINISHES)}) ({'|'.join(COLOURS)}) ({'|'.join(SOLIDS)})"
_CAPTION = re.compile(
    rf"{_OBJECT}(?: ({'|'.join(RELATIONS)}) {_OBJECT})? "
    rf"on ({'|'.join(GROUNDS)}) ({'|'.join(TIMES)})"
)


@dataclass(frozen=True)
class Object:
    """One solid: its finish, colour and shape, each a word of the grammar."""

    finish: str
    colour: str
    solid: str

    def __str__(self) -> str:
        return f"a {self.finish} {self.colour} {self.solid}"


@dataclass(frozen=True)
class Scene:
    """One or two objects on a ground at a time of day.

    ``relation`` and ``second`` are both given (a pair) or both ``None`` (a single object);
    the relation reads "first *relation* second".
    """

    first: Object
    ground: str
    time: str
    relation: str | None = None
    second: Object | None = None

    def __post_init__(self) -> None:
        if (self.relation is None) != (self.second is None):
            raise ValueError("a pair needs both a relation and a second object")
        if self.relation == "on top of" and self.second.solid not in FLAT_TOPS:  # type: ignore[union-attr]
            raise ValueError(f"nothing stands on top of a {self.second.solid}")  # type: ignore[union-attr]

    @property
    def is_pair(self) -> bool:
        """Whether the scene holds two objects."""
        return self.second is not None

    @property
    def caption(self) -> str:
        """The scene in words."""
        pair = f" {self.relation} {self.second}" if self.is_pair else ""
        return f"{self.first}{pair} on {self.ground} {self.time}"

    @classmethod
    def from_caption(cls, caption: str) -> Scene:
        """Read a caption back.

        Raises
        ------
        ValueError
            If the text is not a sentence of the grammar.
        """
        finish, colour, solid, relation, *second, ground, time = read_words(_CAPTION, caption)
        other = Object(*second) if relation else None
        return cls(Object(finish, colour, solid), ground, time, relation, other)


def read_words(grammar: re.Pattern[str], caption: str) -> tuple[str, ...]:
    """The words that a caption fills a grammar's places with; case and spaces do not matter.

    Raises
    ------
    ValueError
        If the text is not a sentence of the grammar.
    """
    match = grammar.fullmatch(" ".join(caption.lower().split()))
    if match is None:
        raise ValueError(f"not a caption of the grammar: {caption!r}")
    return match.groups()


def sample_scene(rng: random.Random, pair: bool) -> Scene:
    """Draw a scene uniformly over the words of the grammar.

    Parameters
    ----------
    rng : random.Random
        The only source of randomness.
    pair : bool
        Two objects and a relation, or one object.
    """

    def thing(solids: tuple[str, ...] = SOLIDS) -> Object:
        return Object(rng.choice(FINISHES), rng.choice(COLOURS), rng.choice(solids))

    ground, time = rng.choice(GROUNDS), rng.choice(TIMES)
    if not pair:
        return Scene(thing(), ground, time)
    relation = rng.choice(RELATIONS)
    second = thing(FLAT_TOPS if relation == "on top of" else SOLIDS)
    return Scene(thing(), ground, time, relation, second)


def sample_scenes(
    count: int, seed: int, pair_share: float = 0.5, exclude: Iterable[str] = ()
) -> list[Scene]:
    """Draw ``count`` scenes (repeats allowed), none of whose captions is in ``exclude``."""
    rng, banned = random.Random(seed), frozenset(exclude)
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(rng, pair=rng.random() < pair_share)
        if scene.caption not in banned:
            scenes.append(scene)
    return scenes


def make_prompt_lists(seed: int = 2026) -> dict[str, list[str]]:
    """Draw the committed prompt lists: distinct captions, the single objects first.

    Returns
    -------
    dict
        ``heldout.txt`` (160 single objects, 96 pairs) and ``tuning.txt`` (40 and 24), disjoint.
    """
    rng, seen = random.Random(seed), set[str]()
    lists: dict[str, list[str]] = {}
    for name, singles, pairs in zip(PROMPT_LISTS, (160, 40), (96, 24), strict=True):

        def draw(i: int, singles: int = singles) -> str:
            return sample_scene(rng, pair=i >= singles).caption

        lists[name] = draw_distinct(draw, singles + pairs, seen)
    return lists


def draw_distinct(draw: Callable[[int], str], count: int, seen: set[str]) -> list[str]:
    """Draw captions, the next given how many there are, until ``count`` were not ``seen`` yet."""
    captions: list[str] = []
    while len(captions) < count:
        caption = draw(len(captions))
        if caption not in seen:
            seen.add(caption)
            captions.append(caption)
    return captions


def read_prompts(name: str, folder: Path | None = None) -> list[str]:
    """Read one of the committed lists, one caption a line."""
    text = ((folder or ASSETS / "prompts") / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def excluded_captions(names: Iterable[str] = PROMPT_LISTS) -> frozenset[str]:
    """All captions that training must not see: the held-out and the tuning list together."""
    return frozenset(caption for name in names for caption in read_prompts(name))


def vocabulary() -> list[str]:
    """Every word a caption can hold, sorted: the text encoder's vocabulary without specials."""
    phrases = (FINISHES, COLOURS, SOLIDS, GROUNDS, TIMES, RELATIONS, ("a", "on"))
    return sorted({word for group in phrases for phrase in group for word in phrase.split()})


def grammar() -> dict[str, object]:
    """The grammar as plain data: what a page needs to offer a prompt builder."""
    return {
        "finishes": list(FINISHES),
        "colours": list(COLOURS),
        "solids": list(SOLIDS),
        "grounds": list(GROUNDS),
        "times": list(TIMES),
        "relations": list(RELATIONS),
        "flat_tops": list(FLAT_TOPS),
        "single": "a {finish} {colour} {solid} on {ground} {time}",
        "pair": "a {finish} {colour} {solid} {relation} a {finish} {colour} {solid} "
        "on {ground} {time}",
        "near": near_words((*FINISHES, *COLOURS, *SOLIDS, *GROUNDS, *TIMES, *RELATIONS)),
    }
