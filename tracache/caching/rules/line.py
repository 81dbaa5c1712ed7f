"""How a trajectory goes on: a line, as far as its last gap says that it can be followed."""

from __future__ import annotations

import torch
from torch import Tensor

from tracache.caching.coordinates import gaussian_noise
from tracache.caching.rules.moment import Moment


class Line:
    """A line through a trajectory's last two points, followed as far as it can be trusted.

    With p_0 the newest value, at τ_0, and D the divided difference of the last two,

        φ(τ) = p_0 + g · (τ − τ_0) · D.

    The gain g is the root of what would have been best over the gap that has just ended, in least
    squares and between nought and one: nought is reuse (right where gaps are so wide that the
    trajectory turns within them), one the line. The root, since gains mostly rise along a run, and
    the last is too low for the next; it was chosen on tuning prompts. The gain is a tensor, one
    value an item, and is not read back.

    Until a gap has been measured, it is τ_0⁴, where τ_0² = r² / (d² + r²) is the share of noise in
    the latents, had the data been Gaussian. Where they are nearly noise alone, nearly any denoiser
    is that of Gaussian data, and the line right; later it is not. The square of the share, since
    strong guidance leaves the line sooner; it was chosen on tuning prompts too.

    Parameters
    ----------
    kind : {"measured", "line", "reuse"}
        As far as the gain says, all the way, or not at all.

    Notes
    -----
    τ is the coordinate along which the noise estimate of Gaussian data is straight.
    """

    def __init__(self, kind: str = "measured") -> None:
        self._kind = kind
        self._point = 0.0
        self._newest: Tensor | None = None
        self._slope: Tensor | None = None
        self._gain: Tensor | float = 1.0

    @property
    def order(self) -> int:
        """Degree of what is predicted: 0 repeats the newest value."""
        return 0 if self._slope is None else 1

    def observe(self, at: Moment, value: Tensor, sample: Tensor | None = None) -> None:
        """Add a computed point; see :class:`~tracache.caching.rules.moment.Rule`."""
        point = gaussian_noise(at.level.log_snr)
        if self._newest is not None and self._kind != "reuse":
            change = value - self._newest
            width = point - self._point
            if self._kind == "measured":
                self._gain = point**4 if self._slope is None else self._measure(change, width)
            self._slope = change.div_(width)
        self._point, self._newest = point, value

    def predict(self, at: Moment, sample: Tensor | None = None) -> Tensor:
        """Extrapolate to a later moment; see :class:`~tracache.caching.rules.moment.Rule`."""
        if self._newest is None:
            raise RuntimeError("the first step of a run must compute")
        if self._slope is None:
            return self._newest
        ahead = gaussian_noise(at.level.log_snr) - self._point
        if isinstance(self._gain, Tensor):
            return torch.addcmul(self._newest, self._gain, self._slope, value=ahead)
        return torch.add(self._newest, self._slope, alpha=ahead * self._gain)

    def _measure(self, change: Tensor, width: float) -> Tensor:
        """Return the gain, by how far the last line would have had to be followed."""
        assert self._slope is not None
        axes = tuple(range(1, change.dim()))
        fit = (self._slope * change).sum(axes) / self._slope.square().sum(axes) / width
        fit = fit.nan_to_num(0.0).clamp(0.0, 1.0)
        return fit.sqrt().reshape(-1, *[1] * (change.dim() - 1))
