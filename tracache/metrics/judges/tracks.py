"""What a track says about a motion: its kind, direction, travel and turn. Pure functions.

Places are in widths of the frame, x to the right and y downwards, one row per frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SQUASH = 0.47
"""Height over width of an orbit on the picture: the camera looks down at a slant."""
HOP = 0.06
"""How far, in widths, something rises and falls in the least hop that counts."""
REST = 0.08
"""Less travel than this is rest."""
ORBIT, SPIN = 60.0, 45.0
"""Degrees around another object, or of its own stripe, from which on something orbits or rolls."""


@dataclass(frozen=True)
class Track:
    """One object through a clip.

    Attributes
    ----------
    colour, solid : str
        What it is.
    places : numpy.ndarray
        (frames, 2), where its centre is.
    stripe : numpy.ndarray or None
        (frames,) angle of its stripe in radians, without jumps; ``None`` if it has no stripe.
    """

    colour: str
    solid: str
    places: np.ndarray
    stripe: np.ndarray | None = None


@dataclass(frozen=True)
class Motion:
    """What moves, how, which way, and how much.

    Attributes
    ----------
    colour : str
        Colour of what moves.
    verb : str
        ``slides``, ``rolls``, ``bounces``, ``orbits`` or ``rests``.
    direction : str
        ``to the left``, ``to the right``, ``clockwise``, ``counterclockwise``; empty at rest.
    travel : float
        Distance from start to end along x, in widths.
    degrees : float
        How far around the other object; 0 where there is none.
    jump : float
        Largest step between two frames, in widths.
    """

    colour: str
    verb: str
    direction: str
    travel: float
    degrees: float
    jump: float


def travel(places: np.ndarray) -> float:
    """Signed way along x from the first two frames to the last two."""
    return float(places[-2:, 0].mean() - places[:2, 0].mean())


def extent(places: np.ndarray) -> float:
    """Largest side of the box around a track."""
    return float(np.ptp(places, axis=0).max())


def jump(places: np.ndarray) -> float:
    """Largest step between two frames."""
    return float(np.linalg.norm(np.diff(places, axis=0), axis=1).max())


def hops(places: np.ndarray, least: float = HOP) -> int:
    """How often a track rises by ``least`` or more and falls by as much again."""
    height, count = -places[:, 1], 0
    low = high = height[0]
    rising = False
    for h in height:
        if rising:
            high = max(high, h)
            if high - h >= least:
                rising, low, count = False, h, count + 1
        else:
            low = min(low, h)
            if h - low >= least:
                rising, high = True, h
    return count


def sweep(mover: np.ndarray, centre: np.ndarray, squash: float = SQUASH) -> float:
    """Degrees that one track goes around another, positive clockwise as seen from above."""
    x, y = (mover - centre).T
    angle = np.unwrap(np.arctan2(y / squash, x))
    return float(np.degrees(angle[-1] - angle[0]))


def motion(tracks: list[Track]) -> Motion:
    """Read the motion off one track or two.

    Raises
    ------
    ValueError
        If there is no track.
    """
    if not tracks:
        raise ValueError("nothing moves where nothing is")
    mover, *others = sorted(tracks, key=lambda track: -extent(track.places))
    way, step = travel(mover.places), jump(mover.places)
    degrees = sweep(mover.places, others[0].places) if others else 0.0
    words = {"colour": mover.colour, "travel": abs(way), "degrees": abs(degrees), "jump": step}
    if abs(degrees) >= ORBIT:
        turn = "clockwise" if degrees > 0 else "counterclockwise"
        return Motion(verb="orbits", direction=turn, **words)  # type: ignore[arg-type]
    if abs(way) < REST:
        return Motion(verb="rests", direction="", **words)  # type: ignore[arg-type]
    direction = "to the right" if way > 0 else "to the left"
    verb = "slides"
    if hops(mover.places):
        verb = "bounces"
    elif mover.stripe is not None:
        turned = np.degrees(mover.stripe[-1] - mover.stripe[0]) * np.sign(way)
        verb = "rolls" if turned >= SPIN else "slides"
    return Motion(verb=verb, direction=direction, **words)  # type: ignore[arg-type]
