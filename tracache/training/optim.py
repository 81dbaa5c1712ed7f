"""The optimisers: Muon for hidden matrices and kernels, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Push all singular values of a stack of matrices (n, rows, cols) towards one.

    The quintic Newton-Schulz iteration of Muon (Jordan et al., 2024), batched: many small matrices
    of one shape cost little more than one.
    """
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for hidden matrices and convolution kernels.

    Parameters
    ----------
    params : iterable of Parameter
        Tensors of two or more dimensions; kernels are read as (out, everything else) matrices.
    lr : float, default 4e-3
        Learning rate; updates are scaled to the size Adam's have (root mean square 0.2).
    momentum : float, default 0.95
        Nesterov momentum.
    weight_decay : float, default 0.0
        Decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 4e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters, those of one shape together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                self._step_shape(group, shape, params)

    def _step_shape(self, group: dict, shape: torch.Size, params: list[nn.Parameter]) -> None:
        pushed = []
        for p in params:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            grad = p.grad if p.grad is not None else torch.zeros_like(p)
            state["momentum"].lerp_(grad, 1.0 - group["momentum"])
            pushed.append(grad.lerp(state["momentum"], group["momentum"]).flatten(1))
        updates = orthogonalise(torch.stack(pushed))
        size = 0.2 * max(updates.shape[-2:]) ** 0.5
        for p, update in zip(params, updates, strict=True):
            if group["weight_decay"]:
                p.mul_(1.0 - group["lr"] * group["weight_decay"])
            p.add_(update.view(shape), alpha=-group["lr"] * size)


def split_optimisers(
    module: nn.Module,
    hidden: Callable[[str], bool],
    muon: float,
    adam: float,
    slow: Iterable[nn.Parameter] = (),
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices and kernels whose names are ``hidden``, AdamW for everything else.

    Parameters
    ----------
    module : nn.Module
        Whose parameters are trained.
    hidden : callable
        Whether a parameter, given its name, is inside the network.
    muon, adam : float
        Peak learning rates.
    slow : iterable of Parameter, optional
        Parameters of another module, which AdamW moves at 0.3 times its rate.
    """
    inside: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in module.named_parameters():
        (inside if p.ndim >= 2 and hidden(name) else rest).append(p)
    groups: list[dict[str, Any]] = [{"params": rest}]
    if slow := list(slow):
        groups.append({"params": slow, "lr": 0.3 * adam})
    adamw = torch.optim.AdamW(groups, lr=adam, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(inside, lr=muon), adamw]
