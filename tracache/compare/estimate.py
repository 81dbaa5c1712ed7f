"""What a request will cost, before anything is loaded or run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from tracache.caching.attach import attach
from tracache.caching.layouts import find_text_feeders
from tracache.compare.arm import Setup
from tracache.compare.counting import block_lists
from tracache.compare.plan import ArmPlan, steps_of
from tracache.compare.request import Request
from tracache.media import VideoSize
from tracache.metrics.macs import count_macs
from tracache.models.pipeline_shapes import build_pipeline, capture_step, describes
from tracache.models.pipelines import PIPELINES
from tracache.models.registry import find_model
from tracache.models.shapes import empty_inputs, latent_shape, transformer_shape
from tracache.models.sources import locate_all
from tracache.settings import Settings

#: Held while shapes run, which serve one run at a time as all transformers do.
_LOCK = threading.Lock()

#: (model, size, guided) → seconds of a step of full compute, as it was last measured.
_PACES: dict[tuple[str, int | VideoSize, bool], float] = {}


@dataclass(frozen=True)
class ArmEstimate:
    """What one arm will cost.

    Attributes
    ----------
    plan : ArmPlan
        How many steps it takes, and which of them compute everything.
    macs : int or None
        Multiply–accumulates of its denoising loop, all products; None where the run decides. Of
        arms that go by the timestep (PAB, FasterCache) nearly so, since those of the run are the
        scheduler's.
    share : float or None
        Of full compute's.
    seconds : float or None
        Of its denoising loop, where full compute has been timed in this process: its time for
        each step, times the share of its work. What is skipped is taken to cost what it computes.
    """

    plan: ArmPlan
    macs: int | None
    share: float | None
    seconds: float | None

    @property
    def arm(self) -> str:
        """Its name in code."""
        return self.plan.arm

    @property
    def title(self) -> str:
        """Its name on the page."""
        return self.plan.title

    @property
    def num_steps(self) -> int | None:
        """Denoising steps; None where that follows from another arm's run."""
        return self.plan.num_steps

    def describe(self) -> str:
        """Say what it costs beside full compute."""
        if self.share is None:
            return f"{self.title}: {self.plan.describe()}"
        what = "full compute" if self.macs is None else "those MACs"
        line = f"{self.title}: {self.share:.3f} of {what}, {1 / self.share:.2f}×"
        return line if self.plan.steps is None else f"{line}; {self.plan.describe()}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        computed = None if self.plan.steps is None else len(self.plan.steps)
        return {
            "arm": self.arm,
            "title": self.title,
            "num_steps": self.num_steps,
            "computed": computed,
            "plan": self.plan.steps,
            "macs": self.macs,
            "share": self.share,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Estimate:
    """What a request will cost; full compute is the first of the arms.

    Attributes
    ----------
    arms : tuple of ArmEstimate
        In the order in which they run.
    note : str
        Why no multiply–accumulates could be counted; empty where they were.
    """

    arms: tuple[ArmEstimate, ...]
    note: str = ""

    def describe(self) -> list[str]:
        """Return a line for each arm, and the note if there is one."""
        full, *others = self.arms
        counted = "" if full.macs is None else f", {full.macs / 1e12:.3g} × 10¹² MACs"
        lines = [f"{full.title}: {full.num_steps} steps{counted}"]
        lines += [arm.describe() for arm in others]
        times = [arm.seconds for arm in self.arms]
        lines = [
            f"{line}, about {seconds:.3g} s" if seconds is not None else line
            for line, seconds in zip(lines, times, strict=True)
        ]
        return [*lines, self.note] if self.note else lines


def note_pace(request: Request, seconds: float) -> None:
    """Remember how long full compute of a request took, in seconds of its denoising loop."""
    _PACES[_pace_key(request)] = seconds / request.steps


def estimate(request: Request, settings: Settings | None = None) -> Estimate:
    """Count what each arm of a request will compute.

    Every product is counted by running the real forward on shapes without numbers, under the real
    cache. Arms whose steps are all or nothing take a moment; others are counted step by step, with
    timesteps that are spaced evenly. Of a pipeline whose shapes are not known beforehand, shares
    alone are said, by the steps that compute.

    Parameters
    ----------
    request : Request
        What will run.
    settings : Settings, optional
        Where the models' files are, and the device; from the environment if not given.

    Raises
    ------
    ValueError
        If the model's configuration is not at hand.
    OSError
        If its folder is incomplete.
    """
    settings = settings or Settings.from_environment()
    count, note = _Counter(request, settings), ""
    try:
        full = count(Setup(request.steps))
    except ValueError as error:
        if not request.spec.stock:
            raise
        full, note = None, str(error)
    pace = _PACES.get(_pace_key(request))
    computed: int | None = None
    arms = []
    for arm in request.arms:
        setup = _set_up(request, arm, computed)
        macs = None if setup is None or full is None else count(setup)
        share = _share_of_steps(setup, request) if full is None else _ratio(macs, full)
        known = None if setup is None else setup.num_computed
        if arm == request.matched and setup is not None and share is not None:
            worth = max(1, round(share * request.steps))
            computed = known if known is not None and setup.whole_steps else worth
        timed = pace is not None and share is not None
        arms.append(
            ArmEstimate(
                plan=_plan(request, arm, setup, settings),
                macs=macs,
                share=share,
                seconds=pace * request.steps * share if timed else None,  # type: ignore[operator]
            )
        )
    return Estimate(tuple(arms), note)


def _ratio(macs: int | None, full: int) -> float | None:
    return None if macs is None else macs / full


def _share_of_steps(setup: Setup | None, request: Request) -> float | None:
    """Of full compute, where a step computes everything or nothing; None elsewhere."""
    if setup is None or not (setup.cache is None or setup.cache.at_scheduler):
        return None
    computed = setup.num_computed
    return None if computed is None else computed / request.steps


def _plan(request: Request, arm: str, setup: Setup | None, settings: Settings) -> ArmPlan:
    steps = None if setup is None else steps_of(setup, request, settings)
    return ArmPlan.of(arm, setup, steps)


def _pace_key(request: Request) -> tuple[str, int | VideoSize, bool]:
    return request.model, request.size, request.guidance_scale > 1.0


def _set_up(request: Request, arm: str, computed: int | None) -> Setup | None:
    """An arm's setup; None where it waits for what another computes and that is not known."""
    waits = request.waits(arm) and computed is None
    return None if waits else request.set_up(arm, computed)


class _Counter:
    """Counts setups on one request's transformer."""

    def __init__(self, request: Request, settings: Settings) -> None:
        batch = 2 if request.guidance_scale > 1.0 else 1
        sources = locate_all(request.spec, settings)
        self._key = request.model, sources, request.size, batch
        self._stock = request.spec.stock
        self._step = request.model, sources, request.size, request.guidance_scale

    def __call__(self, setup: Setup) -> int | None:
        """Multiply–accumulates of a setup; None where its run decides them."""
        if setup.cache is not None and setup.cache.decides_as_it_runs:
            # By what shapes alone do not have.
            return None
        with _LOCK:
            return self._count(setup)

    def _count(self, setup: Setup) -> int | None:
        config = setup.cache
        computed = setup.num_computed if setup.whole_steps else None
        if computed is not None:
            full, without_blocks = self._of_a_step()
            if config is None or config.at_scheduler:
                return computed * full
            return computed * full + (setup.num_steps - computed) * without_blocks
        if self._stock:
            # Where the parts of blocks are not known, a step computes all of them or none.
            return None
        if config is not None:
            setup = replace(setup, cache=config.for_counting())
        return _count_run(*self._key, setup)

    def _of_a_step(self) -> tuple[int, int]:
        return _count_published(*self._step) if self._stock else _count_step(*self._key)


@lru_cache(maxsize=256)
def _count_published(
    model_id: str,
    sources: tuple[Path | str, ...],
    size: int | VideoSize,
    guidance_scale: float,
) -> tuple[int, int]:
    """Multiply–accumulates of a step of a pipeline as it was published, and without its blocks."""
    spec, source = find_model(model_id), sources[0]
    published = PIPELINES.get(spec.source)
    if published is None or (isinstance(source, Path) and not describes(published, source)):
        raise ValueError(f"what {spec.title} computes is counted once it runs, not before")
    pipe = build_pipeline(published)
    with count_macs(exclude=block_lists(getattr(pipe, published.part))) as macs:
        capture_step(published, size, guidance_scale, pipe)
    return macs.total + macs.excluded, macs.total


@lru_cache(maxsize=1)
def _shape(model_id: str, sources: tuple[Path | str, ...]) -> Any:
    return transformer_shape(find_model(model_id), sources)


def _given(
    model_id: str, sources: tuple[Path | str, ...], size: int | VideoSize, batch: int
) -> tuple[Any, dict[str, Any]]:
    """A transformer's shape, and what it is called with."""
    spec, transformer = find_model(model_id), _shape(model_id, sources)
    latents = latent_shape(spec, sources, size, transformer.config)
    sides = (size, size) if isinstance(size, int) else (size.height, size.width)
    return transformer, empty_inputs(transformer, latents, batch, spec.max_tokens, sides)


@lru_cache(maxsize=256)
def _count_step(
    model_id: str, sources: tuple[Path | str, ...], size: int | VideoSize, batch: int
) -> tuple[int, int]:
    """Multiply–accumulates of a step, and of one without blocks and what feeds them alone."""
    transformer, given = _given(model_id, sources, size, batch)
    resting = [*block_lists(transformer), *find_text_feeders(transformer).values()]
    with torch.no_grad(), count_macs(exclude=resting) as macs:
        run_shapes(transformer, given, Setup(1), batch)
    return macs.total + macs.excluded, macs.total


@lru_cache(maxsize=256)
def _count_run(
    model_id: str,
    sources: tuple[Path | str, ...],
    size: int | VideoSize,
    batch: int,
    setup: Setup,
) -> int:
    transformer, given = _given(model_id, sources, size, batch)
    with torch.no_grad(), count_macs() as macs:
        run_shapes(transformer, given, setup, batch)
    return macs.total


def run_shapes(transformer: Any, given: dict[str, Any], setup: Setup, batch: int) -> None:
    """Run a setup's forwards on the meta device, with timesteps spaced evenly."""
    handle = None
    if setup.cache is not None:
        handle = attach(transformer, setup.cache, num_steps=setup.num_steps)
    try:
        for step in range(setup.num_steps):
            timestep = torch.full((batch,), 999.0 * (1 - step / setup.num_steps))
            transformer(**given, timestep=timestep)
    finally:
        if handle is not None:
            handle.detach()
