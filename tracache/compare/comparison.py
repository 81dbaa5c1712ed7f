"""Runs the arms of a request one after another from the same noise, and measures them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tracache.caching.trace import Trace
from tracache.compare.all_blocks import (
    bytes_per_block,
    count_rows,
    free_for_histories,
    make_groups,
    watch_blocks,
)
from tracache.compare.arm import PUBLISHED, REFERENCE, TRACACHE, Setup
from tracache.compare.arms import ARMS
from tracache.compare.baselines import BASELINES, Baseline
from tracache.compare.course import Course, Estimates, Recorder, make_courses
from tracache.compare.events import ArmDone, ArmStarted, Event, Finished, Stage, StepDone
from tracache.compare.preview import Glimpses, Palette
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.rounds import compare_times, count_rounds
from tracache.compare.sampling import Inputs, decode, prepare, sample
from tracache.compare.warm_up import Warm, latent_channels, warm_up
from tracache.media import Picture
from tracache.metrics.fidelity import image_quality, relative_error
from tracache.metrics.macs import count_macs
from tracache.metrics.memory import peak_memory
from tracache.metrics.timing import synchronize
from tracache.models.loading import LoadedModel
from tracache.models.placement import require_room
from tracache.models.teams import release_team
from tracache.settings import Settings

#: How often somebody who waits for the device looks up, seconds.
PATIENCE_S = 0.5


class NotFiniteError(RuntimeError):
    """An arm gave latents with NaN or infinity; the message names it and says what to try."""


class CancelledError(Exception):
    """Ends a run between two steps."""


def compare(
    model: LoadedModel, request: Request, settings: Settings | None = None
) -> Generator[Event, None, None]:
    """Run a request and yield what happens, ending with :class:`~tracache.compare.events.Finished`.

    Closing the generator ends the work within one denoising step; either way the transformer is
    left without a cache. A second comparison on the same model waits for the first.

    Parameters
    ----------
    model : LoadedModel
        The request's model.
    request : Request
        What to run.
    settings : Settings, optional
        Say how long the arms are timed together, see :mod:`tracache.compare.rounds`; from the
        environment if not given.

    Raises
    ------
    ValueError
        If the request is for another model, or a video for which the memory is too small.
    """
    if request.model != model.spec.id:
        raise ValueError(f"the request is for {request.model}, the model is {model.spec.id}")
    require_room(model.spec, request.size, model.device, model.dtype.itemsize)
    timing_s = (settings or Settings.from_environment()).timing_s
    # The pipeline's loop belongs to diffusers, so it runs in a thread of its own and reports here.
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            _Comparison(model, request, events.put, cancelled, timing_s).run()
            events.put(None)
        except BaseException as error:
            events.put(error)

    while not model.lock.acquire(timeout=PATIENCE_S):
        # Whoever waits can be told so, and can give up.
        yield Stage("wait", "Waiting for another run to end")
    try:
        # What this thread has computed with would slow the other down.
        release_team()
        worker = threading.Thread(target=work, name="tracache-compare", daemon=True)
        worker.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            cancelled.set()
            worker.join()
    finally:
        model.lock.release()


def run(model: LoadedModel, request: Request, settings: Settings | None = None) -> Report:
    """Run a request to its end and return the report."""
    for event in compare(model, request, settings):
        if isinstance(event, Finished):
            return event.report
    raise AssertionError("a comparison ends with Finished")


@dataclass(frozen=True)
class _Reference:
    """What the other arms are held against: full compute, since it runs first."""

    image: Picture
    latents: Tensor
    macs: int


class _Comparison:
    """The work of one request, on the worker's side."""

    def __init__(
        self,
        model: LoadedModel,
        request: Request,
        emit: Callable[[Event], None],
        cancelled: threading.Event,
        timing_s: float,
    ) -> None:
        self.model = model
        self.request = request
        self.emit = emit
        self.cancelled = cancelled
        self.timing_s = timing_s
        self.reference: _Reference | None = None
        self.computed: int | None = None
        self.traces: dict[str, Trace] = {}
        self.estimates: dict[str, Estimates | None] = {}
        self.warm: Warm

    def run(self) -> None:
        request = self.request
        what = "prompt" if request.class_label is None else "class"
        self.emit(Stage("encode", f"Reading the {what}"))
        start = time.perf_counter()
        inputs = prepare(
            self.model,
            [request.subject],
            [request.seed],
            request.guidance_scale,
            request.scheduler,
            request.size,
            request.negative_prompt,
        )
        synchronize(self.model.device)
        encoding_s = time.perf_counter() - start

        self.emit(Stage("warm-up", "Warming up"))
        self.warm = warm_up(self.model, inputs, request.arms, self._check)
        results = []
        for arm in request.arms:
            result = self._reuse(arm) or self._run_arm(arm, inputs, encoding_s)
            results.append(result)
            self.emit(ArmDone(results[-1]))
        if request.timed:
            results = self._time_together(results, inputs)
        trace = self._watch_every_block(inputs) if request.trace else None
        report = Report(
            request,
            tuple(results),
            trace,
            self.model.device_name,
            self.model.dtype_name,
            self._courses(),
        )
        self.emit(Finished(report))

    def _check(self) -> None:
        if self.cancelled.is_set():
            raise CancelledError

    def _set_up(self, arm: str) -> Setup:
        return self.request.set_up(arm, self.computed)

    def _run_arm(self, arm: str, inputs: Inputs, encoding_s: float) -> ArmResult:
        setup, method, model = self._set_up(arm), ARMS[arm], self.model
        counted = self._count(setup, method.title, inputs)
        self.emit(ArmStarted(arm, method.title, setup.num_steps, self.warm.palette))
        glimpses, recorder = Glimpses(), Recorder(setup.num_steps)
        full_steps = 0
        begin = time.perf_counter()

        def on_step(step: int, computed: bool) -> None:
            nonlocal full_steps
            self._check()
            full_steps += computed
            if self.request.trace:
                recorder.note(glimpses.last, computed)
            elapsed = time.perf_counter() - begin
            self.emit(StepDone(arm, step, setup.num_steps, computed, elapsed, glimpses.last))

        with peak_memory(model.device) as memory:
            done = sample(model, inputs, setup, on_step=on_step, glimpses=glimpses)
            if not torch.isfinite(done.latents).all():
                raise NotFiniteError(_not_finite(arm, method.title, setup))
            images = decode(model, inputs, done.latents)
            synchronize(model.device)
        end_to_end_s = encoding_s + time.perf_counter() - begin
        self.estimates[arm] = recorder.finish()
        if arm == self.request.matched:
            self.computed = max(1, round(done.block_calls / self.warm.blocks))
        if done.trace is not None:
            self.traces[arm] = done.trace
        total, linear = counted or self.warm.macs.of(full_steps, setup)
        if self.reference is None:
            self.reference = _Reference(images[0], done.latents, total)
        full = self.reference
        quality = image_quality(images[0], full.image)
        result = ArmResult(
            arm=arm,
            title=method.title,
            num_steps=setup.num_steps,
            full_steps=full_steps,
            block_calls=done.block_calls,
            macs=total,
            linear_macs=linear,
            denoising_s=done.denoising_s,
            end_to_end_s=end_to_end_s,
            memory_kind=memory.kind,
            memory_bytes=memory.bytes,
            speed_up_macs=full.macs / total,
            psnr=quality.psnr,
            ssim=quality.ssim,
            latent_error=relative_error(done.latents, full.latents),
            image=images[0],
            frame_psnr=quality.frames,
            measured_at=time.time(),
        )
        if arm == REFERENCE:
            watched = self.request.trace
            baseline = Baseline(result, done.latents, self.estimates[arm], watched)
            BASELINES.of(model).put(self._baseline_key(), baseline)
        return result

    def _baseline_key(self) -> Hashable:
        """All that an image of full compute depends on; the model is the one that keeps it."""
        request = self.request
        return (
            request.subject,
            request.negative_prompt,
            request.seed,
            request.steps,
            request.guidance_scale,
            request.scheduler,
            request.size,
        )

    def _reuse(self, arm: str) -> ArmResult | None:
        """Return full compute's result where an identical one is at hand and will do."""
        if arm != REFERENCE or not self.request.reuse_baseline:
            return None
        known = BASELINES.of(self.model).get(self._baseline_key())
        if known is None or (self.request.trace and not known.watched):
            return None
        result = replace(known.result, reused=True)
        self.reference = _Reference(result.image, known.latents, result.macs)
        self.estimates[arm] = known.estimates
        return result

    def _time_together(self, results: list[ArmResult], inputs: Inputs) -> list[ArmResult]:
        """Time all arms in rounds, and nothing else meanwhile: no previews, no pictures.

        On a large model the runs that made the pictures are the one round; where one of them was
        left out there is none.
        """
        # By the arm that went best, so that one that went badly does not make a model large.
        pace = min(result.denoising_s / result.macs for result in results)
        rounds = 0
        if len(results) > 1:
            rounds = count_rounds(pace * sum(result.macs for result in results), self.timing_s)
        if rounds == 0 and any(result.reused for result in results):
            return results
        seconds = {result.arm: [] if rounds else [result.denoising_s] for result in results}
        for number in range(rounds):
            message = f"Timing all arms together: round {number + 1} of {rounds}"
            self.emit(Stage("timing", message))
            for arm, own in seconds.items():
                done = sample(
                    self.model, inputs, self._set_up(arm), on_step=lambda *_: self._check()
                )
                own.append(done.denoising_s)
        timings = compare_times(seconds, REFERENCE)
        return [result.with_timing(timings[result.arm]) for result in results]

    def _courses(self) -> tuple[Course, ...]:
        """What each arm took the picture for; full compute's own shows how latents look."""
        full = self.reference
        estimates = {arm: found for arm, found in self.estimates.items() if found is not None}
        if full is None or not self.request.trace or not estimates:
            return ()
        palette = Palette.fit(full.latents, full.image, latent_channels(self.model.pipe))
        return make_courses(estimates, {arm: ARMS[arm].title for arm in estimates}, palette)

    def _count(self, setup: Setup, title: str, inputs: Inputs) -> tuple[int, int] | None:
        """Count an arm's MACs by running it once, untimed, where steps are not all or nothing."""
        if setup.whole_steps:
            return None
        self.emit(Stage("count", f"Counting what {title} computes, untimed"))
        with count_macs() as macs:
            sample(self.model, inputs, setup, on_step=lambda *_: self._check())
        return macs.total, macs.linear

    def _watch_every_block(self, inputs: Inputs) -> Trace | None:
        """Run the first arm with a cache again, untimed, and record every block's order."""
        cached = [arm for arm in self.request.arms if self._set_up(arm).cache is not None]
        if not cached:
            return None
        arm = next((arm for arm in (TRACACHE, PUBLISHED) if arm in cached), cached[0])
        setup = self._set_up(arm)
        rows = count_rows(self.model, setup)
        room = free_for_histories(self.model.device, self.warm.peak)
        return watch_blocks(
            self.model,
            inputs,
            setup,
            make_groups(rows, room, bytes_per_block(setup, self.warm.features)),
            title=ARMS[arm].title,
            say=lambda line: self.emit(Stage("trace", line)),
            check=self._check,
        )


def _not_finite(arm: str, title: str, setup: Setup) -> str:
    told = f"{title} gave latents that are not finite (NaN or infinity), so there is no picture"
    if arm == REFERENCE or setup.cache is None:
        return f"{told}; try another scheduler, more steps, or a lower guidance scale"
    if setup.cache.at_scheduler:
        return f"{told}; try more computed steps"
    return f"{told}; try more computed steps, a smaller stride or a lower max order"
