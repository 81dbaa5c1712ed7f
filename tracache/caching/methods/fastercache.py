"""FasterCache (arXiv 2410.19355): attention outputs drift on, and guidance is cached too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracache.caching.checks import require_bool
from tracache.caching.declare import setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch
from tracache.caching.trace import COMPUTED, PARTIAL


@dataclass(frozen=True)
class FasterCacheConfig(MethodConfig):
    """Which attentions and which unconditional halves are left out.

    Attributes
    ----------
    attention_range : int, default 2
        Attentions compute at every so many-th step (1 … 50).
    guidance_range : int, default 5
        The unconditional half computes at every so many-th step (1 … 50).
    start : float, default 681
        Timestep from which on, downwards, anything is left out.
    weight : float, default 1.1
        How much stronger the cached guidance's low frequencies count in the first half of the
        run, and its high ones in the second.
    guided : bool, default True
        The batch holds the two halves of classifier-free guidance. Without, only attentions are
        left out.
    """

    attention_range: int = setting(2, low=1, high=50, label="Attention", tries=(2, 4, 8))
    guidance_range: int = setting(5, low=1, high=50, label="Guidance", tries=(5, 10))
    start: float = setting(
        681.0, low=0, high=1000, label="From timestep", tries=(681.0, 850.0, 1000.0)
    )
    weight: float = setting(1.1, low=0, high=2, label="Weight")
    guided: bool = True

    def check(self) -> None:
        """Raise ValueError where ``guided`` is neither True nor False."""
        require_bool("guided", self.guided)


class FasterCache(Method):
    """Keeps the last two outputs of every attention, and what guidance added.

    The halves of the batch are kept apart, since at some steps only one of them computes.
    """

    takes_modules = True
    needs = "the attentions of its blocks, and which half of a batch is guidance's"

    def __init__(self, config: FasterCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self.clear()

    def clear(self) -> None:
        # (block, part, half) → outputs, newest first.
        self._outputs: dict[tuple[int, str, int], list[Tensor]] = {}
        self._low: Tensor | None = None
        self._high: Tensor | None = None
        self._start: float | None = None
        self._repeating = False
        self._halved = False

    def begin(self, step: Step) -> None:
        c = self.config
        self._start = step.timestep if self._start is None else self._start
        self._progress = 1.0 - step.timestep / self._start if self._start else 1.0
        late = step.index > 0 and step.timestep < c.start
        self._halved = c.guided and late and step.index % c.guidance_range != 0
        # Where the unconditional half computes again, its attentions have rested too long to be
        # moved on.
        refreshed = c.guided and c.guidance_range > 1 and not self._halved
        self._repeating = late and step.index % c.attention_range != 0 and not refreshed

    # Guidance

    @property
    def _conditional(self) -> int:
        """Which half of the batch is the conditional one."""
        return 0 if self.stack.layout.conditional_first else 1

    def denoiser(self, args: tuple, kwargs: dict, compute: Callable[..., Any]) -> Any:
        if not self.config.guided:
            return compute(*args, **kwargs)
        arguments = self.stack.arguments
        batch = arguments.named(args, kwargs)[arguments.latents].shape[0]
        if batch % 2:
            raise ValueError(
                f"a batch of {batch} has no two halves for guidance: set guided=False, or use "
                "a guidance scale above 1"
            )
        if not self._halved:
            output = compute(*args, **kwargs)
            both = _sample_of(output).chunk(2)
            self._remember(both[self._conditional], both[1 - self._conditional])
            return output
        mine = _half(args, batch, self._conditional), _half(kwargs, batch, self._conditional)
        output = compute(*mine[0], **mine[1])
        conditional = _sample_of(output)
        halves = [conditional, self._unconditional(conditional)]
        whole = torch.cat(halves if self._conditional == 0 else halves[::-1])
        if isinstance(output, Tensor):
            return whole
        return (whole, *output[1:]) if isinstance(output, tuple) else type(output)(sample=whole)

    def _remember(self, conditional: Tensor, unconditional: Tensor) -> None:
        low, high = _split(conditional)
        low_u, high_u = _split(unconditional)
        self._low, self._high = low_u - low, high_u - high

    def _unconditional(self, conditional: Tensor) -> Tensor:
        assert self._low is not None
        assert self._high is not None
        low, high = _split(conditional)
        early = self._progress < 0.5
        low = low + self._low * (self.config.weight if early else 1.0)
        high = high + self._high * (1.0 if early else self.config.weight)
        whole = torch.fft.ifft2(torch.fft.ifftshift(low + high, dim=(-2, -1))).real
        return whole.to(conditional.dtype)

    # Attention

    def module(self, index: int, part: str, call: Call) -> Tensor:
        if part == "ff":
            return call()
        halves = self._running_halves()
        if self._repeating:
            return torch.cat([self._drift(index, part, half) for half in halves])
        output = call()
        for half, features in zip(halves, output.chunk(len(halves)), strict=True):
            kept = self._outputs.setdefault((index, part, half), [])
            kept.insert(0, features)
            del kept[2:]
        return output

    def _running_halves(self) -> list[int]:
        if not self.config.guided:
            return [0]
        return [self._conditional] if self._halved else [0, 1]

    def _drift(self, index: int, part: str, half: int) -> Tensor:
        """The newest output, moved on by a growing share of its last change."""
        kept = self._outputs[index, part, half]
        if len(kept) == 1:
            return kept[0]
        return kept[0] + (kept[0] - kept[1]) * self._progress

    def row(self) -> Any:
        if not (self._repeating or self._halved):
            return None
        computed = PARTIAL if self._halved else COMPUTED
        by_part = [
            1 if self._repeating and part != "ff" else computed for part in self.stack.layout.parts
        ]
        return by_part * self.stack.depth


def _half(values: Any, batch: int, half: int) -> Any:
    """One half of every tensor that has the batch as its first axis, however deep."""
    if isinstance(values, Tensor):
        whole = values.dim() > 0 and values.shape[0] == batch
        return values.chunk(2)[half] if whole else values
    if isinstance(values, dict):
        return {key: _half(value, batch, half) for key, value in values.items()}
    if isinstance(values, tuple | list):
        return type(values)(_half(value, batch, half) for value in values)
    return values


def _sample_of(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    return output[0] if isinstance(output, tuple) else output.sample


def _split(features: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high frequencies of the last two axes, as centred spectra."""
    spectrum = torch.fft.fftshift(torch.fft.fft2(features.float()), dim=(-2, -1))
    height, width = spectrum.shape[-2:]
    rows = torch.arange(height, device=spectrum.device)[:, None] - height // 2
    columns = torch.arange(width, device=spectrum.device)[None] - width // 2
    radius = max(min(height, width) // 5, 1)
    low = ((rows.abs() <= radius) & (columns.abs() <= radius)).to(torch.float32)
    return spectrum * low, spectrum * (1.0 - low)
