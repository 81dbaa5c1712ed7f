"""What an arm is: one way to run a request, and what it makes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracache.caching.config import MethodConfig, TraCacheConfig
from tracache.caching.declare import ANYONE, Setting, settings_of

if TYPE_CHECKING:
    from tracache.compare.triple import Triple
    from tracache.models.spec import ModelSpec

#: The arm that all others are held against.
REFERENCE = "full"

#: The arm of this project's method, and that of the method as published.
TRACACHE, PUBLISHED = "tracache", "published"

#: The arm whose triple a request says.
OWN = "own"

#: What every request says of how many steps compute, and so no arm of its own.
SCHEDULES = ("compute", "stride", "full_steps")


@dataclass(frozen=True)
class Setup:
    """What an arm does with one request.

    Attributes
    ----------
    num_steps : int
        Denoising steps that the scheduler takes.
    cache : a configuration of TraCache or of another method, or None
        The cache attached meanwhile; None computes every step fully.
    scheduler : str or None
        The arm's own scheduler; None is the request's.
    """

    num_steps: int
    cache: MethodConfig | None = None
    scheduler: str | None = None

    @property
    def computed_steps(self) -> tuple[int, ...] | None:
        """Indices of the steps that compute everything.

        None where the run itself decides, or the noise schedule, see
        :func:`tracache.compare.plan.plans`.
        """
        if self.cache is None:
            return tuple(range(self.num_steps))
        return self.cache.plan_steps(self.num_steps)

    @property
    def whole_steps(self) -> bool:
        """Whether each step computes all blocks or none."""
        return self.cache is None or self.cache.whole_steps

    @property
    def num_computed(self) -> int | None:
        """How many steps compute everything; None where the run itself decides."""
        return self.num_steps if self.cache is None else self.cache.budget(self.num_steps)


@dataclass(frozen=True)
class Given:
    """What an arm makes its setup from.

    Attributes
    ----------
    num_steps : int
        Steps of full compute.
    cache : TraCacheConfig
        How many steps compute, and what else the published method and its kin share.
    options : mapping
        The arm's own settings, by name; its defaults where not given.
    guided : bool
        Whether the batch has the two halves of classifier-free guidance.
    computed : int or None
        How many steps' worth of blocks the arm to be matched has computed, once it has run; see
        :attr:`Request.matched <tracache.compare.request.Request.matched>`.
    """

    num_steps: int
    cache: TraCacheConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    guided: bool = True
    computed: int | None = None

    @property
    def budget(self) -> int:
        """How many steps cost as much as the arm to be matched.

        Raises
        ------
        ValueError
            If its run decides that and it has not run.
        """
        if self.computed is not None:
            return self.computed
        steps = self.cache.budget(self.num_steps)
        if steps is None:
            raise ValueError(
                "with stride='auto' this arm takes as many steps as another turns out to "
                "compute: choose TraCache, as published, too, or say how many with compute"
            )
        return steps


@dataclass(frozen=True)
class Arm:
    """An arm.

    Attributes
    ----------
    id, title, summary : str
        Name in code and on the command line, name on the page, one plain sentence.
    setup : callable
        ``setup(given) -> Setup``.
    settings : subclass of MethodConfig, or None
        The arm's own configuration, whose declared settings may be set.
    refusal : callable
        ``refusal(spec) -> str``: why a model cannot run the arm; empty if it can.
    caveat : str
        What a visitor should know before choosing it; may be empty.
    matches : bool
        Whether it takes as many steps as another arm costs.
    plans : bool
        Whether it places the request's computed steps by itself.
    triple : Triple or None
        Its space, rule and placement, where that is what it is.
    """

    id: str
    title: str
    summary: str
    setup: Callable[[Given], Setup]
    settings: type[MethodConfig] | None = None
    refusal: Callable[[ModelSpec], str] = lambda spec: ""
    caveat: str = ""
    matches: bool = False
    plans: bool = False
    triple: Triple | None = None

    @property
    def forecasts(self) -> bool:
        """Whether it shares the published method's schedule and other settings."""
        other = self.matches or self.plans or self.id == REFERENCE
        return self.settings is None and not other

    @property
    def scheduled(self) -> bool:
        """Whether the request says what it computes, or at least what it may cost."""
        return self.forecasts or self.matches or self.plans

    @property
    def options(self) -> dict[str, Setting]:
        """Its own settings, by name."""
        own = {} if self.settings is None else settings_of(self.settings)
        return {k: s for k, s in own.items() if not (self.plans and k in SCHEDULES)}

    @property
    def for_host_only(self) -> bool:
        """Whether it cannot do without what only the host may say, such as the name of a file."""
        return any(option.who != ANYONE and option.needed for option in self.options.values())

    @property
    def offered(self) -> dict[str, Setting]:
        """Those of its own settings that anyone may set, with what anyone may set them to."""
        return {k: option.offered for k, option in self.options.items() if option.who == ANYONE}
