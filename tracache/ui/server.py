"""Serves the page: the server's own settings, each with its reason."""

from __future__ import annotations

import logging
from typing import Any

from starlette.middleware import Middleware

from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.faults import refuse
from tracache.ui.headers import SecureHeaders
from tracache.ui.page import build_page
from tracache.ui.prometheus import Metrics
from tracache.ui.queue import FairShare
from tracache.ui.style import CSS, THEME


def launch(settings: Settings, backend: Backend, **more: Any) -> None:
    """Serve the page, until interrupted or, with ``prevent_thread_lock=True``, in a thread.

    Parameters
    ----------
    settings : Settings
        Of the process.
    backend : Backend
        Does the work.
    more
        For Gradio's ``launch``.

    Raises
    ------
    ValueError
        If the settings name a model that there is not.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # One line a run is enough; whoever fetches what is their own business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    metrics = Metrics.if_installed()
    page = build_page(settings, backend, metrics)
    page.queue(max_size=settings.queue, default_concurrency_limit=1, api_open=False)
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
        allowed_paths=[str(settings.runs), str(settings.assets / "examples")],
        share=False,
        # A session's copy of the page takes a third of a megabyte, and anybody can open many.
        state_session_capacity=256,
        app_kwargs={
            "exception_handlers": {Exception: refuse},
            "middleware": [Middleware(SecureHeaders), Middleware(FairShare)],
            "routes": [metrics.route(settings.auth)] if metrics is not None else [],
        },
        footer_links=["api", "settings"] if settings.api else ["settings"],
        **more,
    )


def start(settings: Settings, backend: Backend) -> None:
    """Serve the page in a thread, and return."""
    launch(settings, backend, prevent_thread_lock=True, quiet=True)
