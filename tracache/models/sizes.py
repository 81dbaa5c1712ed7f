"""What sizes of videos may be asked of a model: frames, and resolutions and ratios by name."""

from __future__ import annotations

from dataclasses import dataclass

from tracache.media import VideoSize


@dataclass(frozen=True)
class VideoSizes:
    """The sizes of one model.

    A resolution is an area, that of its 16:9 frame. A ratio is height to width, so "9:16" is
    landscape. Sides follow from the area, the ratio, and even numbers.

    Attributes
    ----------
    resolutions : dict of str to int
        Name → height of the 16:9 frame, pixels.
    ratios : tuple of str
        Height to width.
    max_frames : int
        Most frames.
    frames, resolution, ratio : int, str, str
        What is taken where nothing is said.
    """

    resolutions: dict[str, int]
    ratios: tuple[str, ...]
    max_frames: int
    frames: int
    resolution: str
    ratio: str

    def size_of(self, resolution: str | None = None, ratio: str | None = None) -> tuple[int, int]:
        """Return height and width in pixels.

        Raises
        ------
        ValueError
            If either is unknown; the message lists what there is.
        """
        resolution = self.resolution if resolution is None else resolution
        ratio = self.ratio if ratio is None else ratio
        if resolution not in self.resolutions:
            known = ", ".join(self.resolutions)
            raise ValueError(f"unknown resolution {resolution!r}; choose from {known}")
        if ratio not in self.ratios:
            known = ", ".join(self.ratios)
            raise ValueError(f"unknown aspect ratio {ratio!r}; choose from {known}")
        short = self.resolutions[resolution]
        tall, wide = (int(part) for part in ratio.split(":"))
        area = short * _even(short * 16 / 9)
        height = _even((area * tall / wide) ** 0.5)
        return height, _even(area / height)

    def name_of(self, size: VideoSize) -> tuple[str, str] | None:
        """Return the resolution and ratio of a size; None if it is not one of :meth:`size_of`."""
        names = ((resolution, ratio) for resolution in self.resolutions for ratio in self.ratios)
        asked = (size.height, size.width)
        return next((name for name in names if self.size_of(*name) == asked), None)

    def name_or_default(self, size: VideoSize) -> tuple[str, str]:
        """Return the resolution and ratio of a size, or the usual ones if it has no names."""
        return self.name_of(size) or (self.resolution, self.ratio)


def _even(length: float) -> int:
    return 2 * round(length / 2)
