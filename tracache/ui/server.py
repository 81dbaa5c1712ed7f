"""Serves the page: the server's own settings, each with its reason, from its start to its end."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tracache.serving.backend import Backend
from tracache.serving.discretion import keep_prompts_out
from tracache.settings import Settings
from tracache.ui.gate import gate
from tracache.ui.gate.agents import let_agents_in
from tracache.ui.gate.faults import refuse
from tracache.ui.gate.unheard import Unheard
from tracache.ui.health import health_routes
from tracache.ui.jobs import Jobs
from tracache.ui.offer import offered
from tracache.ui.page import build_page
from tracache.ui.prometheus import Metrics
from tracache.ui.runs_folder import own_folder
from tracache.ui.style import CSS, THEME

#: How often what is too old is looked for, seconds.
_LOOK_S = 30.0

#: How long the last messages may take to reach those who look on, seconds.
_LAST_WORDS_S = 0.5


def launch(settings: Settings, backend: Backend) -> None:
    """Serve the page until interrupted or told to end.

    What is under way then may go on for ``settings.drain_s``; a second signal ends it at once.

    Parameters
    ----------
    settings : Settings
        Of the process.
    backend : Backend
        Does the work.

    Raises
    ------
    ValueError
        If the settings name a model that there is not, or a folder that cannot be written.
    """
    told = threading.Event()
    with _serving(settings, backend) as (jobs, tidy):
        with _signals(told):
            while not told.wait(_LOOK_S):
                tidy()
        if jobs.under_way():
            logging.getLogger(__name__).info("ending when %d runs are done", jobs.under_way())
        jobs.drain(settings.drain_s)


def start(settings: Settings, backend: Backend) -> None:
    """Serve the page in a thread, for as long as the process lives, and return."""
    stack = ExitStack()
    _, tidy = stack.enter_context(_serving(settings, backend, quiet=True))
    atexit.register(stack.close)

    def look() -> None:
        while True:
            time.sleep(_LOOK_S)
            tidy()

    threading.Thread(target=look, name="jobs-kept", daemon=True).start()


@contextmanager
def _serving(
    settings: Settings, backend: Backend, **more: Any
) -> Iterator[tuple[Jobs, Callable[[], None]]]:
    """Serve the page within; ``more`` is for Gradio's ``launch``.

    Yields its jobs, and what is to be called now and then to drop what is too old.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # One line a run is enough; whoever fetches what is their own business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not settings.log_prompts:
        keep_prompts_out()
    # Read by the web server as it starts.
    os.environ["FORWARDED_ALLOW_IPS"] = settings.proxies
    with own_folder(settings.runs) as runs:
        settings = replace(settings, runs=runs)
        # Whatever Gradio keeps is closed to others too, and goes with the rest.
        os.environ["GRADIO_TEMP_DIR"] = str(runs / "gradio")
        metrics = Metrics.if_installed()
        jobs = Jobs(runs, settings.deadline_s, settings.log_prompts, metrics)
        page = build_page(settings, backend, metrics, jobs)
        page.queue(max_size=settings.queue, default_concurrency_limit=1, api_open=False)
        first = offered(settings)[0].id

        def why_not_ready() -> str:
            return jobs.why_closed() or backend.why_not_ready() or backend.why_unavailable(first)

        page.launch(
            server_name=settings.host,
            server_port=settings.port,
            auth=settings.auth,
            theme=THEME,
            css=CSS,
            max_file_size="1mb",
            show_error=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=settings.api,
            run_history=False,
            allowed_paths=[
                str(runs),
                *(str(settings.assets / name) for name in ("examples", "benchmarks")),
            ],
            share=False,
            # A session's copy of the page takes a third of a megabyte, and anybody can open many.
            state_session_capacity=256,
            app_kwargs={
                "exception_handlers": {Exception: refuse},
                "middleware": gate(settings),
                "lifespan": let_agents_in(settings.auth),
                "routes": [
                    *health_routes(why_not_ready),
                    *([metrics.route(settings.auth)] if metrics is not None else []),
                ],
            },
            footer_links=["api", "settings"] if settings.api else ["settings"],
            prevent_thread_lock=True,
            **more,
        )
        unheard = Unheard(page)

        def tidy() -> None:
            jobs.expire()
            unheard.drop()

        try:
            yield jobs, tidy
        finally:
            time.sleep(_LAST_WORDS_S)
            page.close(verbose=False)


@contextmanager
def _signals(told: threading.Event) -> Iterator[None]:
    """Let the first signal to end set an event; the next one does what it always does."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.getsignal(name) for name in names}

    def tell(*_: Any) -> None:
        for name, handler in before.items():
            signal.signal(name, handler)
        told.set()

    for name in names:
        signal.signal(name, tell)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
