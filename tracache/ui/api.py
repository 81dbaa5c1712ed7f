"""What programs and agents may call; their documentation is the functions' own."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import gradio as gr

from tracache.caching.declare import ANYONE
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import REFERENCE, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.estimate import estimate
from tracache.compare.request import SETTINGS, Request, make_request
from tracache.compare.serialise import given_of, to_query
from tracache.models.loading import ModelUnavailableError
from tracache.models.registry import DEFAULT_MODEL, find_model
from tracache.models.sources import labels_of
from tracache.settings import Settings
from tracache.ui.arms import MAX_ARMS
from tracache.ui.handlers import Handlers
from tracache.ui.numbers import whole
from tracache.ui.offer import offered, require_offered
from tracache.ui.toast import fail, tell
from tracache.ui.widgets.options import NOT_HERE
from tracache.ui.widgets.viewer import file_url


class Api:
    """The endpoints, each a plain function of plain values."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self._handlers = handlers
        self._settings = settings

    def compare(self, **given: Any) -> dict:
        """Answer for the endpoint whose parameters :func:`_parameters` has."""
        try:
            request = self._read(given)
        except (ValueError, TypeError, ModelUnavailableError) as error:
            raise tell(error) from error
        job = self._handlers.jobs.start(request, "", self._handlers.make)
        for now in job.follow():
            if now.state in ("failed", "stopped"):
                raise fail(now.error or now.progress.message)
        assert now.report is not None
        assert now.archive is not None
        return {
            "run": job.id,
            "link": f"?{to_query(given_of(request))}&run={job.id}",
            "files": {arm: f"/{file_url(file)}" for arm, file in now.files.items()},
            "archive": f"/{file_url(now.archive)}",
            "report": now.report.to_dict(),
        }

    def estimate(self, **given: Any) -> dict:
        """Answer for the endpoint that says what :meth:`compare` would cost; same parameters."""
        try:
            request = self._read(given)
            expected = estimate(request, self._settings)
        except (ValueError, TypeError, OSError, ModelUnavailableError) as error:
            raise tell(error) from error
        return {
            "link": f"?{to_query(given_of(request))}",
            "arms": [arm.to_dict() for arm in expected.arms],
            "note": expected.note,
        }

    def _read(self, given: dict[str, Any]) -> Request:
        """Return the request that a program asks for."""
        model, arms, settings = given["model"], given["arms"], given["settings"]
        arms = [TRACACHE] if arms is None else arms
        if not isinstance(arms, list) or len(arms) >= MAX_ARMS:
            raise ValueError(f"arms must be a list of at most {MAX_ARMS - 1}")
        for arm in arms:
            if arm in NOT_HERE:
                raise ValueError(f"the arm {arm} is not for programs from afar")
        for name in ("settings", "options"):
            if given[name] is not None and not isinstance(given[name], dict):
                raise ValueError(f"{name} must be a mapping of names to values")
        require_offered(model, self._settings)
        self._handlers.backend.require_available(model)
        return make_request(
            model,
            **_subject(model, given["prompt"], given["class_label"]),
            arms=arms,
            options=given["options"],
            environment=self._settings,
            who=ANYONE,
            **{name: whole(given[name]) for name in NAMED},
            **_not_given_above(settings or {}),
        )

    def list_models(self) -> list:
        """List every model: what it takes and makes, its defaults, whether it can run here."""
        return [
            {
                "model": spec.id,
                "title": spec.title,
                "task": spec.task,
                "about": spec.summary,
                "steps": spec.steps,
                "guidance_scale": spec.guidance_scale,
                "schedulers": list(spec.schedulers),
                "compute": PlannedConfig().budget(spec.steps),
                "stride": spec.cache.stride,
                "max_order": spec.cache.max_order,
                "presets": list(spec.presets),
                "examples": list(spec.example_prompts) or self._classes(spec.id),
                "unavailable": self._handlers.backend.why_unavailable(spec.id),
            }
            for spec in offered(self._settings)
        ]

    def list_arms(self) -> list:
        """List every arm that can be compared with full compute, and its own settings."""
        return [
            {
                "arm": arm.id,
                "title": arm.title,
                "about": arm.summary,
                "caveat": arm.caveat,
                "triple": "" if arm.triple is None else str(arm.triple),
                "options": {
                    name: {
                        "default": option.default,
                        "low": option.low,
                        "high": option.high,
                        "allowed": option.allowed,
                        "about": option.help or option.label,
                    }
                    for name, option in arm.offered.items()
                },
            }
            for arm in ARMS.values()
            if arm.id != REFERENCE and arm.id not in NOT_HERE
        ]

    def _classes(self, model_id: str) -> list[str]:
        labels = labels_of(find_model(model_id), self._settings)
        return [name for name, _ in labels.choices()[:10]] if labels is not None else []


