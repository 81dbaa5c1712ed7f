"""A request in words that can be handed on: a link, a script, a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tracache.caching.declare import ANYONE, PYTHON, Setting
from tracache.compare.arm import REFERENCE, SCHEDULES, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.request import SETTINGS, Request, make_request
from tracache.media import VideoSize
from tracache.models.presets import CUSTOM


def given_of(request: Request) -> dict[str, Any]:
    """Return what :func:`~tracache.compare.request.make_request` needs to make a request again.

    Whatever is the model's default is left out, but for the seed and how many steps compute, which
    people look for.
    """
    spec = request.spec
    given: dict[str, Any] = {"model": request.model}
    if request.class_label is None:
        given["prompt"] = request.prompt
    else:
        given["class_label"] = request.class_label
    given["seed"] = request.seed
    if request.negative_prompt:
        given["negative_prompt"] = request.negative_prompt
    if request.guidance_scale != spec.guidance_scale:
        given["guidance_scale"] = request.guidance_scale
    given |= _size(request)
    if request.preset != CUSTOM:
        given["preset"] = request.preset
    else:
        if request.steps != spec.steps:
            given["steps"] = request.steps
        if request.scheduler != spec.schedulers[0]:
            given["scheduler"] = request.scheduler
        default = spec.cache.to_dict()
        changed = {k: v for k, v in request.cache.to_dict().items() if v != default[k]}
        # One of these must be there, or the number of computed steps would be the default.
        if not changed.keys() & set(SCHEDULES):
            changed["stride"] = request.cache.stride
        given |= changed
    arms = tuple(arm for arm in request.arms if arm != REFERENCE)
    if arms != (TRACACHE,):
        given["arms"] = list(arms)
    options = {arm: dict(own) for arm, own in request.options.items() if own}
    if options:
        given["options"] = options
    return given


def _size(request: Request) -> dict[str, Any]:
    """What was given in place of the model's own size."""
    size, own = request.size, request.spec.size
    if size == own or not isinstance(size, VideoSize) or not isinstance(own, VideoSize):
        return {}
    given: dict[str, Any] = {} if size.frames == own.frames else {"frames": size.frames}
    sizes = request.spec.sizes
    named = None if sizes is None else sizes.name_of(size)
    if (size.height, size.width) != (own.height, own.width) and named is not None:
        given |= dict(zip(("resolution", "aspect"), named, strict=True))
    return given


def to_query(given: Mapping[str, Any]) -> str:
    """Write what was given as the query of a link; arms' own settings are ``arm.name``."""
    flat: dict[str, Any] = {}
    for name, value in given.items():
        if name == "options":
            flat |= _options(value)
        elif name == "arms":
            flat[name] = ",".join(value)
        else:
            flat[name] = SETTINGS[name].write(value) if name in SETTINGS else value
    return urlencode(flat)


def _options(options: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Arms' own settings as a link and a command have them: ``arm.name`` → what is written."""
    return {
        f"{arm}.{name}": ARMS[arm].options[name].write(value)
        for arm, own in options.items()
        for name, value in own.items()
    }


def from_query(query: str) -> dict[str, Any]:
    """Read the query of a link; the inverse of :func:`to_query`.

    Parameters
    ----------
    query : str
        What stands after the question mark; names with two leading underscores, and ``run``, are
        the page's own and are passed over.

    Raises
    ------
    ValueError
        If a name is unknown or a value cannot be read; the message says which.
    """
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name.startswith("__") or name == "run":
            continue
        arm, dot, option = name.partition(".")
        if dot:
            options = given.setdefault("options", {}).setdefault(arm, {})
            options[option] = _setting(name).read(text, " in the link")
        else:
            given[name] = _read(name, text)
    return given


def _read(name: str, text: str) -> Any:
    if name in ("model", "prompt"):
        return text
    if name == "class_label":
        return int(text) if text.isdecimal() else text
    if name == "arms":
        return [arm for arm in text.split(",") if arm]
    return _setting(name).read(text, " in the link")


def _setting(name: str) -> Setting:
    """What is declared of a setting, of an arm's own where there is a dot in the name."""
    arm, dot, option = name.partition(".")
    found = SETTINGS.get(name)
    if dot and arm in ARMS:
        found = ARMS[arm].options.get(option)
    if found is None or found.who != ANYONE:
        raise ValueError(f"the link says {name}, which is not a setting")
    return replace(found, name=name)


def to_python(given: Mapping[str, Any]) -> str:
    """Write a script that makes the same comparison."""
    arguments = "".join(
        f"    {repr(value) if name == 'model' else f'{name}={value!r}'},\n"
        for name, value in given.items()
    )
    return f"""from pathlib import Path

from tracache.compare.comparison import run
from tracache.compare.request import make_request
from tracache.compare.saving import save_report
from tracache.compare.words import nearness_of, steps_of
from tracache.models.loading import load_model

request = make_request(
{arguments})
report = run(load_model(request.model), request)
for arm in report.arms:
    print(f"{{arm.title}}: {{steps_of(arm)}}, {{arm.denoising_s:.2f}} s, {{nearness_of(arm)}}")
folder = Path("out")
folder.mkdir(exist_ok=True)
save_report(report, folder)
"""


def to_command(given: Mapping[str, Any]) -> str:
    """Write a command that makes the same comparison, for a POSIX shell.

    Raises
    ------
    ValueError
        If the command line has no flag for a setting.
    """
    words = ["python", "-m", "tracache", "compare"]
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "options":
            for option, text in _options(value).items():
                words += ["--option", f"{option}={text}"]
        elif name == "arms":
            words += [flag, *value]
        elif isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif name in SETTINGS and SETTINGS[name].who == PYTHON:
            raise ValueError(f"the command line has no flag for {name}; use the script")
        else:
            # A value that begins with a dash would read as a flag.
            words.append(f"{flag}={SETTINGS[name].write(value) if name in SETTINGS else value}")
    return shlex.join([*words, "--output", "out"])


def from_given(given: Mapping[str, Any], **more: Any) -> Request:
    """Return the request that was given, checked like any other."""
    known = {k: v for k, v in given.items() if k not in ("model", "arms")}
    arms = given.get("arms", [TRACACHE])
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ValueError(f"unknown arm {unknown[0]!r}; choose from {', '.join(ARMS)}")
    if "model" not in given:
        raise ValueError("the link names no model")
    return make_request(given["model"], arms=arms, **known, **more)
