"""What a method decided: the order of every block, or part of one, at every denoising step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

COMPUTED = -1
UNTRACED = -2
PARTIAL = -3


class Trace:
    """The decisions of one denoising run.

    A cache writes one row per step while the run goes on; rows may hold tensors on any device,
    which are read when somebody looks, never during the run.

    Parameters
    ----------
    labels : int or sequence of str
        What decisions are about: names of blocks or of parts of blocks, or how many blocks.
    watched : sequence of int, optional
        Which of them are watched, rising; all of them if not given.
    item : int, default 0
        Of decisions that differ within the batch (``spread="per_sample"``), whose
        :attr:`orders` shows.

    Attributes
    ----------
    labels : tuple of str
        Names of the columns of ``orders``.
    orders : int array [steps, len(labels)]
        Order that extrapolated the output at the step, 0 being reuse; -1 (``COMPUTED``) where it
        was computed; -2 (``UNTRACED``) where it was skipped and not watched: unless ``trace=…``
        says otherwise, only the last block, the one that makes the image, is watched; -3
        (``PARTIAL``) where some of its tokens, or of the batch, were computed.
    main : int
        Column of what makes the image: the last, unless blocks were found in another order than
        they run in.
    timesteps : float array [steps]
        What the scheduler handed to the model, in denoising order.
    computed : bool array [steps]
        Whether the step computed everything.
    spreads : float array [steps, len(labels), candidates]
        What each order in question was judged by, unless only the last block was watched: for
        n = 1, 2, … the spread of φ_n − φ_{n−1} (Eq. 7); NaN where there was nothing to choose.
    """

    def __init__(
        self, labels: int | Sequence[str], watched: Sequence[int] | None = None, item: int = 0
    ) -> None:
        names = map(str, range(labels)) if isinstance(labels, int) else labels
        self.labels = tuple(names)
        self.watched = list(range(len(self.labels)) if watched is None else watched)
        self.item = item
        self.main = len(self.labels) - 1
        self._timesteps: list[float] = []
        self._rows: list[Any] = []
        self._spreads: list[Any] = []

    def record(self, timestep: float, decided: Any, spreads: Any = None) -> None:
        """Add a step.

        Parameters
        ----------
        timestep : float
            The step's timestep.
        decided : None, int, or array or tensor of shape [watched] or [watched, batch]
            None where everything was computed; a number stands for all that is watched.
        spreads : None, or array or tensor of shape [candidates, watched] or with a batch after it
            What the candidates were judged by.
        """
        self._timesteps.append(timestep)
        self._rows.append(decided)
        self._spreads.append(spreads)

    def clear(self) -> None:
        """Forget every step."""
        self._timesteps.clear()
        self._rows.clear()
        self._spreads.clear()

    def __len__(self) -> int:
        return len(self._timesteps)

    def __repr__(self) -> str:
        full = int(self.computed.sum())
        return f"Trace({len(self)} steps, {full} computed, {len(self.labels)} rows)"

    @property
    def timesteps(self) -> np.ndarray:
        """Timestep of every step."""
        return np.array(self._timesteps, dtype=np.float64)

    @property
    def computed(self) -> np.ndarray:
        """Whether each step computed everything."""
        return np.array([row is None for row in self._rows], dtype=bool)

    def computed_at(self, step: int) -> bool:
        """Whether a step computed everything."""
        return self._rows[step] is None

    @property
    def orders(self) -> np.ndarray:
        """Order per step and label; see the class."""
        return self._read(lambda row: row[:, self.item] if row.ndim == 2 else row)

    @property
    def spreads(self) -> np.ndarray:
        """What the candidates were judged by; see the class."""
        rows = [None if row is None else np.asarray(_on_host(row), float) for row in self._spreads]
        most = max((len(row) for row in rows if row is not None), default=0)
        found = np.full((len(self), len(self.labels), most), np.nan)
        for step, row in enumerate(rows):
            if row is not None:
                seen = row[..., self.item] if row.ndim == 3 else row
                found[step, self.watched, : len(seen)] = seen.T
        return found

    @property
    def sample_orders(self) -> np.ndarray:
        """Order per step, label and item of the batch: [steps, len(labels), batch].

        The batch counts both halves of classifier-free guidance; it is 1 where decisions are for
        the whole batch.
        """
        rows = [_to_numpy(row) for row in self._rows if row is not None]
        batch = max((row.shape[1] for row in rows if row.ndim == 2), default=1)
        items = [
            self._read(lambda row, i=i: row[:, i] if row.ndim == 2 else row) for i in range(batch)
        ]
        return np.stack(items, axis=-1)

    def _read(self, pick: Any) -> np.ndarray:
        orders = np.full((len(self), len(self.labels)), UNTRACED, dtype=np.int64)
        for step, row in enumerate(self._rows):
            if row is None:
                orders[step] = COMPUTED
            else:
                orders[step, self.watched] = pick(_to_numpy(row))
        return orders

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        return {
            "labels": list(self.labels),
            "main": self.main,
            "timesteps": self.timesteps.tolist(),
            "orders": self.orders.tolist(),
            # JSON knows no NaN; seven digits are what float32 has.
            "spreads": [
                [[None if np.isnan(x) else float(f"{x:.7g}") for x in cell] for cell in row]
                for row in self.spreads
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """Inverse of :meth:`to_dict`."""
        orders = np.array(data["orders"], dtype=np.int64)
        trace = cls(data["labels"])
        trace.main = data.get("main", trace.main)
        trace._timesteps = [float(t) for t in data["timesteps"]]
        trace._rows = [None if (row == COMPUTED).all() else row for row in orders]
        known = np.array(data.get("spreads") or np.empty((len(orders), 0, 0)), dtype=np.float64)
        trace._spreads = [None if row.size == 0 or np.isnan(row).all() else row.T for row in known]
        return trace

    @classmethod
    def merge(cls, traces: Sequence[Trace]) -> Trace:
        """Return one trace of runs that were the same but for what was watched.

        Raises
        ------
        ValueError
            If they were not: rows, timesteps, computed steps or an order differ.
        """
        first = traces[0]
        same = all(
            (t.labels, t._timesteps, t.computed.tolist())
            == (first.labels, first._timesteps, first.computed.tolist())
            for t in traces
        )
        if not same:
            raise ValueError("the runs to be merged differ in rows, timesteps or computed steps")
        merged = cls(first.labels, sorted({row for t in traces for row in t.watched}), first.item)
        merged.main = first.main
        for step, timestep in enumerate(first._timesteps):
            spreads = _join([part for t in traces for part in t._spreads_by_row(step)])
            merged.record(
                timestep,
                _join([part for t in traces for part in t._decided_by_row(step)]),
                None if spreads is None else np.moveaxis(spreads, 0, 1),
            )
        return merged

    def _decided_by_row(self, step: int) -> list[tuple[int, np.ndarray]]:
        """What was decided at a step: (row, orders) of each watched one; empty where computed."""
        row = self._rows[step]
        if row is None:
            return []
        values = _to_numpy(row)
        # One number stands for all.
        shape = (len(self.watched), *values.shape[1:])
        return list(zip(self.watched, np.broadcast_to(values, shape), strict=True))

    def _spreads_by_row(self, step: int) -> list[tuple[int, np.ndarray]]:
        """What the candidates of each watched row were judged by at a step; empty if nothing."""
        row = self._spreads[step]
        if row is None:
            return []
        return list(zip(self.watched, np.moveaxis(np.asarray(_on_host(row)), 1, 0), strict=True))

    def copy(self) -> Trace:
        """Return a copy that later runs of the cache do not change."""
        return Trace.from_dict(self.to_dict())

    def __getstate__(self) -> dict[str, Any]:
        # A pickle must not carry device tensors to a process that may have no such device.
        rows = [None if row is None else _to_numpy(row) for row in self._rows]
        spreads = [None if row is None else np.asarray(_on_host(row)) for row in self._spreads]
        return {**self.__dict__, "_rows": rows, "_spreads": spreads}


def _join(parts: Sequence[tuple[int, np.ndarray]]) -> np.ndarray | None:
    """Values by row, [rows, …], from several runs; None if there are none."""
    known: dict[int, np.ndarray] = {}
    for row, value in parts:
        # Where nothing was in question there is NaN, which equals nothing.
        if not np.array_equal(
            known.setdefault(row, value), value, equal_nan=value.dtype.kind == "f"
        ):
            raise ValueError(f"the runs to be merged differ at row {row}")
    return np.stack([known[row] for row in sorted(known)]) if known else None


def _on_host(row: Any) -> Any:
    """Return what numpy can read, whatever device it was on."""
    return row.float().cpu().numpy() if hasattr(row, "cpu") else row


def _to_numpy(row: Any) -> np.ndarray:
    """Decisions of a row as an integer array; reads a device tensor back."""
    if hasattr(row, "cpu"):
        row = row.cpu()
    return np.atleast_1d(np.asarray(row, dtype=np.int64))
