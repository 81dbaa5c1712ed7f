"""Exponentials: dynamic mode decomposition (Schmid 2010) of the newest computed steps.

Steps at equal distances are taken for the states of a linear system, y_{i+1} ≈ K y_i, whose modes
grow, fade or turn by a factor μ from one to the next; k steps ahead is μᵏ. As cache-dit has it: six
states at most, four at least, modes below 10⁻⁴ of the strongest left out, each item of the batch by
itself; and before four steps lie at equal distances, the line through the newest two.

The modes are sums of the states, and so are their predictions. All that has to be known of the
features are their products with one another: the decomposition is of a matrix of six by six, and a
skipped step is one weighted sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracache.caching.rules.trajectory import WIDE, Order, Trajectory, weighted_sum

#: States that are kept, and as few as modes can be told from.
MOST, FEWEST = 6, 4

#: Share of the strongest singular value below which a mode is noise; added to what is divided by.
FAINT, RIDGE = 1e-4, 1e-8


@dataclass(frozen=True)
class Modes:
    """What a linear system is made of, in terms of the states that it was found from.

    Attributes
    ----------
    states : Tensor [states − 1, modes], complex
        How much of each state but the oldest is in each mode.
    factors : Tensor [modes], complex
        By which a mode changes from one state to the next.
    shares : Tensor [modes], complex
        How much of each mode the newest state has.
    """

    states: Tensor
    factors: Tensor
    shares: Tensor

    def weights(self, ahead: float) -> Tensor:
        """Weight of each state but the oldest, so many times their distance after the newest."""
        return (self.states @ (self.factors**ahead * self.shares)).real


def find_modes(products: Tensor) -> Modes | None:
    """Decompose a linear system; None where its states do not tell one.

    Parameters
    ----------
    products : Tensor [states, states], float64
        Of the states with one another, oldest first.
    """
    before, across, after = products[:-1, :-1], products[:-1, 1:], products[1:, 1:]
    if not bool(torch.isfinite(products).all()):
        return None
    squares, basis = (part.flip(-1) for part in torch.linalg.eigh(before))
    values = squares.clamp(min=0.0).sqrt()
    kept = max(int((values > FAINT * values[0]).sum()), 1)
    values, basis = values[:kept], basis[:, :kept]
    if values[0] == 0.0:
        return None
    scaled = basis / (values + RIDGE)
    step = (basis / values).T @ across @ scaled
    try:
        factors, vectors = torch.linalg.eig(step)
        states = scaled.to(vectors.dtype) @ vectors
        # Least squares in the features, by a root of their products.
        squares, turned = torch.linalg.eigh(after)
        root = (squares.clamp(min=0.0).sqrt() * turned).T.to(vectors.dtype)
        shares = torch.linalg.lstsq(root @ states, root[:, -1:]).solution[:, 0]
    except RuntimeError:
        return None
    modes = Modes(states, factors, shares)
    return modes if bool(torch.isfinite(modes.weights(1.0)).all()) else None


class Exponentials(Trajectory):
    """The history of one feature tensor: six computed steps, as they come.

    Notes
    -----
    Abscissae are indices of steps. The products are read back from the device at the first skipped
    step of a gap: a few numbers.
    """

    def __init__(self) -> None:
        super().__init__(max_order=MOST - 1)

    def clear(self) -> None:
        """Forget the history and free its tensors."""
        super().clear()
        self._products: dict[tuple[float, float], Tensor] = {}
        self._modes: list[Modes | None] | None = None

    @property
    def order(self) -> int:
        """0 repeats, 1 is the line, 2 stands for exponentials."""
        return 2 if self._equally_apart >= FEWEST else min(max(len(self.points) - 1, 0), 1)

    @property
    def _equally_apart(self) -> int:
        """How many of the newest points lie at equal distances."""
        gaps = [a - b for a, b in zip(self.points, self.points[1:], strict=False)]
        alike = next((i for i, gap in enumerate(gaps) if gap != gaps[0]), len(gaps))
        return alike + 1 if self.points else 0

    def observe(self, point: float, features: Tensor, *, spreads: bool = True) -> None:
        """Add a fully computed point; see :meth:`Trajectory.observe`. It has no spreads."""
        if point in self.points:
            raise ValueError(f"timestep {point} is already in the history; reset it first")
        self.points = (point, *self.points[: self.max_order])
        self.differences = (features.detach(), *self.differences[: self.max_order])
        self._modes = None

    def predict(self, point: float, order: Order) -> Tensor:
        """Return the prediction at a later step, in the shape and dtype of the features."""
        if len(self.points) == 1:
            return self.newest
        ahead = (point - self.points[0]) / (self.points[0] - self.points[1])
        if self._equally_apart < FEWEST:
            return weighted_sum(self.differences[:2], [-ahead], 1, base=1.0 + ahead)
        if self._modes is None:
            self._modes = [find_modes(item) for item in self._gather(self._equally_apart)]
        weights = torch.zeros(
            len(self._modes), self._equally_apart - 1, dtype=torch.float64, device="cpu"
        )
        weights[:, 0] = 1.0
        for item, modes in enumerate(self._modes):
            if modes is not None:
                weights[item] = modes.weights(ahead).flip(0)
        return self._sum(weights)

    def _gather(self, count: int) -> Tensor:
        """Products of the newest states, oldest first: [batch, states, states]."""
        newest = dict(zip(self.points[:count], self.differences, strict=False))
        self._products = {
            (a, b): self._products[a, b] if (a, b) in self._products else _dot(newest[a], newest[b])
            for a in newest
            for b in newest
            if a <= b
        }
        rows = [[self._products[min(a, b), max(a, b)] for b in newest] for a in newest]
        table = torch.stack([torch.stack(row) for row in rows])
        return table.to("cpu").movedim(-1, 0).flip(1, 2)

    def _sum(self, weights: Tensor) -> Tensor:
        """Return the states' sum, each item's by its own weights [batch, states], newest first."""
        wide = torch.promote_types(self.newest.dtype, WIDE)
        shape = (-1, *[1] * (self.newest.dim() - 1)) if self.newest.dim() > 1 else ()
        columns = weights.to(device=self.newest.device, dtype=wide).T
        total = torch.zeros_like(self.newest, dtype=wide)
        for column, state in zip(columns, self.differences, strict=False):
            total = torch.addcmul(total, column.reshape(shape), state.to(wide))
        return total.to(self.newest.dtype)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Product of two states for each item of the batch, float64: there digits cancel."""
    if a.device.type == "mps":
        a, b = a.cpu(), b.cpu()
    items = len(a) if a.dim() > 1 else 1
    return (a.reshape(items, -1).double() * b.reshape(items, -1).double()).sum(1)
