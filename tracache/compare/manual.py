"""The manual's tables, made from what is declared."""

from __future__ import annotations

from collections.abc import Iterable

from tracache.caching.declare import ANYONE, HOST, Setting
from tracache.compare.arms import ARMS
from tracache.compare.request import SETTINGS

_WHO = {ANYONE: "everywhere", HOST: "command line, Python"}


def settings_table() -> str:
    """Return every setting of a request, as a table in Markdown."""
    return _table(SETTINGS.values())


def arms_table() -> str:
    """Return every arm, as a table in Markdown."""
    rows = [f"| `{arm.id}` | {arm.title} | {arm.summary} {arm.caveat} |" for arm in ARMS.values()]
    return "\n".join(["| arm | name | what it does |", "|---|---|---|", *rows])


def options_table() -> str:
    """Return the settings that arms have of their own, as a table in Markdown."""
    rows = [
        f"| `{arm.id}.{s.name}` | {_default(s)} | {s.allowed} | {s.help or s.label} |"
        for arm in ARMS.values()
        for s in arm.options.values()
    ]
    return "\n".join(["| setting | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _table(settings: Iterable[Setting]) -> str:
    rows = [
        f"| `{s.name}` | {_default(s)} | {s.allowed} | {s.help or s.label} | "
        f"{_WHO.get(s.who, 'Python')} |"
        for s in settings
    ]
    head = "| setting | default | allowed | meaning | where |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _default(declared: Setting) -> str:
    if declared.default is None:
        return "the model's" if declared.kind != "steps" else "none"
    return f"`{declared.default!r}`"
