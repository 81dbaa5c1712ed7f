"""One run of a pipeline with one setup: watched, timed and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.caching.methods.base import Watch
from tracache.caching.pipeline import PipelineHandle, companions_of, denoisers_of
from tracache.caching.scheduled import ScheduledHandle
from tracache.caching.trace import Trace
from tracache.compare.arm import Setup
from tracache.compare.counting import count_blocks
from tracache.compare.preview import Glimpses
from tracache.media import Picture, VideoSize
from tracache.metrics.timing import synchronize
from tracache.models.loading import LoadedModel
from tracache.models.schedulers import make_scheduler

#: Added to an item's seed for the noise that a stochastic scheduler draws step by step.
NOISE_SEED = 2**32


@dataclass(frozen=True)
class Inputs:
    """What every arm of a comparison starts from.

    Attributes
    ----------
    conditions : dict
        Prompt embeddings, as the model's family hands them to its pipeline.
    noise : Tensor [batch, channels, height, width] or None
        Initial latents, before the scheduler scales them; None where the pipeline draws them.
    guidance_scale : float
        Of classifier-free guidance.
    scheduler : str
        Name of the scheduler.
    seeds : tuple of int
        Of the items' noise, for schedulers that draw more of it on their way.
    size : int or VideoSize
        Of the pictures.
    """

    conditions: dict[str, Any]
    noise: Tensor | None
    guidance_scale: float
    scheduler: str
    seeds: tuple[int, ...]
    size: int | VideoSize

    @property
    def looks(self) -> tuple[Hashable, ...]:
        """What decides how much a step computes: shapes of tensors, and all else as it is."""
        leaves, spec = pytree.tree_flatten((self.conditions, self.noise))
        shapes = [tuple(x.shape) if isinstance(x, Tensor) else repr(x) for x in leaves]
        return (str(spec), *shapes, self.guidance_scale, self.scheduler, self.size)

    @property
    def generators(self) -> list[torch.Generator]:
        """One an item, fresh, for what a pipeline or its scheduler draws."""
        # Where the initial noise is ours, not the generators that it came from: what they say must
        # not be drawn twice.
        after = 0 if self.noise is None else NOISE_SEED
        return [torch.Generator().manual_seed(seed + after) for seed in self.seeds]


@dataclass(frozen=True)
class Sample:
    """What a run gave.

    Attributes
    ----------
    latents : Tensor [batch, channels, height, width]
        The final latents.
    denoising_s : float
        The denoising loop, seconds.
    block_calls : float
        Blocks that computed; a part of a block counts as that part of a call.
    trace : Trace or None
        What the cache decided, if there was one.
    num_steps : int
        Steps of the run.
    """

    latents: Tensor
    denoising_s: float
    block_calls: float
    trace: Trace | None
    num_steps: int

    @property
    def computed_steps(self) -> tuple[int, ...]:
        """Indices of the steps that computed everything."""
        if self.trace is None:
            return tuple(range(self.num_steps))
        return tuple(i for i in range(self.num_steps) if self.trace.computed_at(i))


def prepare(
    model: LoadedModel,
    prompts: Sequence[str | int],
    seeds: Sequence[int],
    guidance_scale: float,
    scheduler: str,
    size: int | VideoSize | None = None,
    negative_prompt: str | None = None,
) -> Inputs:
    """Encode prompts, or classes, and draw one initial noise per seed; of the model's own size."""
    family, spec = model.spec.family, model.spec
    size = spec.size if size is None else size
    with torch.no_grad():
        conditions = model.reader.read(prompts, guidance_scale, spec.max_tokens, negative_prompt)
    noise = family.noise(model.pipe, seeds, size)
    return Inputs(conditions, noise, guidance_scale, scheduler, tuple(seeds), size)


