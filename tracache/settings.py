"""What the environment may set, read and checked in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir

#: What ``TRACACHE_DTYPE`` may be.
DTYPES = ("float32", "bfloat16", "float16")

_PROJECT = Path(__file__).resolve().parents[1]

#: Spellings of yes and no.
_SWITCHES = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def assets_folder() -> Path:
    """Return the folder of the embedded models, whether it is there or not.

    ``TRACACHE_ASSETS``, or ``demo_assets`` beside the package, as in a clone; an installed package
    has none. Whoever reads anything of the assets asks here.
    """
    return Path(os.environ.get("TRACACHE_ASSETS", "").strip() or _PROJECT / "demo_assets")


def without_assets(what: str, folder: Path) -> str:
    """Say that something of the assets is not here, and where to get it.

    Parameters
    ----------
    what : str
        Begins the sentence.
    folder : Path
        Of the assets, where it was looked for.
    """
    if folder.is_dir():
        return f"{what} is not in {folder}: clone the whole repository"
    return (
        f"{what} comes with a clone of TraCache's repository, not with the package, and there is "
        f"no folder {folder}: clone it, and set TRACACHE_ASSETS to its demo_assets"
    )


def require_asset(path: Path, assets: Path) -> Path:
    """Return the path of a file or folder of the assets, if it is there.

    Parameters
    ----------
    path, assets : Path
        What is wanted, and the folder that it should be in.

    Raises
    ------
    FileNotFoundError
        If it is not; the message says where to get it.
    """
    if not path.exists():
        raise FileNotFoundError(without_assets(path.name, assets))
    return path


@dataclass(frozen=True)
class Settings:
    """Settings of a process.

    Attributes
    ----------
    assets : Path
        Folder of the embedded models (``TRACACHE_ASSETS``), by default ``demo_assets`` beside the
        package, which an installed package does not have: then those models cannot run.
    models : Path or None
        Folder with models of the Hub, each under its repository's name (``TRACACHE_MODELS``), for
        machines that cannot or should not download; what is not there comes from the Hub.
    brought : tuple of str
        Pipelines that the page lists besides those of the registry, of which ``TRACACHE_MODELS``
        may hold any number, separated by commas: ``owner/name`` of the Hub, or the folder of one.
    device : str or None
        ``TRACACHE_DEVICE``: cuda, mps or cpu; the best there is if not set.
    dtype : str or None
        Format in which the Hub's models compute (``TRACACHE_DTYPE``), one of :data:`DTYPES`; what
        the device is good at if not set. The project's own models always use float32.
    ceiling : float
        Share of what a model's requests may take that one request may take here
        (``TRACACHE_CEILING``, 1): for hosts on which the usual would be too long.
    host, port : str, int
        Where the page listens: ``GRADIO_SERVER_NAME`` (127.0.0.1) and ``GRADIO_SERVER_PORT``
        (7860).
    runs : Path
        Where the server makes a folder of its own for the pictures and figures of the page's runs
        (``TRACACHE_RUNS``), by default the system's temporary folder. They are kept for an hour.
    deadline_s : float
        Longest time that one request may take (``TRACACHE_DEADLINE``, 600 s).
    timing_s : float
        How long the arms of a comparison are timed together once their pictures are made, seconds
        (``TRACACHE_TIMING``, 1); 0 times each once, in the run that makes its picture.
    offered : tuple of str
        Names of the models that the page offers, its first choice first (``TRACACHE_OFFER``,
        separated by commas); empty offers all.
    queue : int
        How many may wait for the device (``TRACACHE_QUEUE``, 16); whoever comes after is told to
        come back.
    workers : int or None
        How many processes do the work (``TRACACHE_WORKERS``): one for each GPU where there are
        several, if not set; 0 does it in the process of the page.
    auth : tuple of (str, str) or None
        User and password of the page (``TRACACHE_AUTH=user:password``).
    hosts : tuple of str
        Names by which the page is known (``TRACACHE_HOSTS``, separated by commas): no other is
        answered to, and other websites may not call it. By default those of this machine, and any
        where the page listens on all addresses.
    proxies : str
        Addresses of proxies that are believed to say who a visitor is (``TRACACHE_PROXIES``,
        separated by commas, ``*`` for any), besides this machine's own; any on a Space.
    drain_s : float
        How long runs that are under way may go on when the server is told to end
        (``TRACACHE_DRAIN``, 10 s).
    api : bool
        Whether programs and agents may call it (``TRACACHE_API``, on).
    space : bool
        Whether this is a Hugging Face Space (which sets ``SPACE_ID``).
    log_prompts : bool
        Whether the log may say what was asked for (``TRACACHE_LOG_PROMPTS``, off).
    """

    assets: Path
    device: str | None
    host: str
    port: int
    deadline_s: float
    timing_s: float = 1.0
    models: Path | None = None
    brought: tuple[str, ...] = ()
    runs: Path = field(default_factory=lambda: Path(gettempdir()))
    offered: tuple[str, ...] = ()
    queue: int = 16
    dtype: str | None = None
    ceiling: float = 1.0
    workers: int | None = None
    auth: tuple[str, str] | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    proxies: str = "127.0.0.1"
    drain_s: float = 10.0
    api: bool = True
    log_prompts: bool = False
    space: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Parameters
        ----------
        environment : mapping, optional
            In place of the process's.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the variable.
        """
        there = os.environ if environment is None else environment

        def get(name: str) -> str:
            return there.get(name, "").strip()

        dtype = get("TRACACHE_DTYPE") or None
        if dtype not in (None, *DTYPES):
            raise ValueError(f"TRACACHE_DTYPE must be one of {', '.join(DTYPES)}; got {dtype!r}")
        assets = Path(get("TRACACHE_ASSETS") or _PROJECT / "demo_assets")
        if get("TRACACHE_ASSETS") and not assets.is_dir():
            raise ValueError(f"TRACACHE_ASSETS must be a folder; there is none at {assets}")
        proxies = "*" if get("SPACE_ID") else get("TRACACHE_PROXIES")
        models, brought = _models(get("TRACACHE_MODELS"))
        return cls(
            assets=assets,
            device=get("TRACACHE_DEVICE") or None,
            host=get("GRADIO_SERVER_NAME") or "127.0.0.1",
            port=int(_number("GRADIO_SERVER_PORT", get("GRADIO_SERVER_PORT"), 7860, 1, 65535)),
            deadline_s=_number("TRACACHE_DEADLINE", get("TRACACHE_DEADLINE"), 600, 1, 86_400),
            timing_s=_number("TRACACHE_TIMING", get("TRACACHE_TIMING"), 1, 0, 60),
            models=models,
            brought=brought,
            runs=Path(get("TRACACHE_RUNS")) if get("TRACACHE_RUNS") else Path(gettempdir()),
            offered=_names(get("TRACACHE_OFFER")),
            queue=int(_number("TRACACHE_QUEUE", get("TRACACHE_QUEUE"), 16, 1, 1000)),
            workers=int(_number("TRACACHE_WORKERS", get("TRACACHE_WORKERS"), 0, 0, 64))
            if get("TRACACHE_WORKERS")
            else None,
            dtype=dtype,
            ceiling=_number("TRACACHE_CEILING", get("TRACACHE_CEILING"), 1, 0.01, 1),
            auth=_pair("TRACACHE_AUTH", there.get("TRACACHE_AUTH", "")),
            hosts=_names(get("TRACACHE_HOSTS")),
            # An agent's call comes from this machine, and says whose it is.
            proxies=proxies if proxies == "*" else ",".join(["127.0.0.1", *_names(proxies)]),
            drain_s=_number("TRACACHE_DRAIN", get("TRACACHE_DRAIN"), 10, 0, 3600),
            api=_switch("TRACACHE_API", get("TRACACHE_API"), True),
            space=bool(get("SPACE_ID")),
            log_prompts=_switch("TRACACHE_LOG_PROMPTS", get("TRACACHE_LOG_PROMPTS"), False),
        )