#: Settings with a parameter of their own; those of the published method are in ``settings``.
NAMED = (
    *("seed", "stride", "max_order", "steps", "guidance_scale"),
    *("scheduler", "preset", "frames", "resolution", "aspect", "compute"),
    "negative_prompt",
)

#: Those that ``settings`` may hold.
MORE = {name: s for name, s in SETTINGS.items() if s.who == ANYONE and name not in NAMED}

ABOUT = """Make the same image or video by full compute and by accelerated arms, and compare them.

Returns the figures of every arm: steps computed, MACs, PSNR, SSIM, times, and speed_up where all
arms were timed together (null otherwise), with the quartiles of its rounds (speed_up_low,
speed_up_high), whether they are wide (speed_up_rough) and why it cannot be believed where MACs
allow less (speed_up_doubt). Returns the order
chosen at every block and timestep, and addresses of the pictures, kept for an hour.

Parameters:
"""


COST = """Say what a comparison would compute, and at which steps, before any of it runs.

Returns for each arm its steps, which of them compute (plan, counted from 0), the
multiply-accumulates and their share of full compute's. Takes the same as compare.

Parameters:
"""


def _parameters() -> list[tuple[Parameter, str]]:
    """Return what the endpoint takes, each with its description, as declared."""

    def declared(name: str) -> tuple[Parameter, str]:
        s = SETTINGS[name]
        kind: Any = float if s.kind in ("whole", "number") else str
        default = {"seed": 0}.get(name, s.default if kind is str else None)
        about = f"{s.help} {s.allowed}." if kind is float and s.kind == "whole" else s.help
        return _parameter(name, kind if default is not None else kind | None, default), about

    more = "; ".join(f"{name} ({s.allowed}): {s.help or s.label}" for name, s in MORE.items())
    first, second = NAMED[:3], NAMED[3:]
    return [
        (
            _parameter("model", str, DEFAULT_MODEL),
            "Name of the model; list_models says which there are.",
        ),
        (
            _parameter("prompt", str, ""),
            "What the picture should show; for models that take a prompt.",
        ),
        (
            _parameter("class_label", str, ""),
            "Name or number of the class; for models that take a class.",
        ),
        *map(declared, first),
        (
            _parameter("arms", list[str] | None, None),
            "Accelerated arms, three at most, tracache alone if left out; published is the method "
            "as published; list_arms has all.",
        ),
        *map(declared, second),
        (
            _parameter("settings", dict | None, None),
            f'More settings by name, such as {{"last_step": true}}. {more}',
        ),
        (
            _parameter("options", dict | None, None),
            'Settings that arms have of their own, such as {"toca": {"ratio": 0.5}}.',
        ),
    ]


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _endpoint(answer: Callable[..., dict], about: str = ABOUT) -> Callable[..., dict]:
    """Return a function with the signature and documentation from which Gradio makes its own."""
    parameters = _parameters()

    def compare(*values: Any, **named: Any) -> dict:
        bound = signature.bind(*values, **named)
        bound.apply_defaults()
        return answer(**bound.arguments)

    signature = Signature([parameter for parameter, _ in parameters], return_annotation=dict)
    hints = {parameter.name: parameter.annotation for parameter, _ in parameters}
    compare.__name__ = answer.__name__
    compare.__signature__ = signature  # type: ignore[attr-defined]
    compare.__annotations__ = {**hints, "return": dict}
    compare.__doc__ = about + "\n".join(f"    {p.name}: {text}" for p, text in parameters)
    return compare


def add_api(handlers: Handlers, settings: Settings, **one_at_a_time: Any) -> None:
    """Add the endpoints to the page that is being built."""
    api = Api(handlers, settings)
    gr.api(_endpoint(api.compare), api_name="compare", **one_at_a_time)
    gr.api(_endpoint(api.estimate, COST), api_name="estimate", **one_at_a_time)
    gr.api(api.list_models, api_name="list_models")
    gr.api(api.list_arms, api_name="list_arms")


def _subject(model: str, prompt: str, class_label: str) -> dict[str, Any]:
    """The prompt or the class, whichever was given; if none, what the model takes, empty."""
    if class_label:
        text = str(class_label)
        return {"class_label": int(text) if text.isdecimal() else text}
    if prompt:
        return {"prompt": prompt}
    return {"class_label": None} if find_model(model).task == "class-to-image" else {"prompt": ""}


def _not_given_above(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the cache alone: not what has a parameter, nor what is not for everybody."""
    for name in settings:
        if name not in MORE:
            raise ValueError(f"settings has {name!r}; there are {', '.join(sorted(MORE))}")
    return {name: whole(value) for name, value in settings.items()}
