"""Speed: what share of the saved work the clock shows, and where the rest goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from tracache.compare.arm import Setup
from tracache.compare.counting import block_lists, denoisers_of
from tracache.compare.sampling import Inputs, prepare
from tracache.experiments.contenders import Contender, run_contender
from tracache.metrics.macs import count_macs
from tracache.metrics.memory import peak_memory
from tracache.metrics.timing import synchronize
from tracache.models.loading import LoadedModel


@dataclass(frozen=True)
class LatencyRow:
    """One contender against full compute of the same model and batch.

    Attributes
    ----------
    arm : str
        The arm, or the peer.
    stride : int or str
        That it was asked to keep.
    steps, full_steps : int, int or None
        Of the run; a peer does not say how many it computed.
    batch : int
        Images at once.
    compiled : bool
        Whether the blocks ran through ``torch.compile``.
    denoising_s : float
        The denoising loop, seconds.
    transformer_s : float
        The transformer's forwards within one, seconds.
    speed_up : float
        Denoising time of full compute over this one's.
    block_ratio, macs_ratio : float
        Block calls, and multiply–accumulates, of full compute over this one's: the most that
        skipping could gain. A peer's skipped blocks are called all the same: no block ratio.
    computed_ms, skipped_ms : float
        Transformer forward at a computed and at a skipped step, milliseconds.
    outside_ms : float
        Rest of a step (scheduler, guidance), milliseconds.
    peak_kind, peak_bytes, peak_ratio : str, int, float
        What memory was measured, its peak, and that over full compute's.
    """

    arm: str
    stride: int | str
    steps: int
    full_steps: int | None
    batch: int
    compiled: bool
    denoising_s: float
    transformer_s: float
    speed_up: float
    block_ratio: float | None
    macs_ratio: float
    computed_ms: float
    skipped_ms: float
    outside_ms: float
    peak_kind: str
    peak_bytes: int
    peak_ratio: float

    @property
    def efficiency(self) -> float:
        """Share of the MACs ratio that the clock shows."""
        return self.speed_up / self.macs_ratio

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return {**asdict(self), "efficiency": self.efficiency}


def measure_latency(
    model: LoadedModel,
    prompt: str | int,
    contenders: Sequence[Contender],
    *,
    scheduler: str,
    guidance_scale: float,
    batch: int = 1,
    compiled: bool = False,
    rounds: int = 5,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[LatencyRow]:
    """Time contenders against full compute of as many steps.

    Every round runs each of them once, so that a machine that slows down slows all alike; the
    figures are medians over the rounds. A first round, in which products are counted and memory is
    measured, is not timed.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    prompt : str or int
        Prompt or class of every image.
    contenders : sequence of Contender
        All of one number of steps.
    scheduler, guidance_scale
        Of the run.
    batch : int, default 1
        Images at once.
    compiled : bool, default False
        Whether to run the blocks through ``torch.compile``; full compute's too.
    rounds : int, default 5
        Timed rounds.
    progress : callable, optional
        Called after every run of a contender.
    """
    (steps,) = {c.setup.num_steps for c in contenders}
    inputs = prepare(model, [prompt] * batch, range(batch), guidance_scale, scheduler)
    timed = [Contender("full", 1, Setup(steps)), *contenders]
    counted = [_count(model, inputs, contender) for contender in timed]
    timings: list[list[_Timing]] = [[] for _ in timed]
    with _compiled(model) if compiled else nullcontext():
        for round_ in range(rounds + 1):
            for contender, kept in zip(timed, timings, strict=True):
                timing = _time(model, inputs, contender)
                if round_ > 0:
                    kept.append(timing)
                progress()
        peaks = [_measure_peak(model, inputs, contender) for contender in timed]
    full_s = median(t.denoising_s for t in timings[0])
    for i, contender in enumerate(timed):
        kept, (kind, peak) = timings[i], peaks[i]
        denoising_s = median(t.denoising_s for t in kept)
        yield LatencyRow(
            arm=contender.name,
            stride=contender.stride,
            steps=steps,
            full_steps=counted[i].full_steps,
            batch=batch,
            compiled=compiled,
            denoising_s=denoising_s,
            transformer_s=median(t.transformer_s for t in kept),
            speed_up=full_s / denoising_s,
            block_ratio=_over(counted[0].block_calls, counted[i].block_calls),
            macs_ratio=counted[0].macs / counted[i].macs,
            computed_ms=1e3 * median(t.computed_s for t in kept),
            skipped_ms=1e3 * median(t.skipped_s for t in kept),
            outside_ms=1e3 * median(t.outside_s for t in kept),
            peak_kind=kind,
            peak_bytes=peak,
            peak_ratio=peak / peaks[0][1],
        )


@dataclass(frozen=True)
class _Count:
    macs: int
    block_calls: float | None
    full_steps: int | None


def _over(full: float | None, own: float | None) -> float | None:
    return None if full is None or own is None else full / own


@dataclass(frozen=True)
class _Timing:
    denoising_s: float
    transformer_s: float
    computed_s: float
    skipped_s: float
    outside_s: float


def _count(model: LoadedModel, inputs: Inputs, contender: Contender) -> _Count:
    """Count what a contender computes; eagerly, since compiled products hide from the count."""
    with count_macs() as macs:
        done = run_contender(model, inputs, contender)
    full = len(done.computed_steps)
    if contender.peer is None:
        return _Count(macs.total, done.block_calls, full)
    # A peer's skipped blocks are still called.
    return _Count(macs.total, None, None)


def _measure_peak(model: LoadedModel, inputs: Inputs, contender: Contender) -> tuple[str, int]:
    # Apart from the timed runs, which a thread that watches would disturb.
    with peak_memory(model.device) as peak:
        run_contender(model, inputs, contender)
    return peak.kind, peak.bytes


def _time(model: LoadedModel, inputs: Inputs, contender: Contender) -> _Timing:
    """Time the loop once, and then, apart from it, its forwards one by one."""
    timed = run_contender(model, inputs, contender)
    with _timed_forwards(model) as forwards:
        # Waiting for the device around every forward would disturb the timing of the loop.
        apart = run_contender(model, inputs, contender)
    forwards = _by_step(forwards, timed.num_steps)
    full = set(timed.computed_steps)
    if contender.peer is not None:
        # A peer does not say which steps it computes; they are those that take longer.
        middle = (min(forwards) + max(forwards)) / 2
        full = {i for i, seconds in enumerate(forwards) if seconds > middle}
    computed = [s for i, s in enumerate(forwards) if i in full]
    skipped = [s for i, s in enumerate(forwards) if i not in full]
    return _Timing(
        denoising_s=timed.denoising_s,
        transformer_s=sum(forwards),
        computed_s=median(computed),
        skipped_s=median(skipped) if skipped else 0.0,
        outside_s=(apart.denoising_s - sum(forwards)) / len(forwards),
    )


def _by_step(forwards: Sequence[float], steps: int) -> list[float]:
    """Seconds of each step, of which a pipeline that guides by a second call has two."""
    each = max(1, len(forwards) // steps)
    return [sum(forwards[i : i + each]) for i in range(0, len(forwards), each)]


@contextmanager
def _compiled(model: LoadedModel) -> Iterator[None]:
    """Run every block through ``torch.compile`` for as long as the context lasts."""
    blocks = [b for denoiser in denoisers_of(model.pipe) for b in block_lists(denoiser)]
    for block in blocks:
        block.compile()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None
        torch.compiler.reset()


@contextmanager
def _timed_forwards(model: LoadedModel) -> Iterator[list[float]]:
    """Collect the seconds of every forward of the denoisers."""
    seconds: list[float] = []
    start = 0.0

    def before(*_: Any) -> None:
        nonlocal start
        synchronize(model.device)
        start = time.perf_counter()

    def after(*_: Any) -> None:
        synchronize(model.device)
        seconds.append(time.perf_counter() - start)

    hooks: list[Any] = []
    for denoiser in denoisers_of(model.pipe):
        hooks += [
            denoiser.register_forward_pre_hook(before),
            denoiser.register_forward_hook(after),
        ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()