def _models(text: str) -> tuple[Path | None, tuple[str, ...]]:
    """A folder with models of the Hub, and pipelines that are brought along."""
    folder: Path | None = None
    brought = []
    for name in filter(None, map(str.strip, text.split(","))):
        path = Path(name)
        if (path / "model_index.json").is_file():
            brought.append(name)
        elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and not path.is_dir():
            brought.append(f"hub:{name}")
        elif folder is not None:
            raise ValueError(f"TRACACHE_MODELS names two folders of models, {folder} and {path}")
        else:
            folder = path
    return folder, tuple(brought)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _number(variable: str, text: str, default: float, low: float, high: float) -> float:
    try:
        value = float(text) if text else default
    except ValueError:
        raise ValueError(f"{variable} must be a number, got {text!r}") from None
    if not low <= value <= high:
        raise ValueError(f"{variable} must be from {low:g} to {high:g}, got {text}")
    return value


def _switch(variable: str, text: str, default: bool) -> bool:
    if not text:
        return default
    if text.lower() not in _SWITCHES:
        raise ValueError(f"{variable} must be one of {', '.join(_SWITCHES)}; got {text!r}")
    return _SWITCHES[text.lower()]


def _pair(variable: str, text: str) -> tuple[str, str] | None:
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        # What it holds is a secret, so it is not repeated.
        raise ValueError(f"{variable} must be user:password")
    return user, password
