"""Who may set what of an arm, and whether it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracache.caching.declare import ANYONE, HOST, PYTHON, Setting
from tracache.compare.arms import find_arm

#: Those who may set settings, in the order of what they may.
_RANKS = (ANYONE, HOST, PYTHON)


def require_may_set(setting: Setting, who: str) -> None:
    """Raise ValueError where somebody may not set a setting.

    Parameters
    ----------
    setting : Setting
        What is to be set.
    who : {"anyone", "host", "python"}
        Who sets it: the page, a link or a program; the command line; Python.
    """
    if _RANKS.index(setting.who) > _RANKS.index(who):
        where = "on the command line or in Python" if setting.who == HOST else "in Python"
        raise ValueError(f"{setting.name} can be set {where} only")


def check_options(
    options: Mapping[str, Mapping[str, Any]], who: str = PYTHON
) -> dict[str, dict[str, Any]]:
    """Return the arms' own settings if they are allowed.

    Parameters
    ----------
    options : mapping
        Arm → setting → value.
    who : {"anyone", "host", "python"}, default "python"
        Who sets them, see :func:`require_may_set`.

    Raises
    ------
    ValueError
        If an arm or setting is unknown or a value not allowed; the message says what is.
    """
    checked: dict[str, dict[str, Any]] = {}
    for name, values in options.items():
        arm = find_arm(name)
        if not isinstance(values, Mapping):
            raise ValueError(f"the options of {name} must be names with values, got {values!r}")
        for option in values:
            if option not in arm.options:
                there = ", ".join(sorted(arm.options)) or "none"
                raise ValueError(f"{name} has no option {option!r}; it has {there}")
            require_may_set(arm.options[option], who)
        if arm.settings is not None and values:
            try:
                arm.settings(**values)
            except ValueError as error:
                raise ValueError(f"{arm.title}: {error}") from None
        checked[name] = dict(values)
    return checked
