"""The caption grammar of clips: what moves, how, which way; written down and read back.

A caption has one of two forms::

    a red cube slides to the right on grass
    a pink sphere orbits clockwise around a blue cone on snow

Every motion has a direction and the caption says it, so that a clip can be judged by its words.
Pure Python, like the grammar of the pictures.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tracache.training.render.scenes import draw_distinct, read_words
from tracache.training.render.synonyms import near_words

COLOURS = ("red", "yellow", "green", "blue", "purple", "pink")
SOLIDS = ("sphere", "cube", "cylinder", "cone", "ring")
GROUNDS = ("grass", "sand", "snow")
WAYS = ("to the left", "to the right")
TURNS = ("clockwise", "counterclockwise")
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "slides": WAYS,
    "rolls": WAYS,
    "bounces": WAYS,
    "orbits": TURNS,
}
"""The verbs and the directions each can have; orbits are seen from above."""
MOTIONS = tuple((verb, way) for verb, ways in DIRECTIONS.items() for way in ways)
MOVERS: dict[str, tuple[str, ...]] = {
    "slides": ("cube", "cylinder", "cone"),
    "rolls": ("sphere", "ring"),
    "bounces": ("sphere", "cube", "cylinder", "cone"),
    "orbits": ("sphere", "cube", "cone"),
}
"""Which solids do what. What rolls has a stripe."""
CENTRES = ("cube", "cylinder", "cone")
"""What is orbited."""
ORBIT_SHARE = 0.4
"""Share of orbits among the training clips: two objects take more learning than one."""

PROMPT_LISTS = ("clips-heldout.txt", "clips-tuning.txt")
"""The committed lists whose captions training must never see."""

_THING = rf"a ({'|'.join(COLOURS)}) ({'|'.join(SOLIDS)})"
_CAPTION = re.compile(
    rf"{_THING} ({'|'.join(DIRECTIONS)}) ({'|'.join(WAYS + TURNS)})"
    rf"(?: around {_THING})? on ({'|'.join(GROUNDS)})"
)


@dataclass(frozen=True)
class Thing:
    """One solid and its colour."""

    colour: str
    solid: str

    def __str__(self) -> str:
        return f"a {self.colour} {self.solid}"


@dataclass(frozen=True)
class Clip:
    """What happens in a clip; ``centre`` is what is orbited, ``None`` for other motions."""

    mover: Thing
    verb: str
    direction: str
    ground: str
    centre: Thing | None = None

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS[self.verb]:
            raise ValueError(f"nothing {self.verb} {self.direction}")
        if self.mover.solid not in MOVERS[self.verb]:
            raise ValueError(f"no {self.mover.solid} {self.verb}")
        if (self.verb == "orbits") != (self.centre is not None):
            raise ValueError("an orbit, and nothing else, goes around another object")
        if self.centre is not None:
            if self.centre.solid not in CENTRES:
                raise ValueError(f"nothing orbits around a {self.centre.solid}")
            if self.centre.colour == self.mover.colour:
                raise ValueError("the two objects of an orbit differ in colour")

    @property
    def things(self) -> tuple[Thing, ...]:
        """The mover, then the centre if there is one."""
        return (self.mover,) if self.centre is None else (self.mover, self.centre)

    @property
    def caption(self) -> str:
        """The clip in words."""
        around = "" if self.centre is None else f" around {self.centre}"
        return f"{self.mover} {self.verb} {self.direction}{around} on {self.ground}"

    @classmethod
    def from_caption(cls, caption: str) -> Clip:
        """Read a caption back.

        Raises
        ------
        ValueError
            If the text is not a sentence of the grammar.
        """
        colour, solid, verb, direction, *centre, ground = read_words(_CAPTION, caption)
        around = Thing(*centre) if centre[0] else None
        return cls(Thing(colour, solid), verb, direction, ground, around)


def sample_clip(rng: random.Random, verb: str, direction: str) -> Clip:
    """Draw a clip of one motion uniformly over the other words of the grammar."""
    mover = Thing(rng.choice(COLOURS), rng.choice(MOVERS[verb]))
    ground, centre = rng.choice(GROUNDS), None
    if verb == "orbits":
        others = [colour for colour in COLOURS if colour != mover.colour]
        centre = Thing(rng.choice(others), rng.choice(CENTRES))
    return Clip(mover, verb, direction, ground, centre)


def sample_clips(
    count: int, seed: int, exclude: Iterable[str] = (), orbit_share: float = ORBIT_SHARE
) -> list[Clip]:
    """Draw ``count`` clips (repeats allowed), none of whose captions is in ``exclude``."""
    rng, banned = random.Random(seed), frozenset(exclude)
    plain = [verb for verb in DIRECTIONS if verb != "orbits"]
    clips: list[Clip] = []
    while len(clips) < count:
        verb = "orbits" if rng.random() < orbit_share else rng.choice(plain)
        clip = sample_clip(rng, verb, rng.choice(DIRECTIONS[verb]))
        if clip.caption not in banned:
            clips.append(clip)
    return clips


def make_prompt_lists(seed: int = 2026) -> dict[str, list[str]]:
    """Draw the committed prompt lists: distinct captions, the motions in turn.

    Returns
    -------
    dict
        ``clips-heldout.txt`` (64, each of the eight motions eight times) and ``clips-tuning.txt``
        (16), disjoint.
    """
    rng, seen = random.Random(seed), set[str]()
    lists: dict[str, list[str]] = {}
    for name, rounds in zip(PROMPT_LISTS, (8, 2), strict=True):
        lists[name] = draw_distinct(
            lambda i: sample_clip(rng, *MOTIONS[i % len(MOTIONS)]).caption,
            rounds * len(MOTIONS),
            seen,
        )
    return lists


def vocabulary() -> list[str]:
    """Every word a caption can hold, sorted: the text encoder's vocabulary without specials."""
    phrases = (COLOURS, SOLIDS, GROUNDS, tuple(DIRECTIONS), WAYS, TURNS, ("a", "on", "around"))
    return sorted({word for group in phrases for phrase in group for word in phrase.split()})


def grammar() -> dict[str, object]:
    """The grammar as plain data: what a page needs to offer a prompt builder."""
    return {
        "colours": list(COLOURS),
        "solids": list(SOLIDS),
        "grounds": list(GROUNDS),
        "motions": [list(motion) for motion in MOTIONS],
        "movers": {verb: list(solids) for verb, solids in MOVERS.items()},
        "centres": list(CENTRES),
        "single": "a {colour} {solid} {verb} {direction} on {ground}",
        "orbit": "a {colour} {solid} orbits {direction} around a {colour} {solid} on {ground}",
        "near": near_words((*COLOURS, *SOLIDS, *GROUNDS, *map(" ".join, MOTIONS), *WAYS)),
    }
