"""Who takes part: the arms and the ways that there are, each at a number of computed steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tracache.caching.method_config import MethodConfig
from tracache.compare.arm import REFERENCE, Given, Setup
from tracache.compare.arms import ARMS, find_arm
from tracache.experiments.league.axes import varied
from tracache.experiments.league.calibration import CALIBRATED
from tracache.experiments.ways import TRACACHE, Circumstances, setup_of, ways_of
from tracache.models.spec import ModelSpec

ARM, WAY = "arm", "way"

#: The arm that all are held against: as many steps of full compute as others compute.
RIVAL = "fewer-steps"

#: Stands for every one there is.
ALL = "all"


@dataclass(frozen=True)
class Entrant:
    """An arm, or a way that differs from one in one setting.

    Attributes
    ----------
    name, title : str
        In code, unique; and for people.
    kind : {"arm", "way"}
        Which of the two.
    arm : str
        That it is, or that it is a variant of; empty for a way of
        :mod:`tracache.experiments.ways`.
    given : dict
        Settings of the arm's own that are given.
    """

    name: str
    title: str
    kind: str = ARM
    arm: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name, fit for a folder."""
        return "-".join("".join(c if c.isalnum() or c in "+." else " " for c in self.name).split())

    @property
    def is_searched(self) -> bool:
        """Whether its own settings decide how much it computes, and have to be found."""
        if not self.arm:
            return False
        arm = ARMS[self.arm]
        return not arm.scheduled and "compute" not in arm.options

    @property
    def options(self) -> dict[str, tuple[float, ...]]:
        """Of an arm's own settings those to search among, by name, and the values to try."""
        declared = ARMS[self.arm].options if self.arm else {}
        free = {name: setting for name, setting in declared.items() if name not in self.given}
        return {name: setting.tries for name, setting in free.items() if setting.tries}


@dataclass(frozen=True)
class Field:
    """All who take part in the runs of one model.

    Attributes
    ----------
    spec : ModelSpec
        The model.
    around : Circumstances
        What all runs have in common.
    entrants : tuple of Entrant
        Fewer steps first, then TraCache, whose steps a way borrows.
    absent : dict of str to str
        Of arms that cannot take part, why.
    calibrated : dict
        Arm → settings of its own that were measured, the same at every budget.
    """

    spec: ModelSpec
    around: Circumstances
    entrants: tuple[Entrant, ...]
    absent: dict[str, str]
    calibrated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def setup(
        self,
        entrant: Entrant,
        budget: int,
        options: Mapping[str, Any] | None = None,
        plan: Sequence[int] = (),
    ) -> Setup:
        """Return what an entrant does.

        Parameters
        ----------
        entrant : Entrant
            Which.
        budget : int
            Steps that may compute.
        options : mapping, optional
            Of an arm that is searched, its settings.
        plan : sequence of int
            The steps that TraCache computed.
        """
        if not entrant.arm:
            return setup_of(entrant.name, self.around, budget, plan)
        found = self.calibrated.get(entrant.arm, {})
        given = {**found, **entrant.given, **(options or {})}
        arm = ARMS[entrant.arm]
        if not arm.scheduled and "compute" in arm.options:
            given = {"compute": budget} | given
        cache = replace(self.spec.cache, compute=budget, full_steps=None)
        guided = self.around.guidance_scale > 1.0
        made = arm.setup(Given(self.around.steps, cache, given, guided))
        # The scheduler that all have anyhow is no other one.
        return replace(made, scheduler=None) if made.scheduler == self.around.scheduler else made

    def configs(self, budget: int) -> dict[str, MethodConfig]:
        """Return the configurations of those that are not searched, by name."""
        plan = tuple(range(budget))
        made = {
            entrant.name: self.setup(entrant, budget, plan=plan).cache
            for entrant in self.entrants
            if not entrant.is_searched
        }
        return {name: config for name, config in made.items() if config is not None}


