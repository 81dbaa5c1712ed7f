"""SeaCache (arXiv 2602.18993): how much of the input that is no noise has changed decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from tracache.caching.abscissa import noise_over_signal
from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MAX_STRIDE, MethodConfig
from tracache.caching.methods.base import Call, Stack, Watch
from tracache.caching.methods.residual import Residual

#: Added to what may be nought, so that it can be divided by.
TINY = 1e-16


@dataclass(frozen=True)
class SeaCacheConfig(MethodConfig):
    """When the blocks run, and how what they change is carried on. Needs the scheduler.

    Attributes
    ----------
    threshold : float, default 0.25
        The blocks run once the relative changes of the filtered latents since they last did add up
        to this (0 … 100); 0 is full compute. The default computes 13 of 20 steps of the embedded
        text-to-image model.
    order : int, default 1
        What the blocks change is repeated (0), or carried on along the line through the last two
        computed steps (1).
    max_skips : int, default 2
        Compute after so many skips in a row (1 … 50).
    power : float, default 3
        What is taken for signal falls off as this power of the frequency (0.1 … 10).
    """

    threshold: float = setting(
        0.25, low=0, high=100, label="Threshold", tries=rising(0.05, 3.0, 10)
    )
    order: int = setting(1, low=0, high=1, label="Order")
    max_skips: int = setting(2, low=1, high=MAX_STRIDE, label="Most skips", tries=(2, 4, 8))
    power: float = setting(3.0, low=0.1, high=10, label="Power of the spectrum")

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True


class SeaCache(Residual):
    """Keeps the changes over all blocks of one or two steps, and the filtered latents.

    As in diffusers, it is the latents that are filtered. The first and the last step compute. Reads
    one number back from the device at every step.
    """

    def __init__(self, config: SeaCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self._sigma = noise_over_signal(stack.scheduler, "SeaCache")

    def clear(self) -> None:
        super().clear()
        self._signal: Tensor | None = None
        self._latents: Tensor | None = None
        #: Steps that computed last, and what the blocks changed there; newest first.
        self._points: list[tuple[int, Tensor]] = []
        self._total, self._skips = 0.0, 0

    def denoiser(self, args: tuple, kwargs: dict, compute: Callable[..., Any]) -> Any:
        arguments = self.stack.arguments
        self._latents = arguments.named(args, kwargs)[arguments.latents]
        try:
            return compute(*args, **kwargs)
        finally:
            self._latents = None

    def decide(self, call: Call) -> bool:
        assert self._latents is not None
        signal = keep_signal(self._latents, self._sigma(self.step.timestep), self.config.power)
        previous, self._signal = self._signal, signal
        if previous is not None and self._points:
            self._total += _change(signal, previous)
            waits = self._skips >= self.config.max_skips or self.step.is_last
            if self._total < self.config.threshold and not waits:
                self._skips += 1
                return False
        self._total, self._skips = 0.0, 0
        return True

    def observe(self, change: Tensor) -> None:
        super().observe(change)
        self._points = [(self.step.index, change), *self._points[: self.config.order]]

    def predict(self) -> Tensor:
        (newest, change), *older = self._points
        if not older:
            return change
        before, last = older[0]
        return change + (change - last) * ((self.step.index - newest) / (newest - before))


def keep_signal(latents: Tensor, sigma: float, power: float) -> Tensor:
    """Filter noise out of latents, as far as it is told from signal by its spectrum.

    Parameters
    ----------
    latents : Tensor [batch, channels, ...]
        Over space, or time and space.
    sigma : float
        Noise over signal, σ/α.
    power : float
        The signal's spectrum is taken to be |f|^−power along each axis, f in cycles per element.

    Returns
    -------
    Tensor
        The same shape, float32: Wiener's gain S / (S + σ²), the product of the axes', of mean 1.
    """
    axes = range(2, latents.dim())
    gains = [_gain(latents, axis, sigma, power) for axis in axes]
    gain = reduce(torch.mul, gains)
    spectrum = torch.fft.fftn(latents.float(), dim=tuple(axes))
    return torch.fft.ifftn(spectrum * (gain / gain.mean()), dim=tuple(axes)).real


def _gain(latents: Tensor, axis: int, sigma: float, power: float) -> Tensor:
    """Gain along one axis, in the shape that reaches over the others."""
    frequencies = torch.fft.fftfreq(latents.shape[axis], device=latents.device)
    signal = 1.0 / (frequencies.abs() ** power + TINY)
    return (signal / (signal + sigma**2)).reshape(-1, *[1] * (latents.dim() - 1 - axis))


def _change(new: Tensor, old: Tensor) -> float:
    """Return the mean over the batch of mean |new − old| / mean |old|."""
    moved, size = (new - old).abs().flatten(1).mean(1), old.abs().flatten(1).mean(1)
    return float((moved / (size + TINY)).mean())
