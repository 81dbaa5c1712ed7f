"""What the latent models share: ways from clean to noise, initialisation, how they are trained."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tracache.training.fit import Effort, fit
from tracache.training.optim import split_optimisers

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
}
"""The noise schedule that pictures are trained on and shipped with, as diffusers takes it."""
CONDITION_DROP = 0.1
"""Share of the samples trained without their condition, for guidance."""
BATCH, MUON, ADAM = 48, 4e-3, 1.5e-3
"""Samples a step and peak learning rates of all latent models."""
TIME_MEAN, TIME_SPREAD = 0.2, 1.3
"""Noise levels of a flow are drawn logit-normally: most of them where shapes are decided."""

Condition = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""From the samples' numbers (batch,) and which of them lose their condition (batch,) to the
module's further arguments, on the CPU."""


class Noising(Protocol):
    """A way from clean latents to noise.

    Levels are drawn one per equal slice of their distribution: less noisy than independent draws.
    """

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise levels (count,)."""

    def mix(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents, and the velocity to predict."""

    def times(self, levels: Tensor) -> Tensor:
        """Levels as the module wants them, in 0..1000."""


class Diffusion:
    """Noise that keeps the variance; levels are whole times 0..999.

    Parameters
    ----------
    alphas : Tensor
        Cumulative alphas of the noise schedule (1000,).
    """

    def __init__(self, alphas: Tensor) -> None:
        self.alphas = alphas

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Times, int64 (count,)."""
        return (_slices(count, generator) * len(self.alphas)).long()

    def mix(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents, and the velocity to predict."""
        alphas = _spread(self.alphas[levels], clean)
        a, s = alphas.sqrt(), (1.0 - alphas).sqrt()
        return a * clean + s * noise, a * noise - s * clean

    def times(self, levels: Tensor) -> Tensor:
        """The times as they are."""
        return levels


class Flow:
    """The straight way from clean to noise; levels lie in 0..1."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels (count,), logit-normal."""
        slices = _slices(count, generator)
        normal = math.sqrt(2.0) * torch.erfinv((2.0 * slices - 1.0).clamp(-0.9999, 0.9999))
        return (TIME_MEAN + TIME_SPREAD * normal).sigmoid()

    def mix(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents, and the velocity back to clean ones."""
        levels = _spread(levels, clean)
        return (1.0 - levels) * clean + levels * noise, clean - noise

    def times(self, levels: Tensor) -> Tensor:
        """Levels in thousandths."""
        return 1000.0 * levels


def _slices(count: int, generator: torch.Generator) -> Tensor:
    return (torch.arange(count) + torch.rand(count, generator=generator)) / count


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


def xavier(model: Any, patches: Any) -> None:
    """Xavier matrices and zero biases, the kernel of the patch embedding read as a matrix too.

    diffusers' own initialisation trains badly at these sizes.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))


def hidden(name: str) -> bool:
    """Whether a matrix is part of a block's attention or feed-forward, so Muon's to train."""
    return "_blocks." in name and ".norm1." not in name and "scale_shift" not in name


def train_denoiser(
    model: nn.Module,
    latents: Tensor,
    noising: Noising,
    condition: Condition,
    effort: Effort,
    path: Path,
) -> None:
    """Train a latent model to predict velocities; resumable, see ``fit``.

    Parameters
    ----------
    model : nn.Module
        Called with noisy latents, times and what ``condition`` gives.
    latents : Tensor
        Clean latents (n, channels, ...).
    noising : Noising
        The way from clean latents to noise.
    condition : callable
        What the module is told about samples, see ``Condition``.
    effort : Effort
        Budget, batch, seed, whether to compile.
    path : Path
        The checkpoint.
    """
    device, batch = next(model.parameters()).device, effort.batch or BATCH
    if device.type == "cpu":
        # Plain matrix products: the fused kernel's backward takes half of a step there.
        for module in model.modules():
            if isinstance(module, Attention):
                module.set_processor(AttnProcessor())
    if effort.compiled:
        for name, module in model.named_modules():
            if re.search(r"_blocks\.\d+$", name):
                module.compile()

    def loss(generator: torch.Generator, progress: float) -> Tensor:
        index = torch.randint(len(latents), (batch,), generator=generator)
        dropped = torch.rand(batch, generator=generator) < CONDITION_DROP
        levels = noising.draw(batch, generator)
        noise = torch.randn((batch, *latents.shape[1:]), generator=generator)
        noisy, target = noising.mix(latents[index].float(), noise, levels)
        inputs = (noisy, noising.times(levels), *condition(index, dropped))
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            out = model(*(x.to(device) for x in inputs))
        return functional.mse_loss(out.float(), target.to(device))

    optimisers = split_optimisers(model, hidden, MUON, ADAM)
    fit(model, optimisers, loss, effort, path, batch=batch)
