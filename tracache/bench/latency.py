"""What a stride gains in time, in one run, and where the rest of the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tracache.config import TraCacheConfig
from tracache.measure.latency import synchronize
from tracache.methods import METHODS, Asked, Plan
from tracache.models.loading import LoadedModel
from tracache.run import Inputs, prepare, sample


@dataclass(frozen=True)
class LatencyRow:
    """One stride; times are medians over the rounds.

    Attributes
    ----------
    stride : int or str
        What was asked for.
    steps, full_steps : int
        The schedule.
    denoising_s : float
        The denoising loop, seconds.
    speed_up : float
        Denoising time of full compute over this one's.
    block_ratio : float
        Block calls of full compute over this one's: the most that skipping could gain.
    computed_ms, skipped_ms : float
        Transformer forward at a computed and at a skipped step, milliseconds.
    outside_ms : float
        Rest of a step (scheduler, guidance), milliseconds.
    """

    stride: int | str
    steps: int
    full_steps: int
    denoising_s: float
    speed_up: float
    block_ratio: float
    computed_ms: float
    skipped_ms: float
    outside_ms: float

    @property
    def efficiency(self) -> float:
        """Share of the block ratio that the clock shows."""
        return self.speed_up / self.block_ratio

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return {**asdict(self), "efficiency": self.efficiency}


def measure_latency(
    model: LoadedModel,
    prompt: str | int,
    *,
    steps: int,
    configs: Sequence[TraCacheConfig],
    scheduler: str,
    guidance_scale: float,
    rounds: int = 5,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[LatencyRow]:
    """Time full compute and TraCache at several settings.

    Every round runs each of them once, so that a machine that slows down slows all alike; the
    figures are medians over the rounds. A first round is thrown away.
    """
    inputs = prepare(model, [prompt], [0], guidance_scale, scheduler)
    plans = [METHODS["full"].plan(Asked(steps, TraCacheConfig()))]
    plans += [METHODS["tracache"].plan(Asked(steps, config)) for config in configs]
    timings: list[list[_Timing]] = [[] for _ in plans]
    calls = []
    for round_ in range(rounds + 1):
        for plan, kept in zip(plans, timings, strict=True):
            timing = _time(model, inputs, plan)
            if round_ == 0:
                calls.append(timing.block_calls)
            else:
                kept.append(timing)
            progress()
    full_s = median(t.denoising_s for t in timings[0])
    cached = zip(configs, timings[1:], calls[1:], strict=True)
    for config, kept, block_calls in cached:
        denoising_s = median(t.denoising_s for t in kept)
        yield LatencyRow(
            stride=config.stride,
            steps=steps,
            full_steps=len(kept[0].full_steps),
            denoising_s=denoising_s,
            speed_up=full_s / denoising_s,
            block_ratio=calls[0] / block_calls,
            computed_ms=1e3 * median(t.computed_s for t in kept),
            skipped_ms=1e3 * median(t.skipped_s for t in kept),
            outside_ms=1e3 * median(t.outside_s for t in kept),
        )


@dataclass(frozen=True)
class _Timing:
    denoising_s: float
    computed_s: float
    skipped_s: float
    outside_s: float
    block_calls: float
    full_steps: tuple[int, ...]


def _time(model: LoadedModel, inputs: Inputs, plan: Plan) -> _Timing:
    """Time the loop once, and then, apart from it, its forwards one by one."""
    timed = sample(model, inputs, plan)
    with _timed_forwards(model) as forwards:
        # Waiting for the device around every forward would disturb the timing of the loop.
        apart = sample(model, inputs, plan)
    full = set(timed.full_steps)
    computed = [s for i, s in enumerate(forwards) if i in full]
    skipped = [s for i, s in enumerate(forwards) if i not in full]
    return _Timing(
        denoising_s=timed.denoising_s,
        computed_s=median(computed),
        skipped_s=median(skipped) if skipped else 0.0,
        outside_s=(apart.denoising_s - sum(forwards)) / len(forwards),
        block_calls=timed.block_calls,
        full_steps=timed.full_steps,
    )


@contextmanager
def _timed_forwards(model: LoadedModel) -> Iterator[list[float]]:
    """Collect the seconds of every forward of the transformer."""
    transformer = model.pipe.transformer
    seconds: list[float] = []
    start = 0.0

    def before(*_: Any) -> None:
        nonlocal start
        synchronize(model.device)
        start = time.perf_counter()

    def after(*_: Any) -> None:
        synchronize(model.device)
        seconds.append(time.perf_counter() - start)

    hooks = [
        transformer.register_forward_pre_hook(before),
        transformer.register_forward_hook(after),
    ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()
