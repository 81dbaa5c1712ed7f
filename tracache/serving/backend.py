"""Where work is done, as the page sees it; and the way that needs nothing: here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any

from tracache.compare.request import Request
from tracache.compare.rounds import LEAST, LONGEST_ROUND_S
from tracache.models.loading import (
    ModelUnavailableError,
    require_available,
    why_unavailable,
)
from tracache.models.registry import find_model
from tracache.serving.work import WORK, About, Failure
from tracache.settings import Settings

#: How often somebody who waits looks up, seconds.
PATIENCE_S = 0.25

#: How long work elsewhere may take to end when it was asked to, seconds, before what does it is
#: ended: a step that is under way is let through, a process that hangs is not waited for.
GRACE_S = 30.0

#: What a shared GPU is asked for, seconds: for each model, what a step of full compute takes on an
#: H200 slice, generously, and what goes before and after.
STEP_S = {"text-to-image": 0.15, "class-to-image": 0.1, "text-to-video": 4.0}
SPARE_S = 15.0
MOST_S = 120


class WorkerLostError(RuntimeError):
    """The process that did the work has ended; the message is for people."""


class Backend(ABC):
    """Does work that is asked for by name.

    Attributes
    ----------
    at_once : int
        How many runs it can do at the same time.
    """

    at_once: int = 1

    @abstractmethod
    def run(self, name: str, *arguments: Any) -> Generator[Any, None, None]:
        """Yield what some work yields; closing the generator ends the work soon after.

        Work elsewhere yields :class:`~tracache.serving.work.Quiet` as well, where nothing came for
        a while, so that who asked can give up what hangs.

        Parameters
        ----------
        name : str
            A key of :data:`~tracache.serving.work.WORK`.
        arguments
            Of it, without the settings.
        """

    @abstractmethod
    def introduce(self) -> About:
        """Say where the work is done, with the first model loaded there."""

    @abstractmethod
    def require_available(self, model_id: str) -> None:
        """Raise :class:`ModelUnavailableError` where it is plain that a model cannot run."""

    @abstractmethod
    def why_unavailable(self, model_id: str) -> str:
        """Say why a model cannot run, or could not when it was last wanted; empty if it can."""

    def why_not_ready(self) -> str:
        """Say why nothing could be begun now; empty where something could."""
        return ""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """End what was started for it; further work is an error."""


class Here(Backend):
    """In this process; on ZeroGPU, in one that the platform forks from it for the time of a run.

    Parameters
    ----------
    settings : Settings
        Of the process.
    first : str
        The model to have ready.
    """

    def __init__(self, settings: Settings, first: str) -> None:
        self._settings = settings
        self._first = first
        self._work = {
            "compare": shared_gpu(WORK["compare"], seconds_needed),
            "path": shared_gpu(WORK["path"], seconds_to_draw),
        }

    def run(self, name: str, *arguments: Any) -> Generator[Any, None, None]:
        yield from self._work[name](*arguments, self._settings)

    def introduce(self) -> About:
        # Not on the shared GPU: there, models are loaded before anybody has one.
        return next(WORK["introduce"](self._first, self._settings))

    def require_available(self, model_id: str) -> None:
        require_available(model_id, self._settings)

    def why_unavailable(self, model_id: str) -> str:
        return why_unavailable(model_id, self._settings)


class Elsewhere(Backend):
    """Common to all that work in other processes: what they said of themselves is believed.

    What they could not do is remembered and tried again.
    """

    _about: About
    _failed: dict[str, str]

    def introduce(self) -> About:
        return self._about

    def require_available(self, model_id: str) -> None:
        if reason := self._about.unavailable.get(find_model(model_id).id):
            raise ModelUnavailableError(reason)

    def why_unavailable(self, model_id: str) -> str:
        spec = find_model(model_id)
        return self._about.unavailable.get(spec.id) or self._failed.get(spec.id, "")

    def _heard(self, name: str, arguments: tuple[Any, ...], event: Any) -> Any:
        """Return what came from there, or raise what ended it."""
        if not isinstance(event, Failure):
            return event
        if isinstance(event.error, ModelUnavailableError) and name == "compare":
            self._failed[arguments[0].model] = str(event.error)
        raise event.error


def seconds_needed(request: Request, settings: Settings) -> int:
    """How long a run may take on a shared GPU; what is not used is not charged."""
    # Every arm, at worst in full, and one more run to watch every block; rounds if they are short.
    steps = request.steps * (len(request.arms) + int(request.trace))
    rounds = max(settings.timing_s, LEAST * LONGEST_ROUND_S) if request.timed else 0
    return min(MOST_S, int(SPARE_S + rounds + steps * STEP_S[request.spec.task]))


def seconds_to_draw(request: Request, block: int, settings: Settings) -> int:
    """How long a block's path may take on a shared GPU."""
    return min(MOST_S, int(SPARE_S + request.steps * STEP_S[request.spec.task]))


def shared_gpu(function: Callable[..., Any], duration: Callable[..., int]) -> Callable[..., Any]:
    """Let a function run on ZeroGPU where that is; elsewhere it stays as it is."""
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(duration=duration)(function)
