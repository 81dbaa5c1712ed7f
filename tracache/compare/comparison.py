"""Runs the arms of a request one after another from the same noise, and measures them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Hashable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tracache.caching.config import MethodConfig, TraCacheConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.trace import Trace
from tracache.compare.all_blocks import (
    Features,
    bytes_per_block,
    count_rows,
    free_for_histories,
    make_groups,
    measure_features,
    watch_blocks,
)
from tracache.compare.arms import ARMS, PUBLISHED, REFERENCE, TRACACHE, Setup
from tracache.compare.baselines import Baseline, baselines_of
from tracache.compare.counting import is_declared
from tracache.compare.events import ArmDone, ArmStarted, Event, Finished, Stage, StepDone
from tracache.compare.preview import Glimpses, Palette
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.sampling import Inputs, Sample, decode, prepare, sample
from tracache.media import Picture
from tracache.metrics.fidelity import image_quality, relative_error
from tracache.metrics.macs import count_macs
from tracache.metrics.memory import MemoryPeak, peak_memory
from tracache.metrics.timing import synchronize
from tracache.models.loading import LoadedModel
from tracache.models.placement import require_room

#: How often somebody who waits for the device looks up, seconds.
PATIENCE_S = 0.5


class NotFiniteError(RuntimeError):
    """An arm gave latents with NaN or infinity; the message names it and says what to try."""


class CancelledError(Exception):
    """Ends a run between two steps."""


def compare(model: LoadedModel, request: Request) -> Generator[Event, None, None]:
    """Run a request and yield what happens, ending with :class:`~tracache.compare.events.Finished`.

    Closing the generator ends the work within one denoising step; either way the transformer is
    left without a cache. A second comparison on the same model waits for the first.

    Parameters
    ----------
    model : LoadedModel
        The request's model.
    request : Request
        What to run.

    Raises
    ------
    ValueError
        If the request is for another model, or a video for which the memory is too small.
    """
    if request.model != model.spec.id:
        raise ValueError(f"the request is for {request.model}, the model is {model.spec.id}")
    require_room(model.spec, request.size, model.device, model.dtype.itemsize)
    # The pipeline's loop belongs to diffusers, so it runs in a thread of its own and reports here.
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            _Comparison(model, request, events.put, cancelled).run()
            events.put(None)
        except BaseException as error:
            events.put(error)

    while not model.lock.acquire(timeout=PATIENCE_S):
        # Whoever waits can be told so, and can give up.
        yield Stage("wait", "Waiting for another run to end")
    try:
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


def run(model: LoadedModel, request: Request) -> Report:
    """Run a request to its end and return the report."""
    for event in compare(model, request):
        if isinstance(event, Finished):
            return event.report
    raise AssertionError("a comparison ends with Finished")


@dataclass(frozen=True)
class _Reference:
    """What the other arms are held against: full compute, since it runs first."""

    image: Picture
    latents: Tensor
    denoising_s: float
    macs: int


class _Comparison:
    """The work of one request, on the worker's side."""

    def __init__(
        self,
        model: LoadedModel,
        request: Request,
        emit: Callable[[Event], None],
        cancelled: threading.Event,
    ) -> None:
        self.model = model
        self.request = request
        self.emit = emit
        self.cancelled = cancelled
        self.reference: _Reference | None = None
        self.computed: int | None = None
        #: Of a step that computes everything.
        self.blocks = 0.0
        self.traces: dict[str, Trace] = {}
        self.palette: Palette
        self.features: Features
        self.warm_up_peak: MemoryPeak

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
        macs = self._warm_up(inputs)
        results = []
        for arm in request.arms:
            result = self._reuse(arm) or self._run_arm(arm, inputs, encoding_s, macs)
            results.append(result)
            self.emit(ArmDone(results[-1]))
        trace = self._watch_every_block(inputs) if request.trace else None
        report = Report(
            request, tuple(results), trace, self.model.device_name, self.model.dtype_name
        )
        self.emit(Finished(report))

    def _check(self) -> None:
        if self.cancelled.is_set():
            raise CancelledError

    def _set_up(self, arm: str) -> Setup:
        return self.request.set_up(arm, self.computed)

    def _warm_up(self, inputs: Inputs) -> _Macs:
        """Run every kind of work once, untimed, and count its multiply–accumulates.

        What it decodes to, poor as it is, shows how latents become colours.
        """
        pipe = self.model.pipe
        whole = PlannedConfig(compute=1)

        def run(setup: Setup) -> tuple[int, int, Sample]:
            with count_macs() as macs:
                done = sample(self.model, inputs, setup, on_step=lambda *_: self._check())
            return macs.total, macs.linear, done

        skipped: dict[bool, tuple[int, int]] = {}
        # Where blocks are not known by name, all that is skipped is the denoiser.
        named = is_declared(pipe)
        probes: dict[bool, MethodConfig] = {}
        if named or any(ARMS[arm].forecasts for arm in self.request.arms):
            probes[False] = TraCacheConfig(full_steps=(0,), max_order=0)
        if not named or any(ARMS[arm].plans for arm in self.request.arms):
            probes[True] = whole
        features: Any = measure_features(pipe.transformer) if named else nullcontext(Features())
        with features as self.features, peak_memory(self.model.device) as self.warm_up_peak:
            # One computed step; then one computed and one skipped.
            total, linear, done = run(Setup(1))
            self.blocks = done.block_calls
            for at_scheduler, probe in probes.items():
                both, both_linear, done = run(Setup(2, probe))
                skipped[at_scheduler] = (both - total, both_linear - linear)
                if not named and not at_scheduler:
                    # Of blocks that are found, the first skipped step proves what is read.
                    third, third_linear, done = run(Setup(3, probe))
                    skipped[at_scheduler] = (third - both, third_linear - both_linear)
        images = decode(self.model, inputs, done.latents)
        self.palette = Palette.fit(done.latents, images[0], _latent_channels(pipe))
        return _Macs((total, linear), skipped)

    def _run_arm(self, arm: str, inputs: Inputs, encoding_s: float, macs: _Macs) -> ArmResult:
        setup, method, model = self._set_up(arm), ARMS[arm], self.model
        counted = self._count(setup, method.title, inputs)
        self.emit(ArmStarted(arm, method.title, setup.num_steps, self.palette))
        glimpses = Glimpses()
        full_steps = 0
        begin = time.perf_counter()

        def on_step(step: int, computed: bool) -> None:
            nonlocal full_steps
            self._check()
            full_steps += computed
            elapsed = time.perf_counter() - begin
            self.emit(StepDone(arm, step, setup.num_steps, computed, elapsed, glimpses.last))

        with peak_memory(model.device) as memory:
            done = sample(model, inputs, setup, on_step=on_step, glimpses=glimpses)
            if not torch.isfinite(done.latents).all():
                raise NotFiniteError(_not_finite(arm, method.title, setup))
            images = decode(model, inputs, done.latents)
            synchronize(model.device)
        end_to_end_s = encoding_s + time.perf_counter() - begin
        if arm == self.request.matched:
            self.computed = max(1, round(done.block_calls / self.blocks))
        if done.trace is not None:
            self.traces[arm] = done.trace
        total, linear = counted or macs.of(full_steps, setup)
        if self.reference is None:
            self.reference = _Reference(images[0], done.latents, done.denoising_s, total)
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
            speed_up=full.denoising_s / done.denoising_s,
            speed_up_macs=full.macs / total,
            psnr=quality.psnr,
            ssim=quality.ssim,
            latent_error=relative_error(done.latents, full.latents),
            image=images[0],
            frame_psnr=quality.frames,
            measured_at=time.time(),
        )
        if arm == REFERENCE:
            baselines_of(model).put(self._baseline_key(), Baseline(result, done.latents))
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
        known = baselines_of(self.model).get(self._baseline_key())
        if known is None:
            return None
        result = replace(known.result, reused=True)
        self.reference = _Reference(result.image, known.latents, result.denoising_s, result.macs)
        return result

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
        if not is_declared(self.model.pipe):
            return self.traces[arm]
        setup = self._set_up(arm)
        rows = count_rows(self.model, setup)
        room = free_for_histories(self.model.device, self.warm_up_peak)
        return watch_blocks(
            self.model,
            inputs,
            setup,
            make_groups(rows, room, bytes_per_block(setup, self.features)),
            title=ARMS[arm].title,
            say=lambda line: self.emit(Stage("trace", line)),
            check=self._check,
        )


