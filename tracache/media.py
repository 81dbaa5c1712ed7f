"""A generated video: frames and their speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL.Image import Image
from PIL.Image import fromarray as new_image


@dataclass(frozen=True)
class VideoSize:
    """What a video measures.

    Attributes
    ----------
    height, width : int
        Pixels.
    frames : int
        How many.
    fps : float
        Frames per second that the motion is made for.
    """

    height: int
    width: int
    frames: int
    fps: float


def pixels_of(size: int | VideoSize) -> int:
    """Return the pixels of a square image of that side, or of all frames of a video."""
    return size**2 if isinstance(size, int) else size.height * size.width * size.frames


@dataclass(frozen=True)
class Video:
    """Frames of one size, in order.

    Attributes
    ----------
    frames : tuple of Image
        One at least.
    fps : float
        Frames per second.
    """

    frames: tuple[Image, ...]
    fps: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame."""
        return self.frames[0].size

    def save(self, file: Path, repeat: int = 1) -> None:
        """Write H.264 (yuv420p, which every browser plays), the frames so many times over.

        Sides of odd length lose a row or column, as the format wants them even.
        """
        width, height = (side // 2 * 2 for side in self.size)
        frames = [np.asarray(f.convert("RGB"))[:height, :width] for f in self.frames] * repeat
        # Small videos keep their colours only at a low quantiser.
        iio.imwrite(
            file,
            np.stack(frames),
            plugin="FFMPEG",
            fps=self.fps,
            codec="libx264",
            macro_block_size=None,
            pixelformat="yuv420p",
            output_params=["-crf", "12"],
        )


#: What a model makes.
Picture = Image | Video


def strip(picture: Picture) -> Image:
    """Return an image as it is, a video as its frames side by side, without loss."""
    if not isinstance(picture, Video):
        return picture
    return new_image(np.concatenate([np.asarray(f.convert("RGB")) for f in picture.frames], axis=1))


def filmstrip(videos: Sequence[Video], columns: int = 8) -> Image:
    """Return a row of evenly spaced frames for each video, one below another, without loss.

    Parameters
    ----------
    videos : sequence of Video
        Of one length and size.
    columns : int, default 8
        Frames to show, at most; the first and the last are among them.
    """
    last = len(videos[0].frames) - 1
    places = sorted({round(i * last / max(1, columns - 1)) for i in range(columns)})
    rows = [strip(Video(tuple(video.frames[i] for i in places), video.fps)) for video in videos]
    return new_image(np.concatenate([np.asarray(row) for row in rows], axis=0))


def frames_of(picture: Picture) -> tuple[Image, ...]:
    """Return the frames of a video, or an image as the only one."""
    return picture.frames if isinstance(picture, Video) else (picture,)


def frames_in(strip: Image, count: int) -> list[Image]:
    """Return the frames that lie side by side in a picture, so many of them."""
    width = strip.width // count
    return [strip.crop((i * width, 0, (i + 1) * width, strip.height)) for i in range(count)]
