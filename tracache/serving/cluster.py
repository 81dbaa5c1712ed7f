"""Work done by replicas on other machines, with Ray Serve; needs the extra ``serve``.

``serve run app:cluster`` starts the page and the replicas, whose number follows the number of
those who wait. What goes between them is :mod:`tracache.serving.work`, as with processes of one
machine. Page and replicas each read the environment of their own machine.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import RedirectResponse

from tracache.compare.events import Stage
from tracache.serving.backend import GRACE_S, PATIENCE_S, Elsewhere
from tracache.serving.discretion import keep_prompts_out
from tracache.serving.work import About, Failure, Quiet, do, portable
from tracache.settings import Settings

#: What ``serve run app:cluster name=value …`` may set: replicas at least and at most, and the GPUs
#: and processor cores of each.
DEFAULTS: dict[str, float] = {"least": 1, "most": 4, "gpus": 1, "cpus": 2}

#: Serves the page with a backend, and returns while it goes on.
Start = Callable[[Settings, "Cluster"], Any]


def deploy(start: Start, first: str, arguments: Mapping[str, Any]) -> Any:
    """Return the application: a page, and replicas that do its work.

    Parameters
    ----------
    start : callable
        Serves the page with a backend, and returns while it goes on.
    first : str
        The model to have ready.
    arguments : mapping
        Values, as text or numbers, in place of those of :data:`DEFAULTS`.

    Raises
    ------
    ValueError
        If an argument is unknown, or no number that makes sense.
    """
    least, most, gpus, cpus = _read(arguments)
    replicas = Replica.options(  # type: ignore[attr-defined]
        ray_actor_options={"num_gpus": gpus, "num_cpus": cpus},
        autoscaling_config={
            "min_replicas": int(least),
            "max_replicas": int(most),
            "target_ongoing_requests": 1,
        },
    ).bind()
    return Page.bind(start, replicas, first, int(most))  # type: ignore[attr-defined]


def _read(arguments: Mapping[str, Any]) -> tuple[float, ...]:
    for name, value in arguments.items():
        if name not in DEFAULTS:
            raise ValueError(f"unknown argument {name!r}; there are {', '.join(DEFAULTS)}")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{name} must be a number, got {value!r}") from None
        if not 0 <= number <= 10_000 or (name in ("least", "most") and number != int(number)):
            raise ValueError(f"{name} must be a number of things, got {value}")
    values = {**DEFAULTS, **{name: float(value) for name, value in arguments.items()}}
    if not 1 <= values["least"] <= values["most"]:
        raise ValueError("least must be 1 or more, and most no less than that")
    return tuple(values.values())


@serve.deployment(max_ongoing_requests=1)
class Replica:
    """Does one piece of work at a time."""

    def __init__(self) -> None:
        self._settings = Settings.from_environment()
        if not self._settings.log_prompts:
            keep_prompts_out()
        # One thread: what runs a generator must be through with it before another closes it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._ending: Future[None] | None = None
        self._since = 0.0

    async def run(self, name: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """Yield what the work yields; cancelled, it ends after the step it is at."""
        loop = asyncio.get_running_loop()
        events = do(name, arguments, self._settings)
        try:
            while True:
                event = await loop.run_in_executor(self._thread, next, events, None)
                if event is None:
                    return
                yield event
        finally:
            # In its turn, after the step that is under way.
            self._ending, self._since = self._thread.submit(events.close), time.monotonic()

    def check_health(self) -> None:
        """Raise where work that was cancelled does not end, so that Ray Serve starts another.

        A process that answers nothing at all fails Ray Serve's checks by itself.
        """
        hangs = self._ending is not None and not self._ending.done()
        if hangs and time.monotonic() - self._since > GRACE_S:
            raise RuntimeError(f"work that was cancelled has not ended within {GRACE_S:g} s")


@serve.deployment(max_ongoing_requests=100)
class Page:
    """Serves the page on a port of its own; who asks Ray Serve for it is led there."""

    def __init__(self, start: Start, replicas: Any, first: str, most: int) -> None:
        settings = Settings.from_environment()
        self._port = settings.port
        self._backend = Cluster(replicas, most)
        # This is called from Ray's own loop, in which one may not wait for a replica.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._backend.meet, first).result()
            thread.submit(start, settings, self._backend).result()

    async def __call__(self, request: Request) -> RedirectResponse:
        """Lead to the page."""
        return RedirectResponse(f"http://{request.url.hostname}:{self._port}/")


class Cluster(Elsewhere):
    """Replicas of a Ray Serve application, each with a device of its own.

    Parameters
    ----------
    replicas : deployment handle
        Of :class:`Replica`.
    most : int
        How many there can be.
    """

    def __init__(self, replicas: Any, most: int) -> None:
        self.at_once = most
        self._replicas = replicas.options(stream=True)
        self._failed = {}

    def meet(self, first: str) -> None:
        """Have a replica introduce itself; before anything else is asked of it."""
        events = list(self.run("introduce", first))
        (self._about,) = [event for event in events if isinstance(event, About)]

    def run(self, name: str, *arguments: Any) -> Generator[Any, None, None]:
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        response = self._replicas.run.remote(name, *arguments)
        threading.Thread(target=_listen, args=(response, heard), daemon=True).start()
        waiting = True
        try:
            while True:
                try:
                    event = heard.get(timeout=PATIENCE_S)
                except queue.Empty:
                    # Whoever waits can be told so, and can give up.
                    wait = Stage("wait", "Waiting for another run to end")
                    yield wait if waiting else Quiet()
                    continue
                if event is None:
                    return
                waiting = False
                yield self._heard(name, arguments, event)
        finally:
            with suppress(Exception):
                response.cancel()


def _listen(response: Any, heard: queue.SimpleQueue[Any]) -> None:
    try:
        for event in response:
            heard.put(event)
        heard.put(None)
    except Exception as error:
        heard.put(Failure(portable(error)))