def sample(
    model: LoadedModel,
    inputs: Inputs,
    setup: Setup,
    *,
    on_step: Callable[[int, bool], None] | None = None,
    trace: Watch = "last",
    glimpses: Glimpses | None = None,
) -> Sample:
    """Run the denoising loop once.

    Parameters
    ----------
    model, inputs, setup
        What runs, from where, and how.
    on_step : callable, optional
        Called with the step's index, and whether it computed everything, after each step; what
        it raises ends the run.
    trace : {"last", "all"} or sequence of int or str, default "last"
        As for :func:`tracache.attach`; time nothing with anything but ``"last"``.
    glimpses : Glimpses, optional
        Notes what the scheduler is handed at each step, for previews.
    """
    pipe, spec = model.pipe, model.spec
    pipe.scheduler = make_scheduler(setup.scheduler or inputs.scheduler, model.scheduler_config)
    with ExitStack() as stack:
        if glimpses is not None:
            # Before any cache, so that what is seen is what the scheduler is handed.
            stack.enter_context(glimpses.watch(pipe.scheduler))
        decided = None
        if setup.cache is not None:
            handle = _attach(pipe, setup.cache, trace)
            stack.callback(handle.detach)
            decided = Decided(handle)
        blocks = stack.enter_context(count_blocks(pipe))

        def done(step: int) -> None:
            if decided is not None:
                decided.note()
            if on_step is not None:
                on_step(step, decided is None or decided.trace.computed_at(step))

        loop = stack.enter_context(watch_loop(pipe, model.device, done))
        latents = spec.family.denoise(
            pipe,
            inputs.conditions,
            inputs.noise,
            setup.num_steps,
            inputs.guidance_scale,
            inputs.size,
            inputs.generators,
        )
    whole = None if decided is None else decided.trace
    return Sample(latents, loop.seconds, blocks(), whole, setup.num_steps)


def _attach(pipe: Any, cache: Any, trace: Watch) -> Any:
    """Attach a method to whatever of a pipeline it acts on."""
    if cache.at_scheduler:
        parts = list(denoisers_of(pipe).values())
        beside = list(companions_of(pipe).values())
        return ScheduledHandle(parts, pipe.scheduler, cache, trace, companions=beside)
    return PipelineHandle(pipe, cache, trace)


class Decided:
    """What was decided in a run, whichever denoisers take turns in it.

    Parameters
    ----------
    handle : PipelineHandle or ScheduledHandle
        What decides.

    Attributes
    ----------
    trace : Trace
        Of the whole run: where several denoisers have the same rows, each step is that of the one
        that was called; elsewhere it is the first's.
    """

    def __init__(self, handle: Any) -> None:
        first = getattr(handle.trace, "trace", handle.trace)
        traces = [] if isinstance(handle, ScheduledHandle) else list(handle.traces.values())
        self._turns = [trace for trace in traces if trace.labels == first.labels]
        self._seen = [0] * len(self._turns)
        several = len(self._turns) > 1
        self.trace = Trace(first.labels, first.watched, first.item) if several else first

    def note(self) -> None:
        """Take what the step that just ended decided."""
        if len(self._turns) < 2:
            return
        lengths = [len(trace) for trace in self._turns]
        grown = [t for t, n, m in zip(self._turns, lengths, self._seen, strict=True) if n > m]
        self._seen = lengths
        for trace in grown[:1]:
            # Which rows are watched, a denoiser's first step may find.
            self.trace.watched, self.trace.main = trace.watched, trace.main
            self.trace.record(trace._timesteps[-1], trace._rows[-1], trace._spreads[-1])


def decode(model: LoadedModel, inputs: Inputs, latents: Tensor) -> list[Picture]:
    """Return the pictures of final latents that were made from these inputs."""
    return model.spec.family.decode(model.pipe, latents, inputs.size, inputs.conditions)


class Loop:
    """Stands in for a pipeline's progress bar, and so knows where its loop begins and ends."""

    def __init__(self, device: torch.device, on_step: Callable[[int], None]) -> None:
        self._device = device
        self._on_step = on_step
        self._steps = 0
        self._previous: Any = None
        self.seconds = 0.0

    def __call__(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """Serve both ways in which pipelines use their bar: around an iterable, or in a with."""
        return self if iterable is None else self._iterate(iterable)

    def __enter__(self) -> Loop:
        synchronize(self._device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronize(self._device)
        self.seconds = time.perf_counter() - self._start

    def update(self, n: int = 1) -> None:
        """Note the end of a step."""
        self._bound_queue()
        self._on_step(self._steps)
        self._steps += n

    def _iterate(self, iterable: Iterable[Any]) -> Iterator[Any]:
        with self:
            for item in iterable:
                yield item
                self.update()

    def _bound_queue(self) -> None:
        # Lets the host run one step ahead of a GPU and no more: it costs no time, and progress
        # and Stop stay within a step of what the device does.
        if self._device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
            if self._previous is not None:
                self._previous.synchronize()
            self._previous = event


@contextmanager
def watch_loop(pipe: Any, device: torch.device, on_step: Callable[[int], None]) -> Iterator[Loop]:
    """Watch the denoising loop of one call of a pipeline.

    Every diffusers pipeline draws its loop through ``self.progress_bar``; for the length of the
    context this pipeline's is ours.
    """
    loop = Loop(device, on_step)
    pipe.progress_bar = loop
    try:
        yield loop
    finally:
        del pipe.progress_bar
