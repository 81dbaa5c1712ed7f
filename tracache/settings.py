"""What the environment may set, read in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir

_PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Settings:
    """Settings of a process.

    Attributes
    ----------
    assets : Path
        Folder of the embedded models (``TRACACHE_ASSETS``), by default ``demo_assets``.
    models : Path or None
        Folder with models of the Hub, each under its repository's name (``TRACACHE_MODELS``), for
        machines that cannot or should not download; what is not there comes from the Hub.
    device : str or None
        ``TRACACHE_DEVICE``: cuda, mps or cpu; the best there is if not set.
    host, port : str, int
        Where the page listens: ``GRADIO_SERVER_NAME`` (127.0.0.1) and ``GRADIO_SERVER_PORT``
        (7860).
    runs : Path
        Folder for the pictures and figures of the page's runs (``TRACACHE_RUNS``), by default one
        of this process in the system's temporary folder. They are kept for an hour.
    deadline_s : float
        Longest time that one request may take (``TRACACHE_DEADLINE``, 600 s).
    """

    assets: Path
    device: str | None
    host: str
    port: int
    deadline_s: float
    models: Path | None = None
    runs: Path = field(default_factory=lambda: Path(gettempdir()) / f"tracache-runs-{os.getpid()}")

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment.

        Raises
        ------
        ValueError
            If a number is not one; the message names the variable.
        """
        models, runs = os.environ.get("TRACACHE_MODELS"), os.environ.get("TRACACHE_RUNS")
        return cls(
            assets=Path(os.environ.get("TRACACHE_ASSETS") or _PROJECT / "demo_assets"),
            device=os.environ.get("TRACACHE_DEVICE") or None,
            host=os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1",
            port=int(_number("GRADIO_SERVER_PORT", 7860)),
            deadline_s=_number("TRACACHE_DEADLINE", 600),
            models=Path(models) if models else None,
            **({"runs": Path(runs)} if runs else {}),
        )


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{variable} must be a number, got {text!r}") from None
