"""The demo: reads its settings from the environment, builds the page and serves it."""

import os
import sys
from contextlib import closing, suppress
from typing import Any

# Read when gradio is imported: the page asks nothing of anybody outside.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# On a Space with a shared GPU this must come before anything that touches CUDA.
with suppress(ImportError):
    import spaces  # noqa: F401

from tracache.serving.backend import Backend, Here
from tracache.serving.workers import Workers, count_workers
from tracache.settings import Settings
from tracache.ui.offer import offered
from tracache.ui.server import launch, start


def main() -> None:
    """Serve the page until interrupted."""
    try:
        settings = Settings.from_environment()
        with closing(_backend(settings)) as backend:
            launch(settings, backend)
    except ValueError as error:
        sys.exit(f"tracache: {error}")


def cluster(arguments: dict[str, Any]) -> Any:
    """Return the page with Ray Serve's replicas behind it, for ``serve run app:cluster``."""
    from tracache.serving.cluster import deploy

    return deploy(start, offered(Settings.from_environment())[0].id, arguments)


def _backend(settings: Settings) -> Backend:
    first, count = offered(settings)[0].id, count_workers(settings)
    return Workers(settings, first, count) if count else Here(settings, first)


if __name__ == "__main__":
    main()
