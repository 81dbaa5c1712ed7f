"""Heights and widths of videos by resolution and aspect ratio.

A resolution is an area, that of its 16:9 frame. A ratio is height to width, so "9:16" is landscape.
Of the published table the entry for 480p at 9:16 is known and kept (480 × 854); the others follow
from its rule: the area, the ratio, and even numbers.
"""

from __future__ import annotations

#: Name → height of the 16:9 frame, pixels.
RESOLUTIONS = {"144p": 144, "240p": 240, "360p": 360, "480p": 480, "720p": 720}

#: Height to width.
RATIOS = ("9:16", "16:9", "3:4", "4:3", "1:1", "1:2", "2:1", "9:21", "21:9")

DEFAULT_RESOLUTION, DEFAULT_RATIO = "480p", "9:16"
DEFAULT_FRAMES = 51
#: 16 seconds, the longest that the published model was trained on.
MAX_FRAMES = 408


def size_of(
    resolution: str = DEFAULT_RESOLUTION, aspect_ratio: str = DEFAULT_RATIO
) -> tuple[int, int]:
    """Return height and width in pixels.

    Raises
    ------
    ValueError
        If either is unknown; the message lists what there is.
    """
    if resolution not in RESOLUTIONS:
        raise ValueError(f"unknown resolution {resolution!r}; choose from {', '.join(RESOLUTIONS)}")
    if aspect_ratio not in RATIOS:
        raise ValueError(f"unknown aspect ratio {aspect_ratio!r}; choose from {', '.join(RATIOS)}")
    short = RESOLUTIONS[resolution]
    tall, wide = (int(part) for part in aspect_ratio.split(":"))
    area = short * _even(short * 16 / 9)
    height = _even((area * tall / wide) ** 0.5)
    return height, _even(area / height)


def name_of(height: int, width: int) -> tuple[str, str] | None:
    """Return the resolution and ratio of a size; None if it is not one of :func:`size_of`."""
    names = ((resolution, ratio) for resolution in RESOLUTIONS for ratio in RATIOS)
    return next((name for name in names if size_of(*name) == (height, width)), None)


def _even(length: float) -> int:
    return 2 * round(length / 2)
