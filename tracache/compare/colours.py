"""The one palette: each colour means one thing, in figures, on the page, in light and in dark.

Teal is what a step did: dark computed, light skipped. From amber to violet run the orders of a
prediction, each darker than the last where the page is light. The arms are neither. Orders and
what is computed stand out from the page by 3 : 1 at least, and stay apart for the colour-blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracache.compare.arm import PUBLISHED, TRACACHE


@dataclass(frozen=True)
class Tone:
    """A colour as it is on a light page and on a dark one."""

    light: str
    dark: str


COMPUTED = Tone("#0f766e", "#2dd4bf")
SKIPPED = Tone("#7dd3c8", "#115e59")
#: Computed in part: between the two, and greyer.
PARTIAL = Tone("#5b8587", "#6ba7a5")

#: Orders 0, 1, 2, …
ORDERS = (
    Tone("#dd7705", "#ffda66"),
    Tone("#da4d31", "#fea340"),
    Tone("#bb294f", "#fd825f"),
    Tone("#91005e", "#fe5887"),
    Tone("#5b005a", "#d654c1"),
    Tone("#2b0043", "#995de9"),
)

#: Arms beside full compute that are often seen, each always in this colour. Figures know nothing
#: of the page, so one tone serves both.
ARMS = {
    TRACACHE: "#3b82f6",
    PUBLISHED: "#57a314",
    "fewer-steps": "#7f8794",
    "reuse": "#9d7200",
    "taylorseer": "#b473d1",
    "hicache": "#b65963",
}

#: Computed, in figures that know nothing of the page.
COMPUTED_ANYWHERE = "#12897f"

#: What is neither: axes, the truth that others are held against.
GREY = "#80868b"

#: Behind figures: the page's own fields.
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#1e293b"


def arm_colours(arms: Sequence[str]) -> list[str]:
    """Return a colour for each of some arms that are seen together.

    An arm's own where it has one; others take those that nobody there has, as long as there are.

    Parameters
    ----------
    arms : sequence of str
        Names, each once.
    """
    every = list(ARMS.values())
    free = [colour for arm, colour in ARMS.items() if arm not in arms]
    others = [arm for arm in arms if arm not in ARMS]
    lent = {arm: [*free, *every][i % (len(free) + len(every))] for i, arm in enumerate(others)}
    return [ARMS.get(arm) or lent[arm] for arm in arms]


def custom_properties() -> dict[str, Tone]:
    """Return every tone by the name that it has in style sheets."""
    named = {"computed": COMPUTED, "skipped": SKIPPED, "partial": PARTIAL}
    named |= {f"order-{n}": tone for n, tone in enumerate(ORDERS)}
    named |= {f"arm-{arm}": Tone(colour, colour) for arm, colour in ARMS.items()}
    named["grey"] = Tone(GREY, GREY)
    return {f"--tc-{name}": tone for name, tone in named.items()}


def style_sheet() -> str:
    """Return the palette as rules; a dark page has the class ``dark``."""

    def rule(where: str, tones: dict[str, str]) -> str:
        return where + " { " + " ".join(f"{k}: {v};" for k, v in tones.items()) + " }"

    tones = custom_properties()
    return "\n".join(
        (
            rule(":root", {name: tone.light for name, tone in tones.items()}),
            rule(".dark", {name: tone.dark for name, tone in tones.items()}),
        )
    )
