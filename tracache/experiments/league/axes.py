"""Three questions, each with one thing varied: which space, which basis, which plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracache.caching.declare import Setting
from tracache.caching.method_config import MethodConfig
from tracache.compare.arm import PUBLISHED, TRACACHE

#: Question → the settings that belong to it; of several that differ, all must be of one question.
AXES: dict[str, tuple[str, ...]] = {
    "space": ("space",),
    "basis": ("trend", "rule", "order", "max_order", "weights", "abscissa"),
    "plan": ("placement", "full_steps", "plan_file", "calibration"),
}

#: Settings that mean nothing where a number of computed steps is given.
_IDLE = ("compute", "stride", "warmup", "last_step", "tolerance", "max_skips")

#: Those that others are held beside, each with what is asked of it alone changed.
ANCHORS = (TRACACHE, PUBLISHED)


def varied(settings: Mapping[str, Setting]) -> list[tuple[str, str]]:
    """Return (setting, choice) for whatever may be chosen where a question is asked.

    Parameters
    ----------
    settings : mapping of str to Setting
        That an anchor declares.
    """
    asked = [name for names in AXES.values() for name in names if name in settings]
    return [(name, choice) for name in asked for choice in settings[name].choices]


def axes_of(configs: Mapping[str, MethodConfig]) -> dict[str, list[tuple[str, str, str]]]:
    """Return, by entrant, the questions it answers: (question, beside whom, what it takes).

    Parameters
    ----------
    configs : mapping of str to MethodConfig
        Of entrants, all at the same number of computed steps.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for anchor in ANCHORS:
        base = configs.get(anchor)
        for name, config in configs.items():
            if base is None or type(config) is not type(base):
                continue
            for axis in _axes(base, config):
                found.setdefault(name, []).append((axis, anchor, _value(config, axis)))
    return found


def _axes(base: MethodConfig, other: MethodConfig) -> list[str]:
    """Return the questions to which two configurations are two answers; all for the same one."""
    mine, theirs = _fields(base), _fields(other)
    differ = {name for name in mine if mine[name] != theirs[name]}
    return [axis for axis, names in AXES.items() if differ <= set(names)]


def _fields(config: MethodConfig) -> dict[str, Any]:
    return {k: v for k, v in config.plain().to_dict().items() if k not in _IDLE}


def _value(config: MethodConfig, axis: str) -> str:
    """Return what a configuration takes, in words."""
    fields = config.to_dict()
    if axis == "plan":
        if fields.get("full_steps") is not None:
            return "TraCache's plan"
        return str(fields.get("placement", "even"))
    if axis == "space":
        return str(fields["space"])
    rule = str(fields.get("trend") or fields.get("rule"))
    if rule != "lagrange" or "order" not in fields:
        return rule
    # Of the others there is none to choose.
    order = "chosen" if fields["order"] == "dynamic" else "fixed"
    return f"{rule}, {order} order"
