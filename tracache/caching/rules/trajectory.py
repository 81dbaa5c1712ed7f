"""A feature's trajectory: its history, its spreads, its extrapolation.

A history of fully computed points ``(τ_0, h_0)``, ``(τ_1, h_1)``, … (newest first) is kept in
Newton's form, as divided differences ``D_0 = h_0``, ``D_1``, …, so that the polynomial of degree n
through the newest n + 1 points is (TraCache, Eq. 6)

    φ_n(t) = D_0 + Σ_{m=1…n} D_m · Π_{j<m} (t − τ_j)

and two neighbouring degrees differ by one term: φ_n − φ_{n−1} = D_n · Π_{j<n} (t − τ_j). The
spread that chooses the order (Eq. 7) is therefore |Π_{j<n} (t − τ_j)| · std(|D_n|): std(|D_n|) is
taken once per computed step, and a skipped step needs a few scalars and one weighted sum.

Nothing here reads a value back from the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tracache.caching.rules.newton import NEWTON

#: What the differences of a history are kept in, unless the features themselves are wider.
WIDE = torch.float32

#: An order: a number where it follows from the history's length alone, else a tensor of indices
#: that stays on the device.
Order = int | Tensor


def history_bytes(count: int, dtype: torch.dtype, points: int) -> int:
    """Bytes of a full history of so many points.

    Parameters
    ----------
    count : int
        Numbers in one feature tensor.
    dtype : torch.dtype
        Of the features.
    points : int
        Fully computed points that are kept; 0 is no history.
    """
    wide = torch.promote_types(dtype, WIDE)
    return count * (dtype.itemsize + (points - 1) * wide.itemsize) if points else 0


def spread_of(difference: Tensor, criterion: str = "std", over: str = "batch") -> Tensor:
    """How much ``|D_n|`` spreads: what a residual is judged by (Eq. 7, and D.1.4).

    Parameters
    ----------
    difference : Tensor [batch, ...]
        A divided difference.
    criterion : {"std", "mean"}, default "std"
        Standard deviation or mean of the absolute values.
    over : {"batch", "per_image", "per_sample"}, default "batch"
        One spread over all elements; one per image, whose two halves under guidance are half a
        batch apart; or one per item of the batch.

    Returns
    -------
    Tensor
        A scalar, or shape [batch].

    Raises
    ------
    ValueError
        If a batch of odd size is to have halves.
    """
    magnitude = difference.abs()
    halves = 1
    if over == "per_image":
        if len(magnitude) % 2:
            raise ValueError(
                f"spread='per_image' needs guidance's two halves, and the batch has "
                f"{len(magnitude)} items: use spread='per_sample' without guidance"
            )
        halves = 2
        magnitude = torch.stack(magnitude.chunk(2), dim=1)
    dims = tuple(range(0 if over == "batch" else 1, magnitude.dim()))
    spread = magnitude.mean(dims) if criterion == "mean" else magnitude.std(dims, correction=0)
    return spread.repeat(halves) if halves > 1 else spread


class Trajectory:
    """The history of one feature tensor, in Newton's form.

    Parameters
    ----------
    max_order : int
        Highest degree; ``max_order + 1`` tensors of the feature's shape are kept.
    rule : str, default "lagrange"
        A key of :data:`tracache.caching.rules.newton.NEWTON`.
    criterion : {"std", "mean"}, default "std"
        As for :func:`spread_of`.
    over : {"batch", "per_image", "per_sample"}, default "batch"
        As for :func:`spread_of`.
    window : int, default 1
        Average each degree's spread over this many of the last computed points (D.1.4).

    Notes
    -----
    The newest features are kept as they come; the differences, where digits cancel, in float32
    (float64 features keep float64) whatever the model computes in.
    """

    def __init__(
        self,
        max_order: int,
        rule: str = "lagrange",
        *,
        criterion: str = "std",
        over: str = "batch",
        window: int = 1,
    ) -> None:
        self.max_order = max_order
        self.rule = NEWTON[rule]
        self.criterion = criterion
        self.over = over
        self.window = window
        self.clear()

    @property
    def order(self) -> int:
        """Highest degree that the history allows so far."""
        return max(len(self.points) - 1, 0)

    @property
    def newest(self) -> Tensor:
        """The newest computed features."""
        return self.differences[0]

    def clear(self) -> None:
        """Forget the history and free its tensors."""
        self.points: tuple[float, ...] = ()
        self.differences: tuple[Tensor, ...] = ()
        self.spreads: tuple[Tensor, ...] = ()
        self._past: list[tuple[Tensor, ...]] = []

    def observe(self, point: float, features: Tensor, *, spreads: bool = True) -> None:
        """Add a fully computed point.

        Parameters
        ----------
        point : float
            Its abscissa; different from every other in the history.
        features : Tensor
            Any shape, the same at every call.
        spreads : bool, default True
            Whether to take the spread of each difference, which order selection needs.

        Raises
        ------
        ValueError
            If the history already has this abscissa.
        """
        if point in self.points:
            raise ValueError(f"timestep {point} is already in the history; reset it first")
        features = features.detach()
        self.points = (point, *self.points[: self.max_order])
        wide = torch.promote_types(features.dtype, WIDE)
        fresh = [features]
        # D_n new = (D_{n-1} new − D_{n-1} old) / gap: each difference uses the one before it.
        for n, older in zip(range(1, len(self.points)), self.differences, strict=False):
            change = fresh[n - 1].to(wide) - older.to(wide)
            fresh.append(change.div_(self.rule.gap(self.points, n)))
        self.differences = tuple(fresh)
        self.spreads = self._take_spreads() if spreads else ()

    def _take_spreads(self) -> tuple[Tensor, ...]:
        newest = tuple(spread_of(d, self.criterion, self.over) for d in self.differences[1:])
        if self.window == 1:
            return newest
        self._past = [newest, *self._past[: self.window - 1]]
        # Early points have fewer degrees, so each degree averages those points that have it.
        return tuple(
            torch.stack([past[n] for past in self._past if n < len(past)]).mean(0)
            for n in range(len(newest))
        )

    def factors(self, point: float) -> list[float]:
        """Weight of each difference D_1 … D_order at an abscissa."""
        return [self.rule.factor(point, self.points, n) for n in range(1, self.order + 1)]

    def predict(self, point: float, order: Order) -> Tensor:
        """Extrapolate with the polynomial of degree ``order`` (Eq. 6).

        Parameters
        ----------
        point : float
            Abscissa to evaluate at.
        order : int, or integer Tensor, scalar or [batch]
            Degree, at most :attr:`order`. A tensor is not read back: every term is summed, with
            weight nought beyond the order.

        Returns
        -------
        Tensor
            Shape and dtype of the features.
        """
        return weighted_sum(self.differences, self.factors(point), order)


def weighted_sum(
    differences: Sequence[Tensor], factors: Sequence[float], order: Order, base: float = 1.0
) -> Tensor:
    """Return base · D_0 + Σ_{1≤n≤order} factor_n · D_n, in the dtype of D_0.

    See :meth:`Trajectory.predict` for ``order``; interpolating polynomials have base 1.
    """
    newest = differences[0]
    terms = list(zip(factors, differences[1:], strict=True))
    if isinstance(order, int):
        terms = [term for term in terms[:order] if term[0] != 0.0]
        if not terms and base == 1.0:
            return newest
    total = newest.to(torch.promote_types(newest.dtype, WIDE))
    total = total if base == 1.0 else total * base
    for n, (factor, difference) in enumerate(terms, start=1):
        if isinstance(order, int):
            total = torch.add(total, difference, alpha=factor)
        else:
            weight = (order >= n).to(difference.dtype) * factor
            # One order per item of the batch reaches over that item's other axes.
            weight = weight.reshape(-1, *[1] * (difference.dim() - 1)) if weight.dim() else weight
            total = torch.addcmul(total, weight, difference)
    return total.to(newest.dtype)


def choose_order(
    spreads: Sequence[Tensor], factors: Sequence[float], local_extrapolation: bool
) -> Order:
    """Order whose residual φ_n − φ_{n−1} spreads least (Eq. 7); ties take the lower.

    Parameters
    ----------
    spreads : sequence of Tensor
        std(|D_n|) for n = 1, 2, …: scalars, or one value per block and item, all of one shape.
    factors : sequence of float
        Π_{j<n} (t − τ_j) for the same n.
    local_extrapolation : bool
        True takes φ_n, the finer of the two that the least residual compares; False takes
        φ_{n−1}, the one whose error the residual estimates.

    Returns
    -------
    int or Tensor
        A number where there is no choice (at most one candidate), else int64 of the spreads'
        shape, on their device.
    """
    lowest = 1 if local_extrapolation else 0
    if not spreads:
        return 0
    if len(spreads) == 1:
        return lowest
    residuals = torch.stack([s * abs(f) for s, f in zip(spreads, factors, strict=True)])
    return residuals.argmin(dim=0) + lowest


def power_order(point: float, start: float, max_order: int, exponent: float) -> int:
    """Order that follows the timestep alone (D.1.4), whatever the features do.

    Parameters
    ----------
    point, start : float
        The current timestep, and that of the run's first step.
    max_order : int
        Highest order.
    exponent : float
        ``p``. Positive: round(max_order · (t / t_0)^p), which falls from the highest order to 0
        as the noise goes. Negative: round(max_order · (1 − (t / t_0)^|p|)), which rises.
    """
    share = max(min(point / start, 1.0), 0.0) ** abs(exponent) if start else 0.0
    # Half rounds up, so that both directions treat their ends alike.
    return int(max_order * (share if exponent > 0 else 1.0 - share) + 0.5)
