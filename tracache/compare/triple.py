"""A method as a triple with a name: what has a trajectory, how it goes on, which steps compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tracache.caching.calibration import PLANS, read_plans
from tracache.caching.config import BLOCK_PLACEMENTS, BLOCKS, MAX_ORDER, MODULES, TraCacheConfig
from tracache.caching.declare import HOST, setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.placements import PLACEMENTS
from tracache.caching.rules.registry import BLOCK_RULES, RULES, SERIES
from tracache.caching.spaces import SPACES

#: Spaces within the denoiser.
WITHIN = (BLOCKS, MODULES)

#: Rules of blocks that need nothing but a history.
_OF_BLOCKS = tuple(name for name in BLOCK_RULES if name != "learned")

_ALONG_STEPS: dict[str, Any] = {"order": "fixed", "abscissa": "step"}

#: Rule → what of the published method's settings it is published with.
_WITH: dict[str, dict[str, Any]] = {
    "taylor": {"order": "fixed"},
    "hermite": _ALONG_STEPS,
    **dict.fromkeys(SERIES, _ALONG_STEPS),
}


@dataclass(frozen=True)
class Triple(MethodConfig):
    """A space, a rule and a placement: any of one with any of the others.

    Attributes
    ----------
    space : str, default "data"
        What has a trajectory: within the denoiser, each block's output, or each attention's and
        MLP's; at the scheduler, x̂0, ε̂ or v as guided; or what the denoiser returns.
    rule : str, default "lagrange"
        How it goes on, see :mod:`tracache.caching.rules`.
    placement : str, default "even"
        Which steps compute, see :mod:`tracache.caching.placements`; ``lemica`` and ``dpcache`` are
        plans that were calibrated.
    max_order : int, default 2
        Highest degree, of the rules that have one (0 … 5).
    correct : bool, default False
        Whether to look back, which only trajectories outside the denoiser do.
    plan_file : str, default ""
        For the placements ``lemica`` and ``dpcache``: what ``python -m tracache calibrate`` wrote.
    """

    space: str = setting(
        "data",
        choices=(*WITHIN, *SPACES, OUTPUT),
        label="Space",
        help="What has a trajectory: within the denoiser, at the scheduler, or its output.",
    )
    rule: str = setting(
        "lagrange",
        choices=tuple(dict.fromkeys((*RULES, *_OF_BLOCKS))),
        label="Rule",
        help="How a trajectory goes on.",
    )
    placement: str = setting(
        "even",
        choices=(*PLACEMENTS, *PLANS),
        for_host=PLANS,
        label="Placement",
        help="Which steps compute.",
    )
    max_order: int = setting(
        2, low=0, high=MAX_ORDER, label="Highest order", help="Of the rules that have one."
    )
    correct: bool = setting(
        False, label="Look back", help="Correct the latents afterwards; not within the denoiser."
    )
    plan_file: str = setting(
        "",
        label="Plans",
        help="Of the placements lemica and dpcache: what calibrate wrote.",
        who=HOST,
    )

    @property
    def within(self) -> bool:
        """Whether trajectories are those of the denoiser's parts."""
        return self.space in WITHIN

    def __str__(self) -> str:
        back = ", looking back" if self.correct and not self.within else ""
        return f"{self.space} × {self.rule} × {self.placement}{back}"

    def check(self) -> None:
        """Read the plans, if it goes by any; raise ValueError where fields do not go together."""
        if self.within:
            parts = (("rule", _OF_BLOCKS), ("placement", (*BLOCK_PLACEMENTS, *PLANS)))
            for name, there in parts:
                if getattr(self, name) not in there:
                    raise ValueError(
                        f"{name} must be one of {', '.join(there)} where space={self.space!r}, "
                        f"got {getattr(self, name)!r}"
                    )
        object.__setattr__(self, "calibration", read_plans(self.placement, self.plan_file))
        # Whatever it is made of refuses what does not go together.
        self.configure(TraCacheConfig(), full_steps=(0,))

    def configure(self, cache: TraCacheConfig, **steps: Any) -> MethodConfig:
        """Return the configuration of the method that it is.

        Parameters
        ----------
        cache : TraCacheConfig
            What else the published method and its kin share.
        **steps
            ``compute`` or ``full_steps``.
        """
        if not self.within:
            names = ("space", "rule", "placement", "max_order", "correct", "plan_file")
            return PlannedConfig(**{name: getattr(self, name) for name in names}, **steps)
        placement = self.placement
        if self.calibration is not None:
            # Blocks know no plans of others, but exactly these steps.
            placement = "even"
            if "compute" in steps:
                steps = {"full_steps": self.calibration.plan(steps["compute"])}
        return replace(
            self.refine(cache),
            space=self.space,
            placement=placement,
            max_order=self.max_order,
            **steps,
        )

    def refine(self, cache: TraCacheConfig) -> TraCacheConfig:
        """Return settings of the published method with this rule."""
        return replace(cache, rule=self.rule, weights=(), **_WITH.get(self.rule, {}))
