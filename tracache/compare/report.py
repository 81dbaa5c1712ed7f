"""What a comparison found: one result per arm, and what they were made with."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import diffusers
import torch

from tracache.caching.trace import Trace
from tracache.compare.course import Course
from tracache.compare.request import Request
from tracache.compare.rounds import Timing, doubt
from tracache.media import Picture, VideoSize
from tracache.version import __version__


@dataclass(frozen=True)
class ArmResult:
    """One arm's image and figures; every figure was measured in this comparison.

    Attributes
    ----------
    arm, title : str
        Name in code and on the page.
    num_steps, full_steps : int
        Denoising steps taken, and how many of them computed everything.
    block_calls : float
        Blocks that computed, counted while the arm ran; a part of a block counts as that part.
    macs : int
        Multiply–accumulates of the denoising loop, all products counted.
    linear_macs : int
        The same without attention's score and value products, as the paper counts.
    denoising_s : float
        The denoising loop, seconds: the median of the rounds in which it was timed, or of the run
        that made the picture where there were none.
    end_to_end_s : float
        Text encoder (once for all arms) to decoded pixels, seconds.
    memory_kind, memory_bytes : str, int
        What the peak is of, and the peak.
    speed_up_macs : float
        MACs of full compute over this arm's.
    psnr, ssim : float
        Of the image to full compute's, dB and 0 … 1; inf and 1 where they are the same.
    latent_error : float
        ‖latents − reference‖ / ‖reference‖ of the final latents.
    image : Image or Video
        The picture, lossless.
    frame_psnr : tuple of float
        Of each frame of a video; empty for an image.
    measured_at : float
        When it was measured, seconds since 1970.
    reused : bool
        Whether its picture comes from an earlier, identical run of full compute; its times too,
        where it was not timed anew.
    timing : Timing or None
        How fast it is beside full compute, where all arms were timed together.
    """

    arm: str
    title: str
    num_steps: int
    full_steps: int
    block_calls: float
    macs: int
    linear_macs: int
    denoising_s: float
    end_to_end_s: float
    memory_kind: str
    memory_bytes: int
    speed_up_macs: float
    psnr: float
    ssim: float
    latent_error: float
    image: Picture = field(repr=False, compare=False)
    frame_psnr: tuple[float, ...] = ()
    measured_at: float = 0.0
    reused: bool = False
    timing: Timing | None = None

    @property
    def speed_up(self) -> float | None:
        """Denoising time of full compute over this arm's; None unless they were timed together."""
        return None if self.timing is None else self.timing.speed_up

    @property
    def doubt(self) -> str:
        """Why its speed-up does not follow from its MACs; empty where it may, or there is none."""
        return "" if self.speed_up is None else doubt(self.speed_up, self.speed_up_macs)

    @property
    def rough(self) -> bool:
        """Whether its speed-up is "about": of rounds that disagree, or above what MACs allow."""
        timing = self.timing
        return timing is not None and (timing.rough or timing.speed_up > self.speed_up_macs)

    def with_timing(self, timing: Timing) -> ArmResult:
        """Return the same with the times of rounds in place of those of the one that is shown."""
        beside = self.end_to_end_s - self.denoising_s
        return replace(
            self,
            denoising_s=timing.seconds,
            end_to_end_s=beside + timing.seconds,
            timing=timing,
        )

    @property
    def skipped_steps(self) -> int:
        """Steps that left out something."""
        return self.num_steps - self.full_steps

    def to_dict(self) -> dict[str, Any]:
        """Return every figure, ready for JSON; an infinite PSNR becomes the string "inf"."""
        figures = {k: v for k, v in self.__dict__.items() if k not in ("image", "timing")}
        timing = self.timing
        figures |= {
            "speed_up": self.speed_up,
            "speed_up_low": None if timing is None else timing.low,
            "speed_up_high": None if timing is None else timing.high,
            "speed_up_rough": None if timing is None else self.rough,
            "speed_up_doubt": self.doubt,
            "rounds": 0 if timing is None else timing.rounds,
        }
        figures["skipped_steps"] = self.skipped_steps
        figures["frame_psnr"] = ["inf" if v == math.inf else v for v in self.frame_psnr]
        return {k: "inf" if v == math.inf else v for k, v in figures.items()}


@dataclass(frozen=True)
class Report:
    """A whole comparison.

    Attributes
    ----------
    request : Request
        What was asked for.
    arms : tuple of ArmResult
        Results in the order they ran, full compute first.
    trace : Trace or None
        Orders of every block, from a run of TraCache that was not timed.
    courses : tuple of Course
        What each arm took the picture for at every step; empty where that was too much to keep.
    device, dtype : str
        What it ran on, and in which floating-point format.
    """

    request: Request
    arms: tuple[ArmResult, ...]
    trace: Trace | None
    device: str
    dtype: str
    courses: tuple[Course, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the images, ready for JSON."""
        request = {k: v for k, v in self.request.__dict__.items() if k != "cache"}
        size = self.request.size
        request["size"] = asdict(size) if isinstance(size, VideoSize) else size
        return {
            "request": {**request, "arms": list(self.request.arms)},
            "settings": self.request.cache.to_dict(),
            "device": self.device,
            "dtype": self.dtype,
            "versions": versions(),
            "arms": [arm.to_dict() for arm in self.arms],
            "trace": None if self.trace is None else self.trace.to_dict(),
            "courses": [course.to_dict() for course in self.courses],
        }


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    return {
        "tracache": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
