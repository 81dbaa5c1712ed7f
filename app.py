"""The demo: reads its settings from the environment, builds the page and serves it."""

import os

# Read when gradio is imported: the page asks nothing of anybody outside.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from tracache.settings import Settings
from tracache.ui.page import build_page
from tracache.ui.style import CSS, THEME


def main() -> None:
    """Serve the page until interrupted."""
    settings = Settings.from_environment()
    page = build_page(settings)
    page.queue(max_size=16, default_concurrency_limit=1, api_open=False)
    page.launch(
        server_name=settings.host,
        server_port=settings.port,
        theme=THEME,
        css=CSS,
        max_file_size="1mb",
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=True,
        run_history=False,
        allowed_paths=[str(settings.runs), str(settings.assets / "examples")],
        share=False,
        footer_links=["api", "settings"],
    )


if __name__ == "__main__":
    main()
