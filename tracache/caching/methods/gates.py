"""Gates: a table says which block computes at which step; the others repeat their change.

The learned methods of this kind (L2C, LazyDiT) train such a table per model and sampler. Theirs
are not published in usable form, so this takes any table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tracache.caching.declare import HOST, setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch


@dataclass(frozen=True)
class GatesConfig(MethodConfig):
    """Which blocks compute at which step.

    Attributes
    ----------
    gates : tuple of tuple of bool
        [steps, blocks]: True computes; False adds to the block's input what the block last
        changed (output − input). The first step computes everything.

    Raises
    ------
    ValueError
        If it is no rectangle of booleans, or the first row is not all True.
    """

    gates: tuple[tuple[bool, ...], ...] = ()
    file: str = setting("", label="Table", help="A file with the table.", who=HOST, needed=True)

    def check(self) -> None:
        """Read the file, if there is one, and raise ValueError where the table is none."""
        if self.file:
            object.__setattr__(self, "gates", read_gates(Path(self.file)))
        gates = tuple(tuple(row) for row in self.gates)
        if not gates:
            raise ValueError("the arm gates needs a table: give it as --option gates.file=PATH")
        widths = {len(row) for row in gates}
        if len(widths) != 1 or widths == {0}:
            raise ValueError("gates must be a table [steps, blocks] whose rows are equally long")
        if not all(isinstance(gate, bool) for row in gates for gate in row):
            raise ValueError("gates must hold only True (compute) and False (repeat)")
        if not all(gates[0]):
            raise ValueError("the first row of gates must be all True: nothing is cached yet")
        object.__setattr__(self, "gates", gates)

    def check_steps(self, num_steps: int) -> None:
        """Raise ValueError where it is not for runs of so many steps."""
        if len(self.gates) != num_steps:
            raise ValueError(f"the gates are for {len(self.gates)} steps, not {num_steps}")

    @classmethod
    def from_file(cls, path: str | Path) -> GatesConfig:
        """Read a table from a file, see :func:`read_gates`."""
        return cls(read_gates(Path(path)))

    def plan_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps at which every block computes."""
        return tuple(step for step, row in enumerate(self.gates) if all(row))


def read_gates(path: Path) -> tuple[tuple[bool, ...], ...]:
    """Read a table from a NumPy file (.npy, boolean) or a JSON list of lists.

    Raises
    ------
    ValueError
        If the file is not such a table.
    OSError
        If it cannot be read.
    """
    if path.suffix == ".npy":
        table = np.load(path, allow_pickle=False)
        if table.dtype != bool or table.ndim != 2:
            raise ValueError(f"{path.name} holds {table.dtype} {table.shape}, not [steps, blocks]")
        return tuple(tuple(row) for row in table.tolist())
    rows = json.loads(path.read_text())
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"{path.name} is no list of lists of true and false")
    return tuple(tuple(row) for row in rows)


class Gates(Method):
    """Keeps every block's last change."""

    def __init__(self, config: GatesConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        width = len(config.gates[0])
        if width != stack.depth:
            raise ValueError(f"the gates are for {width} blocks; this denoiser has {stack.depth}")
        self.clear()

    def clear(self) -> None:
        self._changes: dict[int, Tensor] = {}
        self._gates: tuple[bool, ...] = ()

    def begin(self, step: Step) -> None:
        gates = self.config.gates
        if step.index >= len(gates) or step.num_steps not in (None, len(gates)):
            wanted = step.num_steps or step.index + 1
            raise ValueError(f"the gates are for {len(gates)} steps; this run has {wanted}")
        self._gates = gates[step.index]

    def block(self, index: int, call: Call) -> Tensor:
        hidden_states = call.hidden_states
        if not self._gates[index]:
            return hidden_states + self._changes[index]
        output = call()
        self._changes[index] = output - hidden_states
        return output

    def row(self) -> Any:
        return None if all(self._gates) else [-1 if gate else 0 for gate in self._gates]
