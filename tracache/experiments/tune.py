"""Finds which steps to compute for a budget: the settings that stay nearest to full compute.

What matters most is *which* steps compute; even spacing is far from the best. The search starts
from schedules that grow denser towards the end of the run and moves one step at a time while that
helps, on prompts that no report uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from torch import Tensor

from tracache.caching.config import TraCacheConfig
from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.experiments.workers import batches
from tracache.metrics.fidelity import relative_error
from tracache.models.loading import LoadedModel
from tracache.models.presets import Preset

#: How much denser the end of a starting schedule is; 1 is even.
DENSITIES = (1.0, 1.3, 1.6, 2.0, 2.5)

_LINEAR = {"order": "fixed", "max_order": 1}
_CHOSEN = {"order": "dynamic", "max_order": 2}
_HERMITE = {"rule": "hermite", "order": "fixed", "max_order": 2}

#: Along what, and by which rule, to extrapolate. The Hermite basis is not homogeneous: it fits
#: coordinates that change by about one in a step or two.
PREDICTORS: tuple[dict[str, object], ...] = (
    *({"abscissa": a, **_LINEAR} for a in ("timestep", "log-snr", "sigma")),
    *({"abscissa": a, **_CHOSEN} for a in ("timestep", "log-snr", "sigma")),
    *({"abscissa": a, **_HERMITE} for a in ("step", "log-snr")),
)


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    steps, budget : int
        Denoising steps, and how many of them compute.
    cache : TraCacheConfig
        The settings.
    error : float
        Mean relative latent error to full compute.
    fewer_steps : float
        The same of full compute with ``budget`` steps.
    tried : int
        Settings tried.
    """

    steps: int
    budget: int
    cache: TraCacheConfig
    error: float
    fewer_steps: float
    tried: int

    def to_preset(self, scheduler: str) -> Preset:
        """Return the settings as a preset for a scheduler."""
        ratio = self.steps / self.budget
        along = {"log-snr": "log-SNR"}.get(self.cache.abscissa, f"the {self.cache.abscissa}")
        kind = "linearly" if self.cache.order == "fixed" else "at the order chosen for each step"
        kind = "in a Hermite basis" if self.cache.rule == "hermite" else kind
        return Preset(
            id=f"{self.steps}-{self.budget}",
            title=f"{self.steps} steps, {self.budget} computed ({ratio:.1f}× fewer block calls)",
            about=f"Computes the {self.budget} steps that a search found to matter most; the "
            f"others are extrapolated {kind}, along {along}.",
            steps=self.steps,
            scheduler=scheduler,
            cache=self.cache,
        )


def starting_steps(num_steps: int, budget: int, density: float) -> tuple[int, ...]:
    """Return ``budget`` steps, the first and the last among them, denser towards the end.

    Parameters
    ----------
    num_steps, budget : int
        Steps of the run, and how many compute: at least 2, at most ``num_steps``.
    density : float
        1 is even spacing; beyond it gaps shrink along the run.
    """
    last = num_steps - 1
    steps: list[int] = []
    for i in range(budget):
        wanted = round((1 - (1 - i / (budget - 1)) ** density) * last)
        # Where the end is too dense for whole steps, the crowd reaches further back.
        lowest = steps[-1] + 1 if steps else 0
        steps.append(min(max(wanted, lowest), last - (budget - 1 - i)))
    return tuple(steps)


def neighbours(steps: Sequence[int], num_steps: int, reach: int = 1) -> Iterator[tuple[int, ...]]:
    """Yield the schedules that differ by moving one step, but never the first, up to ``reach``."""
    for i in range(1, len(steps)):
        upper = steps[i + 1] if i + 1 < len(steps) else num_steps
        for moved in range(steps[i] - reach, steps[i] + reach + 1):
            if steps[i - 1] < moved < upper and moved != steps[i]:
                yield (*steps[:i], moved, *steps[i + 1 :])


@dataclass
class _Trials:
    """Errors of settings on the same prompts, each measured once."""

    model: LoadedModel
    batches: Sequence[Inputs]
    num_steps: int
    progress: Callable[[str], None]
    references: list[Tensor] = field(default_factory=list)
    known: dict[Setup, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.references = [self._latents(i, Setup(self.num_steps)) for i in self.batches]

    def _latents(self, inputs: Inputs, setup: Setup) -> Tensor:
        return sample(self.model, inputs, setup).latents

    def error(self, setup: Setup) -> float:
        if setup not in self.known:
            self.known[setup] = fmean(
                relative_error(latents, reference)
                for inputs, references in zip(self.batches, self.references, strict=True)
                for latents, reference in zip(self._latents(inputs, setup), references, strict=True)
            )
            best = min(self.known.values())
            self.progress(f"{len(self.known)} tried, least error {best:.4f}")
        return self.known[setup]

    def cached(self, cache: TraCacheConfig) -> float:
        return self.error(Setup(self.num_steps, cache))


def tune(
    model: LoadedModel,
    prompts: Sequence[str | int],
    *,
    num_steps: int,
    budget: int,
    scheduler: str,
    guidance_scale: float,
    batch: int = 16,
    starts: int = 2,
    progress: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Search the schedule, abscissa and rule that stay nearest to full compute.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    prompts : sequence of str
        To tune on; the seed of the i-th is i.
    num_steps, budget : int
        Denoising steps, and how many of them compute.
    scheduler, guidance_scale
        As for a request.
    batch : int, default 16
        Prompts per run; orders are chosen per image, so that none depends on its batch.
    starts : int, default 2
        How many of the starting schedules are moved step by step.
    progress : callable, optional
        Called with a line of text after every trial.
    """
    inputs = [
        prepare(model, [prompts[i] for i in part], part, guidance_scale, scheduler)
        for part in batches(len(prompts), batch)
    ]
    trials = _Trials(model, inputs, num_steps, progress)
    rival = trials.error(Setup(budget))
    first = [
        TraCacheConfig(
            full_steps=steps,
            spread="per_image" if guidance_scale > 1.0 else "per_sample",
            **predictor,  # type: ignore[arg-type]
        )
        for steps in dict.fromkeys(starting_steps(num_steps, budget, d) for d in DENSITIES)
        for predictor in PREDICTORS
    ]
    first.sort(key=trials.cached)
    reach = max(1, num_steps // 25)
    best = min((_descend(trials, cache, reach) for cache in first[:starts]), key=trials.cached)
    return Tuned(num_steps, budget, best, trials.cached(best), rival, len(trials.known))


def _descend(trials: _Trials, cache: TraCacheConfig, reach: int) -> TraCacheConfig:
    """Move one step of the schedule at a time, as long as that helps."""
    improved = True
    while improved:
        improved = False
        for steps in list(neighbours(cache.full_steps or (), trials.num_steps, reach)):
            moved = replace(cache, full_steps=steps)
            if trials.cached(moved) < trials.cached(cache):
                cache, improved = moved, True
                break
    return cache