def field_of(
    spec: ModelSpec,
    around: Circumstances,
    arms: Sequence[str] = (ALL,),
    ways: Sequence[str] = (ALL,),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    variants: Sequence[Entrant] = (),
) -> Field:
    """Return who takes part, of those that are named; fewer steps and TraCache do in any case.

    Of several that come to the same only the first takes part.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    around : Circumstances
        What all runs have in common.
    arms, ways : sequence of str
        Names, or "all".
    options : mapping, optional
        Arm → settings of its own that are given; with a file that it needs it can take part.
    variants : sequence of Entrant
        Arms with other settings, beside them.

    Raises
    ------
    ValueError
        If a name is unknown, or a named arm cannot run this model.
    """
    named = [name for name in arms if name != ALL]
    absent = {}
    given = dict(options or {})
    chosen = [RIVAL, TRACACHE]
    for name in dict.fromkeys([*(ARMS if ALL in arms else ()), *named]):
        if why := why_absent(find_arm(name).id, spec, bool(given.get(name))):
            if name in named:
                raise ValueError(f"the arm {name} cannot take part: {why}")
            absent[name] = why
        elif name != REFERENCE:
            chosen.append(name)
    every = [*chosen, *dict.fromkeys(_ways(around, ways))]
    entrants = [
        Entrant(name, ARMS[name].title, arm=name, given=given.get(name, {}))
        for name in dict.fromkeys(chosen)
    ]
    there = set(chosen)
    entrants += [
        Entrant(name, title_of(name), WAY)
        for name in every[len(chosen) :]
        if name not in there and name not in ARMS
    ]
    for variant in variants:
        if variant.name in {entrant.name for entrant in entrants}:
            raise ValueError(f"there is a {variant.name} already: give the variant another name")
        if why := why_absent(variant.arm, spec, bool(variant.given)):
            raise ValueError(f"the variant {variant.name} cannot take part: {why}")
        entrants.append(variant)
    whole = Field(spec, around, tuple(entrants), absent)
    if ALL in ways:
        whole = replace(whole, entrants=(*whole.entrants, *_varied(whole)))
    return _distinct(whole)


def why_absent(arm: str, spec: ModelSpec, given: bool = False) -> str:
    """Say why an arm cannot take part; empty if it can.

    Parameters
    ----------
    arm : str
        Which.
    spec : ModelSpec
        The model.
    given : bool, default False
        Whether settings of its own are given, which may be what it needs.
    """
    entry = ARMS[arm]
    if entry.refusal(spec):
        return entry.refusal(spec)
    if varied(entry.options) and arm != TRACACHE and not given:
        return "what it does is of one's own choice: say it with --option or --variant"
    if entry.for_host_only and arm not in CALIBRATED and not given:
        return "it needs what only a file can say: give it with --option"
    return ""


def title_of(way: str) -> str:
    """Return a way in words, as the titles of arms are."""
    first, *rest = way.split(", ")
    titles = {"tracache": "TraCache", "published": "As published"}
    return ", ".join((titles.get(first, first[:1].upper() + first[1:]), *rest))


def _ways(around: Circumstances, names: Sequence[str]) -> list[str]:
    named = [name for name in names if name != ALL]
    found = ways_of(around.scheduler, named)
    for name in named:
        try:
            setup_of(name, around, 2, (0, 1))
        except KeyError:
            message = f"the way {name} is no one setup for all prompts: see bench --nearness"
            raise ValueError(message) from None
    return found if ALL in names else [way for way in found if way in named]


def _varied(whole: Field) -> list[Entrant]:
    """Return TraCache with every other choice where a question is asked, but what it refuses."""
    found = []
    there = {entrant.name for entrant in whole.entrants}
    for setting, choice in varied(ARMS[TRACACHE].options):
        name = f"{TRACACHE}, {choice}"
        entrant = Entrant(name, title_of(name), WAY, TRACACHE, {setting: choice})
        with suppress(ValueError):
            if name in there:
                continue
            whole.setup(entrant, 2)
            found.append(entrant)
    return found


def _distinct(whole: Field) -> Field:
    """Leave out whoever does at one budget and another what somebody before does."""
    kept: dict[Any, Entrant] = {}
    for entrant in whole.entrants:
        key: Any = entrant.name
        if entrant.arm in CALIBRATED:
            kept[key] = entrant
            continue
        # The steps that a way borrows are TraCache's, which nobody else names. Whatever a setup
        # refuses is refused here, before any work.
        plan = (0, whole.around.steps - 1)
        made = [whole.setup(entrant, budget, plan=plan) for budget in (2, 3)]
        if not entrant.is_searched:
            key = repr([(s.num_steps, s.scheduler, s.cache and s.cache.plain()) for s in made])
        kept.setdefault(key, entrant)
    return replace(whole, entrants=tuple(kept.values()))
