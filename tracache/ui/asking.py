"""From what came out of the controls, or from a program, to a checked request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from tracache.methods import METHODS
from tracache.models.registry import find_model, takes_class
from tracache.presets import CUSTOM
from tracache.request import Request, make_request
from tracache.settings import Settings
from tracache.ui.controls import EXTRA_ARM, NOT_HERE, Control, arm_options, option_name
from tracache.ui.numbers import whole

#: Settings of the cache that are handed on as they are; whole numbers come as floats.
_CACHE = (
    "tolerance",
    "max_order",
    "last_step",
    "granularity",
    "local_extrapolation",
    "criterion",
    "exponent",
    "window",
    "spread",
    "abscissa",
)


def read_request(values: Mapping[str, Any], settings: Settings | None = None) -> Request:
    """Return the request that the controls make.

    Parameters
    ----------
    values : mapping
        What each control holds.
    settings : Settings, optional
        Of the process; from the environment if not given.

    Raises
    ------
    ValueError
        If anything is not allowed; the message says what to do.
    """
    randomise = values["randomise"] is True
    if values["seed"] is None and not randomise:
        raise ValueError("seed is empty: enter a number, or randomise it")
    if not find_model(values["model"]).on_page:
        raise ValueError(f"the model {values['model']} is not on the page; use the command line")
    arm = values["arm"]
    if arm in NOT_HERE:
        raise ValueError(f"the arm {arm} is not on the page: {METHODS[arm].caveat}")
    options: dict[str, dict[str, Any]] = {}
    for owner, name, field in arm_options():
        if owner == arm:
            value = values[option_name(owner, name)]
            # An empty field is the arm's default.
            given = whole(value) if isinstance(field.default, int) else value
            options.setdefault(owner, {})[name] = field.default if value is None else given
    cache = {name: whole(values[name]) for name in _CACHE}
    # Where presets mean nothing they are out of sight, but not forgotten.
    scheduled = arm not in METHODS or METHODS[arm].scheduled
    prompt, label = values["prompt"] or "", values["class_label"]
    return make_request(
        values["model"],
        # The box of the other kind is hidden, whatever it holds.
        **({"class_label": whole(label)} if takes_class(values["model"]) else {"prompt": prompt}),
        seed=None if randomise else whole(values["seed"]),
        steps=whole(values["steps"]),
        guidance_scale=values["guidance_scale"],
        scheduler=values["scheduler"],
        stride="auto" if values["adaptive"] is True else whole(values["stride"]),
        arms=[arm, *([EXTRA_ARM] if values["fewer_steps"] is True else [])],
        options=options,
        preset=values["preset"] if scheduled else CUSTOM,
        environment=settings,
        **cache,
    )


def as_endpoint(
    generate: Callable[[dict[str, Any], gr.Request], Iterator[Any]], inputs: Mapping[str, Control]
) -> Callable[..., Iterator[Any]]:
    """Return ``generate`` as a function with one named, documented parameter per control.

    Gradio documents an endpoint by its function's signature and docstring. Thirty parameters
    written out by hand would have to be kept in step with the controls; these are made from them.
    """
    names: Sequence[str] = list(inputs)

    def endpoint(*values: Any) -> Iterator[Any]:
        *given, request = values
        yield from generate(dict(zip(names, given, strict=True)), request)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, annotation=Any) for name in names]
    parameters.append(inspect.Parameter("request", kind, annotation=gr.Request))
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {**dict.fromkeys(names, Any), "request": gr.Request}
    about = "\n".join(f"    {name}: {control.about}" for name, control in inputs.items())
    endpoint.__doc__ = f"{inspect.getdoc(generate)}\n\nParameters:\n{about}"
    return endpoint
