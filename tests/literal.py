"""The paper's Eq. 5–7 as they are written: plain Lagrange sums, explicit spreads, every block.

Slow on purpose, and sharing no code with the engine it is held against.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


def lagrange(points, t):
    """Eq. 6: Σ h_i Π_{j≠i} (t − τ_j) / (τ_i − τ_j), in float64."""
    total = torch.zeros_like(points[0][1], dtype=torch.float64)
    for i, (tau_i, h_i) in enumerate(points):
        weight = 1.0
        for j, (tau_j, _) in enumerate(points):
            if j != i:
                weight *= (t - tau_j) / (tau_i - tau_j)
        total += weight * h_i.double()
    return total


def spread(points, t, n, criterion="std"):
    """Eq. 7: std(|φ_n(t) − φ_{n−1}(t)|) over all elements; ``points`` newest first."""
    difference = (lagrange(points[: n + 1], t) - lagrange(points[:n], t)).abs()
    return (difference.mean() if criterion == "mean" else difference.std(correction=0)).item()


@dataclass
class LiteralTraCache:
    """Replaces every output at skipped steps by its own extrapolation.

    Outputs are those of blocks or, with ``granularity="module"``, of every attention and MLP.
    ``forced`` gives orders to use instead of the chosen ones, as {(step, block): order}, for
    near-ties that rounding may turn.
    """

    transformer: torch.nn.Module
    stride: int
    max_order: int
    warmup: int = 1
    order: str = "dynamic"
    local_extrapolation: bool = False
    granularity: str = "block"
    criterion: str = "std"
    forced: dict = field(default_factory=dict)

    def __post_init__(self):
        self.blocks = list(self.transformer.transformer_blocks)
        if self.granularity == "module":
            names = ("attn1", "attn2", "ff")
            parts = [getattr(block, name) for block in self.blocks for name in names]
            self.blocks = [part for part in parts if part is not None]
        self.history = [[] for _ in self.blocks]
        self.orders = []
        self.near_ties = set()
        self.step = -1
        self.hooks = [self.transformer.register_forward_pre_hook(self._start, with_kwargs=True)]
        self.hooks += [
            block.register_forward_hook(self._hook(i)) for i, block in enumerate(self.blocks)
        ]

    def remove(self):
        for hook in self.hooks:
            hook.remove()

    def _start(self, module, args, kwargs):
        self.step += 1
        self.t = float(kwargs["timestep"].reshape(-1)[0])
        i = self.step
        self.full = i < self.warmup or (i - (self.warmup - 1)) % self.stride == 0
        self.orders.append([-1] * len(self.blocks))

    def _hook(self, index):
        def hook(module, args, output):
            # The block has computed in vain at a skipped step: the literal method replaces it.
            points = self.history[index]
            if self.full:
                points.insert(0, (self.t, output.clone()))
                del points[self.max_order + 1 :]
                return output
            order = self._choose(index, points)
            self.orders[-1][index] = order
            return lagrange(points[: order + 1], self.t).to(output.dtype)

        return hook

    def _choose(self, index, points):
        highest = len(points) - 1
        if self.order == "fixed" or highest == 0:
            return highest
        spreads = [spread(points, self.t, n, self.criterion) for n in range(1, highest + 1)]
        least = sorted(spreads)
        if len(least) > 1 and least[1] - least[0] <= 1e-4 * least[1]:
            self.near_ties.add((self.step, index))
        if (self.step, index) in self.forced:
            return self.forced[self.step, index]
        return spreads.index(least[0]) + (1 if self.local_extrapolation else 0)
