"""The demo: reads its settings from the environment, builds the page and serves it."""

import logging
import os
import sys
from contextlib import suppress

# Read when gradio is imported: the page asks nothing of anybody outside.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# On a Space with a shared GPU this must come before anything that touches CUDA.
with suppress(ImportError):
    import spaces  # noqa: F401

from tracache.settings import Settings
from tracache.ui.page import build_page
from tracache.ui.style import CSS, THEME


def main() -> None:
    """Serve the page until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # One line a run is enough; whoever fetches what is their own business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment()
        page = build_page(settings)
    except ValueError as error:
        sys.exit(f"tracache: {error}")
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
        footer_links=["api", "settings"] if settings.api else ["settings"],
    )


if __name__ == "__main__":
    main()
