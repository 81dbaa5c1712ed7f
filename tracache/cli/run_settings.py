"""Settings of runs on the command line: an option for each, and what was given of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.declare import PYTHON, Setting, settings_of
from tracache.compare.arm import OWN, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.request import SETTINGS
from tracache.compare.triple import Triple

#: The published method's settings that the command line takes.
CACHE = {name: s for name, s in settings_of(TraCacheConfig).items() if s.who != PYTHON}

#: What an arm of one's own is, and two of them the published method's too.
AXES = {name: settings_of(Triple)[name] for name in ("space", "rule", "placement", "plan_file")}

#: Of these, what means something for one's own arm alone.
OWN_ALONE = ("rule", "plan_file")

#: Of these, commands that compare many settings take several at once.
SEVERAL = ("compute", "stride")


def add_settings(parser: argparse.ArgumentParser, but: Collection[str] = ()) -> None:
    """Add an option for each of the published method's settings but those that take several."""
    for name, declared in CACHE.items():
        if name not in SEVERAL and name not in but:
            add_setting(parser, declared)


def add_setting(parser: argparse._ActionsContainer, declared: Setting) -> None:
    """Add an option for a setting, checked as it is read."""
    about = (declared.help or declared.label).replace("%", "%%")
    if declared.kind == "switch":
        parser.add_argument(declared.option, action=argparse.BooleanOptionalAction, help=about)
    elif declared.kind == "choice":
        parser.add_argument(declared.option, choices=declared.choices, help=about)
    else:
        allowed = f" ({declared.allowed})" if declared.allowed else ""
        parser.add_argument(declared.option, type=reader_of(declared), help=about + allowed)


def reader_of(declared: Setting) -> Callable[[str], Any]:
    """Return what reads a setting, in argparse's way of refusing."""

    def read(text: str) -> Any:
        try:
            return declared.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for arms' own settings."""
    there = (f"{arm.id}.{name}" for arm in ARMS.values() for name in arm.options)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="ARM.NAME=VALUE",
        help=f"an arm's own setting: {', '.join(there)}",
    )


def options_of(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The arms' own settings that were given on the command line."""
    options: dict[str, dict[str, Any]] = {}
    for text in args.option:
        path, equals, value = text.partition("=")
        arm, dot, name = path.partition(".")
        if not (equals and dot):
            raise ValueError(f"--option takes ARM.NAME=VALUE, got {text!r}")
        declared = ARMS[arm].options.get(name) if arm in ARMS else None
        # What is unknown is for the request to refuse, in its words.
        read = value if declared is None else replace(declared, name=path).read(value)
        options.setdefault(arm, {})[name] = read
    return options


def asked_for(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arms of a comparison, their own settings, and all others that were given.

    Raises
    ------
    ValueError
        If a rule is given, and arms of which none is one's own.
    """
    options, given, arms = options_of(args), given_settings(args), args.arms
    axes = {name: getattr(args, name) for name in AXES if getattr(args, name) is not None}
    given = {name: value for name, value in given.items() if name not in axes}
    if arms is None:
        arms = [OWN, "fewer-steps"] if axes else [TRACACHE]
    if OWN in arms:
        highest = {"max_order": given["max_order"]} if "max_order" in given else {}
        options[OWN] = {**axes, **highest, **options.get(OWN, {})}
    elif others := [AXES[name].option for name in OWN_ALONE if name in axes]:
        raise ValueError(
            f"{others[0]} is for an arm of your own: leave out --arms, or name {OWN} among them"
        )
    else:
        given |= axes
    return {"arms": arms, "options": options, **given}


def given_settings(args: argparse.Namespace, names: Collection[str] = SETTINGS) -> dict[str, Any]:
    """Return the settings that were given on the command line, by name."""
    there = {name: getattr(args, name, None) for name in SETTINGS if name in names}
    return {name: value for name, value in there.items() if value is not None}


def given_cache_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the published method's settings that were given, but for those of ``SEVERAL``."""
    return given_settings(args, [name for name in CACHE if name not in SEVERAL])
