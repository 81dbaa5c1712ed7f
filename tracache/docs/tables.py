"""Writes the manual's tables of settings: ``python -m tracache.docs.tables``.

They are made from the declarations and kept in the page, so that it can be read anywhere; a test
says when the two differ.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from tracache import methods
from tracache.caching.declare import PYTHON, Setting, settings_of

PAGE = Path(__file__).with_name("settings.md")
START, END = "<!-- settings -->", "<!-- /settings -->"


def fill(page: str) -> str:
    """Return the page with its tables made anew."""
    before, rest = page.split(START)
    after = rest.split(END)[1]
    names = sorted(methods.__all__, key=lambda name: (name != "TraCacheConfig", name))
    tables = "\n\n".join(_table(getattr(methods, name)) for name in names)
    return f"{before}{START}\n\n{tables}\n\n{END}{after}"


def _table(config: type) -> str:
    about = (config.__doc__ or "").strip().splitlines()[0]
    head = "| setting | default | allowed | meaning |\n|---|---|---|---|"
    rows = [
        _row(name, declared, declared.help or _described(config, name) or declared.label)
        for name, declared in settings_of(config).items()
    ]
    return "\n".join([f"## `{config.__name__}`\n\n{about}\n", head, *rows])


def _described(config: type, name: str) -> str:
    """What the docstring says of a field that declares no sentence of its own."""
    pattern = rf"^(?:\w+, )*{name}(?:, \w+)* : .*\n((?:    .*\n?|\n)+)"
    found = re.search(pattern, inspect.getdoc(config) or "", re.M)
    text = " ".join(found[1].split()) if found else ""
    return re.sub(r":\w+:`~?", "`", text).replace("``", "`")


def _row(name: str, declared: Setting, meaning: str) -> str:
    if declared.only is not None:
        other, value = declared.only
        meaning += f" Only with `{other}={value}`."
    if declared.who == PYTHON:
        meaning += " From Python alone."
    cells = (f"`{name}`", f"`{declared.default!r}`", declared.allowed, meaning.strip())
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text("utf-8")), encoding="utf-8")
