"""Examines a cache on a denoiser: what it does, and whether it does it right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.experiments.doctor import judgements as judge
from tracache.experiments.doctor.cache import Attach, Cache
from tracache.experiments.doctor.findings import FAULT, HEALTHY, UNKNOWN, Diagnosis, Finding
from tracache.experiments.doctor.straight import bend, misses_of
from tracache.experiments.doctor.subject import Ask, Subject
from tracache.experiments.doctor.watching import (
    Call,
    Drift,
    frozen,
    in_format,
    watch,
    watch_scheduler,
)
from tracache.metrics.memory import peak_memory
from tracache.metrics.timing import synchronize


@dataclass(frozen=True)
class _Made:
    """A run and what was seen of it."""

    ends: list[Tensor]
    calls: list[Call]
    seconds: float = 0.0
    growth: int = 0
    kind: str = ""

    @property
    def work(self) -> list[int]:
        return [call.macs for call in self.calls]


@torch.no_grad()
def examine(subject: Subject, cache: Cache, steps: int = 12) -> Diagnosis:
    """Examine a cache; it is attached and detached several times, some twenty runs are made.

    Parameters
    ----------
    subject : Subject
        Denoisers without any cache, and a loop of theirs.
    cache : Cache
        What is examined.
    steps : int, default 12
        Of a run; at least 4.

    Raises
    ------
    ValueError
        If there are too few steps, the loop does not run even without a cache, or its work cannot
        be counted.
    """
    if steps < 4:
        raise ValueError(f"steps must be at least 4, for something to be skipped; got {steps}")
    return Diagnosis(
        cache.name, subject.name, steps, tuple(_Exam(subject, cache, steps).findings())
    )


class _Exam:
    """What findings have in common: the plain runs and the cached ones."""

    def __init__(self, subject: Subject, cache: Cache, steps: int) -> None:
        self.subject, self.cache, self.steps = subject, cache, steps
        self.ask = Ask(steps)
        weight = next(subject.denoisers[0].parameters())
        self.device, self.half = weight.device, weight.dtype in (torch.bfloat16, torch.float16)
        try:
            subject.run(self.ask)
        except Exception as error:
            raise ValueError(f"it does not run without a cache either: {_said(error)}") from error
        try:
            self.plain = self.run(self.ask, counted=True)
            self.timed = self.run(self.ask)
        except Exception as error:
            # PyTorch's counters do not know FlexAttention, say.
            raise ValueError(f"what it computes cannot be counted: {_said(error)}") from error
        # What two plain runs differ by, no cache can be blamed for.
        self.allowed = max(2 * judge.distance(self.timed.ends, self.plain.ends), 1e-6)

    def run(self, ask: Ask, *, counted: bool = False) -> _Made:
        """Make a run; counting its work, which takes time, or timing it."""
        watching = watch(self.subject.denoisers, counted=counted)
        with watching as seen, peak_memory(self.device) as peak:
            began = time.perf_counter()
            ends = _leaves(self.subject.run(ask))
            synchronize(self.device)
        took = time.perf_counter() - began
        return _Made(ends, seen.calls, took, peak.growth, peak.kind)

    def attached(self, attach: Attach | None = None) -> AbstractContextManager[Any]:
        return (attach or self.cache.attach)(self.subject, self.steps)

    def findings(self) -> Iterator[Finding]:
        """Look at one thing after the other; where it does not even run, at no more than that."""
        plain, cache = self.plain, self.cache
        others = [ask for ask in self._others() if self._runs(ask)]
        try:
            with self.attached():
                first = self.run(self.ask, counted=True)
                second = self.run(self.ask)
                # Put off: what another request does to a cache, the next may tell.
                found = {ask: self._or_error(ask) for ask in others}
                last = self._or_error(self.ask)
        except Exception as error:
            what = f"it does not run on this denoiser: {_said(error)}"
            yield Finding("attaches", FAULT, what)
            yield self._detached()
            return
        note = f"; {cache.note}" if cache.note else ""
        yield Finding("attaches", HEALTHY, f"it attaches and runs{note}")
        loose = None
        if cache.loose is not None:
            with self.attached(cache.loose):
                loose = self.run(self.ask, counted=True).work
        skips = judge.judge_skips(first.work, plain.work, loose)
        yield skips
        if loose is not None:
            yield judge.judge_threshold(first.work, loose, plain.work)
        yield self._repeats(first, second)
        yield self._detached()
        yield from self._after_others(first, second, found, last)
        idle = skips.figures.get("skipped", 0) == 0
        yield from self._features(first)
        yield self._half(idle)
        yield judge.judge_memory(second.kind, self.timed.growth, second.growth)
        share = skips.figures.get("share_of_macs", 1.0)
        yield judge.judge_time(self.timed.seconds, second.seconds, share)
        yield self._verdict(first, share)

    def _others(self) -> list[Ask]:
        ask = self.ask
        return [
            replace(ask, batch=2),
            replace(ask, resized=True),
            # One fewer, so that what counts steps without looking falls out of step.
            replace(ask, steps=ask.steps - 1),
        ]

    def _runs(self, ask: Ask) -> bool:
        """Whether the loop itself can do that."""
        try:
            self.run(ask)
        except Exception:
            return False
        return True

    def _or_error(self, ask: Ask) -> list[Tensor] | str:
        try:
            return self.run(ask).ends
        except Exception as error:
            return _said(error)

    def _repeats(self, first: _Made, second: _Made) -> Finding:
        found = judge.judge_same(
            "second run",
            judge.distance(second.ends, first.ends),
            self.allowed,
            "a second run is the first",
            "a run leaves something behind for the next",
        )
        return self._with_cure(found, self.ask, self.ask, first.ends)

    def _with_cure(self, found: Finding, before: Ask, ask: Ask, wanted: list[Tensor]) -> Finding:
        """Add to what leaks whether a reset between two runs stops it."""
        if found.status != FAULT or self.cache.reset is None:
            return found
        try:
            with self.attached():
                self.run(before)
                self.cache.reset(self.subject)
                again = judge.distance(self.run(ask).ends, wanted)
        except Exception:
            again = float("inf")
        cured = again <= self.allowed
        cure = "reset its state between runs" if cured else "not even a reset of its state helps"
        figures = {**found.figures, "after_a_reset": again}
        return replace(found, sentence=f"{found.sentence}; {cure}", figures=figures)

    def _detached(self) -> Finding:
        ends = self.run(self.ask).ends
        return judge.judge_same(
            "detached",
            judge.distance(ends, self.plain.ends),
            self.allowed,
            "detached, the plain result is back",
            "detached, it still acts",
        )

    def _after_others(
        self,
        first: _Made,
        second: _Made,
        found: dict[Ask, list[Tensor] | str],
        last: list[Tensor] | str,
    ) -> Iterator[Finding]:
        """Whether requests of other kinds in between come out as on their own."""
        for ask, ends in found.items():
            about = _name(ask, self.ask)
            with self.attached():
                fresh = self._or_error(ask)
            if isinstance(fresh, str):
                yield Finding(about, FAULT, f"with it, this does not run: {fresh}")
                continue
            same = "after another run it is as on its own"
            yield self._with_cure(self._same(about, ends, fresh, same), self.ask, ask, fresh)
        for ask in self._others():
            if ask not in found:
                yield Finding(_name(ask, self.ask), UNKNOWN, "this loop does no other")
        # Of two runs that differ, either will do: that they do has been said.
        ends = second.ends if self._equals(last, second.ends) else first.ends
        again = self._same("after all these", last, ends, "the first request is as at first")
        before = list(found)[-1] if found else self.ask
        yield self._with_cure(again, before, self.ask, first.ends)

    def _same(
        self, about: str, ends: list[Tensor] | str, wanted: list[Tensor], same: str
    ) -> Finding:
        if isinstance(ends, str):
            return Finding(about, FAULT, f"after another run, this does not run: {ends}")
        off = judge.distance(ends, wanted)
        other = "something is left of the run before"
        return judge.judge_same(about, off, self.allowed, same, other)

    def _equals(self, ends: list[Tensor] | str, others: list[Tensor]) -> bool:
        return not isinstance(ends, str) and judge.distance(ends, others) <= self.allowed

    def _features(self, first: _Made) -> Iterator[Finding]:
        """Features that stand still, and features that move straight."""
        whole = self.plain.work
        plain, wanted = self._with_features(None)
        cached, handed = self._with_features(self.cache.attach)
        # Where a threshold decides, other features are skipped than those of the first run.
        work = first.work if self.cache.loose is None else [call.macs for call in cached]
        if all(share >= judge.COMPUTED for share in judge.shares(work, whole)):
            yield Finding("constant features", UNKNOWN, "nothing is skipped even then")
        else:
            errors = [judge.distance(a, b) for a, b in zip(handed, wanted, strict=True)]
            kinds = len({call.who for call in plain if call.who[0] == 0})
            yield judge.judge_constant(errors, kinds, 5e-2 if self.half else 1e-4)
        if self.cache.order > 0:
            yield self._straight(judge.shares(work, whole))

    def _straight(self, shares: Sequence[float]) -> Finding:
        about = "linear series"
        if self.half:
            return Finding(about, UNKNOWN, "too fine to be seen in half precision")
        for size in (1e-2, 1e-3, 1e-4):
            drift = Drift(self.cache.along, size)
            plain, _ = self._with_features(None, drift)
            if bend(plain) <= judge.STRAIGHT:
                break
        else:
            return Finding(about, UNKNOWN, "this denoiser makes nothing straight of what is")
        cached, _ = self._with_features(self.cache.attach, drift)
        points = self.cache.points
        return judge.judge_linear(
            misses_of(cached, plain, shares, points), points, self.cache.order
        )

    def _with_features(
        self, attach: Attach | None, drift: Drift | None = None
    ) -> tuple[list[Call], list[list[Tensor]]]:
        """Run with frozen inputs; return the calls, and what is to be compared of each step."""
        parts, scheduler = self.subject.denoisers, self.subject.scheduler
        beneath = self.cache.at_scheduler
        counted = attach is not None and self.cache.loose is not None
        above: AbstractContextManager[list[list[Tensor]]] = nullcontext([])
        if beneath:
            above = watch_scheduler(scheduler)
        with (
            above as steps,
            watch(parts, counted=counted, kept=True) as seen,
            frozen(parts, seen, drift),
            nullcontext() if attach is None else self.attached(attach),
        ):
            self.subject.run(self.ask)
        return seen.calls, steps if beneath else [call.outputs for call in seen.calls]

    def _half(self, idle: bool) -> Finding:
        if idle:
            return Finding("half precision", UNKNOWN, "nothing is skipped")
        ends: dict[tuple[torch.dtype, bool], list[Tensor]] = {}
        for dtype in (torch.float32, torch.bfloat16):
            for cached in (False, True):
                try:
                    ends[dtype, cached] = self._in(dtype, cached)
                except Exception as error:
                    if cached:
                        what = f"in {str(dtype)[6:]} it does not run: {_said(error)}"
                        return Finding("half precision", FAULT, what)
                    what = f"this loop does not run in {str(dtype)[6:]}: {_said(error)}"
                    return Finding("half precision", UNKNOWN, what)
        single, half = torch.float32, torch.bfloat16
        return judge.judge_half(
            judge.distance(ends[single, True], ends[single, False]),
            judge.distance(ends[half, True], ends[half, False]),
            judge.distance(ends[half, False], ends[single, False]),
        )

    def _in(self, dtype: torch.dtype, cached: bool) -> list[Tensor]:
        put_on = self.attached() if cached else nullcontext()
        with in_format(self.subject.denoisers, dtype), put_on:
            return _leaves(self.subject.run(self.ask))

    def _verdict(self, first: _Made, share: float) -> Finding:
        fewer = max(round(share * self.steps), 1)
        about = "against fewer steps"
        if fewer >= self.steps:
            return Finding(about, UNKNOWN, "it computes as much as a plain run does")
        ask = replace(self.ask, steps=fewer)
        try:
            ends = self.run(ask).ends
        except Exception as error:
            return Finding(about, UNKNOWN, f"{fewer} plain steps do not run: {_said(error)}")
        if [x.shape for x in ends] != [x.shape for x in self.plain.ends]:
            return Finding(about, UNKNOWN, "this loop ends otherwise with fewer steps")
        return judge.judge_verdict(
            judge.distance(first.ends, self.plain.ends),
            judge.distance(ends, self.plain.ends),
            fewer,
            self.steps,
        )


def _name(ask: Ask, usual: Ask) -> str:
    if ask.batch != usual.batch:
        return "another batch"
    return "another size" if ask.resized else "other steps"


def _leaves(ends: Any) -> list[Tensor]:
    return [x.detach().clone() for x in pytree.tree_leaves(ends) if isinstance(x, Tensor)]


def _said(error: Exception) -> str:
    """The first line of an error, in few words."""
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:200]}"
