"""The best plan that a search finds for one prompt, with that prompt's own full compute at hand.

Nobody has that beforehand, so it is no way to save steps: it says how much better any placement of
as many computed steps could be. The search ends in plans that no move of one step betters, which
need not be the best of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.placements import PLACEMENTS
from tracache.compare.arm import Setup
from tracache.compare.sampling import prepare, sample
from tracache.experiments.tune import neighbours
from tracache.experiments.ways import Circumstances
from tracache.metrics.fidelity import relative_error
from tracache.models.loading import LoadedModel

#: A plan: the steps that compute.
Plan = tuple[int, ...]

#: How many of the best plans known are gone on from.
WIDTH = 3


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    plan : tuple of int
        The steps that compute.
    error : float
        Of it.
    tried : int
        Plans that were run.
    """

    plan: Plan
    error: float
    tried: int


def search(
    judge: Callable[[Plan], float], starts: Sequence[Plan], num_steps: int, width: int = WIDTH
) -> Found:
    """Search the plan of least error, from some on.

    A beam: of all plans that were tried, the best ``width`` are gone on from, by every move of one
    step to another place between its neighbours, until all of those have been. So no such move
    betters any of them.

    Parameters
    ----------
    judge : callable
        The error of a plan; each is asked for once.
    starts : sequence of tuple of int
        Plans, all of equally many steps, the first of them 0.
    num_steps : int
        Steps of the run.
    width : int, default 3
        1 follows the best alone.
    """
    known = {plan: judge(plan) for plan in dict.fromkeys(starts)}
    left: set[Plan] = set()
    while ahead := [plan for plan in _best(known, width) if plan not in left]:
        for plan in ahead:
            left.add(plan)
            for moved in neighbours(plan, num_steps, reach=num_steps):
                if moved not in known:
                    known[moved] = judge(moved)
    plan = _best(known, 1)[0]
    return Found(plan, known[plan], len(known))


def _best(known: dict[Plan, float], count: int) -> list[Plan]:
    return sorted(known, key=lambda plan: (known[plan], plan))[:count]


def best_plans(
    model: LoadedModel,
    prompts: Sequence[str | int],
    common: Circumstances,
    part: Sequence[int],
    full: Tensor,
    plans: Sequence[Plan],
) -> Iterator[dict[str, Any]]:
    """Search the best plan for each prompt, as many steps computed as in other plans.

    Parameters
    ----------
    model : LoadedModel
        What runs: the arm ``tracache``, at exactly the steps of a plan.
    prompts : sequence of str or int
        All of them; the seed of each is its place.
    common : Circumstances
        Scheduler, guidance and steps.
    part : sequence of int
        Places of those that are searched for.
    full : Tensor [len(part), ...]
        Final latents of their full compute.
    plans : sequence of tuple of int
        From here, and from where placements that look at nothing have as many steps.

    Yields
    ------
    dict
        ``index``, ``error``, ``steps`` and how many plans were ``tried``.
    """
    blind = [placement for placement in PLACEMENTS.values() if placement.by_count]
    noughts = [0.0] * common.steps
    starts = [*plans, *(placement.place(noughts, len(plans[0])) for placement in blind)]
    for index, reference in zip(part, full, strict=True):
        inputs = prepare(model, [prompts[index]], [index], common.guidance_scale, common.scheduler)

        def judge(plan: Plan, inputs: Any = inputs, reference: Tensor = reference) -> float:
            setup = Setup(common.steps, PlannedConfig(full_steps=plan))
            return relative_error(sample(model, inputs, setup).latents[0], reference)

        found = search(judge, starts, common.steps)
        yield {
            "index": index,
            "error": found.error,
            "steps": list(found.plan),
            "tried": found.tried,
        }
