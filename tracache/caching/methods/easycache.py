"""EasyCache (arXiv 2507.02860): how fast the output follows the input tells what to skip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MAX_STEPS, MethodConfig
from tracache.caching.methods.base import Method, Stack, Step, Watch
from tracache.caching.tail import is_feature, is_plain


@dataclass(frozen=True)
class EasyCacheConfig(MethodConfig):
    """When the denoiser runs.

    Attributes
    ----------
    threshold : float, default 0.2
        The denoiser is skipped while the relative changes of its output that its input's changes
        foretell add up to less than this (0 … 100); 0 is full compute. The default computes 10 of
        20 steps of the embedded text-to-image model; with the 0.05 published for videos of 50
        steps it is 19.
    warmup : int, default 2
        Leading steps that compute (1 … 1000). Published are 5 and 10 of 50 steps.
    """

    threshold: float = setting(0.2, low=0, high=100, label="Threshold", tries=rising(0.02, 2.0, 16))
    warmup: int = setting(2, low=1, high=MAX_STEPS, label="Warm-up", shown=(1, 20, 1))

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True


class EasyCache(Method):
    """Answers for the whole forward of any denoiser: input + the last output − its input.

    With v the output for the input x, k = |v − v'| / |x − x'| between two computed steps, of mean
    absolute values, and a change of the input by d is taken to change the output by k · d. Where
    the output has more channels than the input, as with a learned variance, the rest is repeated;
    where the two are otherwise unlike, all of it is. Reads a number or two back from the device at
    every step.
    """

    needs = ""

    def __init__(self, config: EasyCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self.clear()

    def clear(self) -> None:
        self._signature: Any = None
        self._input: list[Tensor] = []
        #: Input and output of the last computed step, and what is repeated of it.
        self._computed: tuple[list[Tensor], list[Tensor]] | None = None
        self._kept: tuple[list[Any], Any] | None = None
        self._rate: float | None = None
        self._total = 0.0
        self._skipping = False

    def begin(self, step: Step) -> None:
        self._step = step

    def denoiser(self, args: tuple, kwargs: dict, compute: Callable[..., Any]) -> Any:
        arguments = self.stack.arguments
        signature = arguments.signature(args, kwargs)
        if signature != self._signature:
            self.clear()
            self._signature = signature
        given = arguments.named(args, kwargs).get(arguments.latents)
        before, self._input = self._input, [x.detach().clone() for x in _features(given)]
        self._skipping = not self._decide(before)
        if self._skipping:
            return self._answer()
        output = compute(*args, **kwargs)
        self._take(output)
        return output

    def _decide(self, before: list[Tensor]) -> bool:
        """Whether the denoiser runs."""
        if self._computed is not None and self._rate is not None and self._kept is not None:
            size = _size(self._computed[1])
            self._total += self._rate * _distance(self._input, before) / size if size else 1e9
            early = self._step.index < self.config.warmup
            if self._total < self.config.threshold and not early and not self._step.is_last:
                return False
        self._total = 0.0
        return True

    def _take(self, output: Any) -> None:
        """Take note of a computed step."""
        leaves, spec = pytree.tree_flatten(output)
        found = [x.detach().clone() for x in leaves if is_feature(x)]
        # What holds more than tensors, a cache of keys beside the picture, cannot be repeated.
        plain = is_plain(x for x in leaves if not isinstance(x, Tensor))
        if not plain or not found or not self._input:
            self._kept = self._rate = self._computed = None
            return
        if self._computed is not None:
            moved = _distance(self._input, self._computed[0])
            self._rate = _distance(found, self._computed[1]) / moved if moved else None
        self._computed = self._input, found
        kept = iter(_shift(found, self._input, -1.0))
        self._kept = [next(kept) if is_feature(x) else x for x in leaves], spec

    def _answer(self) -> Any:
        assert self._kept is not None
        leaves, spec = self._kept
        features = [x for x in leaves if is_feature(x)]
        made = iter(_shift(features, self._input, 1.0))
        return pytree.tree_unflatten([next(made) if is_feature(x) else x for x in leaves], spec)

    def row(self) -> Any:
        return 0 if self._skipping else None


def _features(given: Any) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(given) if is_feature(x)]


def _size(tensors: Sequence[Tensor]) -> float:
    return sum(float(x.float().abs().mean()) for x in tensors)


def _distance(new: Sequence[Tensor], old: Sequence[Tensor]) -> float:
    return _size([x - y for x, y in zip(new, old, strict=True)])


def _shift(outputs: Sequence[Tensor], inputs: Sequence[Tensor], sign: float) -> list[Tensor]:
    """Return outputs ± inputs, of the channels that both have, where they are alike otherwise."""
    shifted = [x.clone() for x in outputs]
    if len(outputs) == len(inputs):
        for x, given in zip(shifted, inputs, strict=True):
            if x.dim() == given.dim() and x.dim() > 1 and _others(x) == _others(given):
                both = min(x.shape[1], given.shape[1])
                x[:, :both] += sign * given[:, :both].to(x.dtype)
    return shifted


def _others(x: Tensor) -> tuple[int, ...]:
    return (*x.shape[:1], *x.shape[2:])
