"""What a method decided: the order of every block at every denoising step."""

from __future__ import annotations

from typing import Any

import numpy as np

COMPUTED = -1
UNTRACED = -2


class Trace:
    """The decisions of one denoising run.

    A cache writes one row per step while the run goes on; rows may hold tensors on any device,
    which are read when somebody looks, never during the run.

    Parameters
    ----------
    num_blocks : int
        Blocks of the transformer.
    num_watched : int, optional
        How many of the last blocks are watched; all of them if not given.

    Attributes
    ----------
    orders : int array [steps, blocks]
        Order that extrapolated the block's output at the step; -1 (``COMPUTED``) where the block
        computed; -2 (``UNTRACED``) where the block was skipped and not watched: without
        ``trace="all"`` only the last block, the one that makes the image, is watched.
    timesteps : float array [steps]
        What the scheduler handed to the model, in denoising order.
    computed : bool array [steps]
        Whether the step ran its blocks.
    """

    def __init__(self, num_blocks: int, num_watched: int | None = None) -> None:
        self.num_blocks = num_blocks
        self.num_watched = num_blocks if num_watched is None else num_watched
        self._timesteps: list[float] = []
        self._rows: list[Any] = []

    def record_computed(self, timestep: float) -> None:
        """Add a step at which every block computed."""
        self._timesteps.append(timestep)
        self._rows.append(None)

    def record_skipped(self, timestep: float, orders: Any) -> None:
        """Add a skipped step.

        Parameters
        ----------
        timestep : float
            The step's timestep.
        orders : int, or array or tensor of shape [num_watched]
            Orders of the watched blocks; a number stands for all of them.
        """
        self._timesteps.append(timestep)
        self._rows.append(orders)

    def clear(self) -> None:
        """Forget every step."""
        self._timesteps.clear()
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._timesteps)

    def __repr__(self) -> str:
        full = int(self.computed.sum())
        return f"Trace({len(self)} steps, {full} computed, {self.num_blocks} blocks)"

    @property
    def timesteps(self) -> np.ndarray:
        """Timestep of every step."""
        return np.array(self._timesteps, dtype=np.float64)

    @property
    def computed(self) -> np.ndarray:
        """Whether each step ran its blocks."""
        return np.array([row is None for row in self._rows], dtype=bool)

    @property
    def orders(self) -> np.ndarray:
        """Order per step and block; see the class."""
        orders = np.full((len(self), self.num_blocks), UNTRACED, dtype=np.int64)
        for step, row in enumerate(self._rows):
            if row is None:
                orders[step] = COMPUTED
            else:
                orders[step, self.num_blocks - self.num_watched :] = _to_numpy(row)
        return orders

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        return {"timesteps": self.timesteps.tolist(), "orders": self.orders.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """Inverse of :meth:`to_dict`."""
        orders = np.array(data["orders"], dtype=np.int64)
        trace = cls(orders.shape[1] if orders.ndim == 2 else 0)
        trace._timesteps = [float(t) for t in data["timesteps"]]
        trace._rows = [None if (row == COMPUTED).all() else row for row in orders]
        return trace

    def copy(self) -> Trace:
        """Return a copy that later runs of the cache do not change."""
        return Trace.from_dict(self.to_dict())

    def __getstate__(self) -> dict[str, Any]:
        # A pickle must not carry device tensors to a process that may have no such device.
        rows = [None if row is None else _to_numpy(row) for row in self._rows]
        return {**self.__dict__, "_rows": rows}


def _to_numpy(row: Any) -> np.ndarray:
    """Orders of a row as a flat integer array; reads a device tensor back."""
    if hasattr(row, "cpu"):
        row = row.cpu()
    return np.atleast_1d(np.asarray(row, dtype=np.int64))