def _latent_channels(pipe: Any) -> int | None:
    """How many channels a pipeline's latents have, as its autoencoder says."""
    config = pipe.vae.config
    return config.get("latent_channels") or config.get("z_dim")


def _not_finite(arm: str, title: str, setup: Setup) -> str:
    told = f"{title} gave latents that are not finite (NaN or infinity), so there is no picture"
    if arm == REFERENCE or setup.cache is None:
        return f"{told}; try another scheduler, more steps, or a lower guidance scale"
    if setup.cache.at_scheduler:
        return f"{told}; try more computed steps"
    return f"{told}; try more computed steps, a smaller stride or a lower max order"


@dataclass(frozen=True)
class _Macs:
    """Multiply–accumulates of one step, all products and linear only.

    Attributes
    ----------
    full : (int, int)
        Of a computed one.
    skipped : dict
        Of one that is skipped, by whether that is at the scheduler.
    """

    full: tuple[int, int]
    skipped: dict[bool, tuple[int, int]]

    def of(self, computed: int, setup: Setup) -> tuple[int, int]:
        """Return (all, linear) of a denoising loop in which so many steps computed."""
        left = setup.num_steps - computed
        at_scheduler = setup.cache is not None and setup.cache.at_scheduler
        # What nobody skips was not counted.
        skipped = self.skipped.get(at_scheduler, (0, 0))
        of_full, of_linear = (
            computed * full + left * one for full, one in zip(self.full, skipped, strict=True)
        )
        return of_full, of_linear
