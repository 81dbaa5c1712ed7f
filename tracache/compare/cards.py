"""Comparisons that each make one point, chosen by measurement to make it, and what they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from tracache.compare.arm import PUBLISHED, REFERENCE, TRACACHE
from tracache.compare.report import ArmResult
from tracache.compare.request import Request, make_request
from tracache.compare.serialise import given_of
from tracache.compare.words import VERDICTS

#: Whether something holds of arms by name.
Claim = Callable[[dict[str, ArmResult]], bool]

#: A part of a picture: left, top, right and bottom, as shares of its width and height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Card:
    """One comparison, what it promises, and whether it kept it.

    Attributes
    ----------
    id, title, about : str
        A name for files, one for people, and a plain sentence of what to expect.
    given : dict
        What :func:`~tracache.compare.request.make_request` makes the comparison of.
    pictures : dict of str to str
        Arms that the card shows, as they were recorded, each with a word or two.
    claim : callable
        Whether the comparison shows what it promises.
    kept, broken : str
        What is said beside the result if it does, and if it does not.
    """

    id: str
    title: str
    about: str
    given: dict[str, Any] = field(repr=False)
    pictures: dict[str, str] = field(repr=False)
    claim: Claim
    kept: str
    broken: str

    def request(self) -> Request:
        """Return the comparison."""
        return make_request(**self.given, reuse_baseline=True)

    def holds(self, arms: Sequence[ArmResult]) -> bool:
        """Whether the results of all arms of the comparison show what it promises."""
        return self.claim({result.arm: result for result in arms})

    def verdict(self, arms: Sequence[ArmResult]) -> str:
        """Say what the comparison has shown; honest where it did not come as promised."""
        return self.kept if self.holds(arms) else self.broken

    def file(self, arm: str) -> str:
        """Name of the recorded picture of an arm, beside the examples."""
        return f"card-{self.id}-{arm}.webp"


def colour_in(image: Any, box: Box, channel: int) -> float:
    """Return the mean of red (0), green (1) or blue (2) in a part of an image, 0 … 255."""
    assert isinstance(image, Image.Image)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    part = pixels[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return float(part[..., channel].mean())


def _looks_identical(arms: dict[str, ArmResult]) -> bool:
    return arms[TRACACHE].psnr >= VERDICTS[0][0]


def _few_break_more(arms: dict[str, ArmResult]) -> bool:
    """TraCache shows a difference; fewer steps are farther off, and less red where it is purple."""
    purple = [
        colour_in(arms[arm].image, _ON_TOP, 0) for arm in (REFERENCE, TRACACHE, "fewer-steps")
    ]
    keeps, turns = abs(purple[1] - purple[0]), purple[0] - purple[2]
    nearer = arms[TRACACHE].psnr > arms["fewer-steps"].psnr + 3
    return nearer and arms[TRACACHE].psnr < VERDICTS[1][0] and turns > 15 > 2 * keeps


def _order_keeps_red(arms: dict[str, ArmResult]) -> bool:
    """Blue in the ball: little more where the order is chosen, much more where it is fixed."""
    blue = {arm: colour_in(result.image, _BALL, 2) for arm, result in arms.items()}
    more = {arm: value - blue[REFERENCE] for arm, value in blue.items()}
    return abs(more[PUBLISHED]) < 10 and min(more["taylorseer"], more["tracache-fixed"]) > 20


def _fewer_steps_win(arms: dict[str, ArmResult]) -> bool:
    return arms["fewer-steps"].psnr > arms[TRACACHE].psnr


#: Where the sphere on top of the cube is, and the ball on the water.
_ON_TOP, _BALL = (0.36, 0.18, 0.62, 0.42), (0.32, 0.28, 0.72, 0.62)

_RIVALS = (TRACACHE, "fewer-steps")
_PAIR = {TRACACHE: "TraCache", "fewer-steps": "fewer"}

CARDS = {
    card.id: card
    for card in (
        Card(
            "identical",
            "Looks identical",
            "Twelve of twenty steps skipped: find the difference.",
            {
                "model": "scenes-t2i",
                "prompt": "a matte green cone left of a shiny white sphere on sand in daylight",
                "seed": 0,
                "compute": 8,
                "arms": _RIVALS,
            },
            {REFERENCE: "in full", TRACACHE: "TraCache"},
            _looks_identical,
            "Twelve of twenty steps were skipped, and there is no difference to see.",
            "This time a difference can be seen.",
        ),
        Card(
            "push",
            "Push it",
            "Four of twenty steps begin to break it; fewer steps break it more.",
            {
                "model": "scenes-t2i",
                "prompt": "a shiny purple sphere on top of a matte orange cube on grass at sunset",
                "seed": 0,
                "compute": 4,
                "arms": _RIVALS,
            },
            _PAIR,
            _few_break_more,
            "A fifth of the work begins to show. Fewer steps, for the same work, turn the purple "
            "sphere blue.",
            "This time fewer steps did not break more.",
        ),
        Card(
            "order",
            "Why the order is chosen",
            "A fixed order turns the red ball magenta; a chosen one does not.",
            {
                "model": "scenes-t2i",
                "prompt": "a shiny red sphere on water at sunset",
                "seed": 0,
                "stride": 5,
                "max_order": 3,
                "arms": (PUBLISHED, "taylorseer", "tracache-fixed"),
            },
            {PUBLISHED: "chosen", "tracache-fixed": "fixed"},
            _order_keeps_red,
            "With the order chosen at each step the ball stays red. Always at the highest order, "
            "TaylorSeer's and ours, it turns magenta.",
            "This time the order made no such difference.",
        ),
        Card(
            "no-help",
            "Where it does not help",
            "Here, simply taking fewer steps comes nearer.",
            {
                "model": "scenes-t2i",
                "prompt": "a matte blue cube on snow in daylight",
                "seed": 0,
                "compute": 6,
                "arms": _RIVALS,
            },
            _PAIR,
            _fewer_steps_win,
            "Fewer steps, for the same work, came nearer here. What holds on average stands below.",
            "This time TraCache came nearer.",
        ),
    )
}


def card_of(request: Request) -> Card | None:
    """Return the card whose comparison a request is, however it was asked for."""
    given = given_of(request)
    return next((card for card in CARDS.values() if _given(card.id) == given), None)


@cache
def _given(card_id: str) -> dict[str, Any]:
    return given_of(CARDS[card_id].request())
