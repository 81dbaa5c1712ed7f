"""What programs and agents may call; their documentation is the functions' own."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tracache.compare.arms import ARMS, REFERENCE
from tracache.compare.request import make_request
from tracache.compare.serialise import recipe_of, to_query
from tracache.models.loading import ModelUnavailableError
from tracache.models.registry import DEFAULT_MODEL, find_model
from tracache.models.sources import labels_of
from tracache.settings import Settings
from tracache.ui.controls import MAX_ARMS, NOT_HERE
from tracache.ui.handlers import Handlers
from tracache.ui.numbers import whole
from tracache.ui.offer import offered, require_offered
from tracache.ui.toast import fail, tell
from tracache.ui.widgets.viewer import file_url


class Api:
    """The endpoints, each a plain function of plain values."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self._handlers = handlers
        self._settings = settings

    def compare(
        self,
        model: str = DEFAULT_MODEL,
        prompt: str = "",
        class_label: str = "",
        seed: float = 0,
        stride: float | None = None,
        max_order: float | None = None,
        arms: list[str] | None = None,
        steps: float | None = None,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        preset: str = "custom",
        frames: float | None = None,
        resolution: str | None = None,
        aspect: str | None = None,
        settings: dict | None = None,
        options: dict | None = None,
    ) -> dict:
        """Make the same image or video by full compute and by accelerated arms, and compare them.

        Returns the figures of every arm (times, speed-up, PSNR, SSIM, steps computed), the order
        chosen at every block and timestep, and addresses of the pictures, kept for an hour.

        Parameters:
            model: Name of the model; list_models says which there are.
            prompt: What the picture should show; for models that take a prompt.
            class_label: Name or number of the class; for models that take a class.
            seed: Of the initial noise, a whole number from 0.
            stride: Every so many denoising steps one computes fully; the default if left out.
            max_order: Highest order of the extrapolation, 0 to 5; the default if left out.
            arms: Accelerated arms, three at most, tracache alone if left out; list_arms has all.
            steps: Denoising steps of full compute; the model's default if left out.
            guidance_scale: Strength of the prompt, 1 is none; the model's default if left out.
            scheduler: One of the model's schedulers; its first if left out.
            preset: Settings chosen beforehand, by name; they take the place of stride and steps.
            frames: Of a video, where the model makes more than one length.
            resolution: Of a video, such as 480p, where the model makes more than one.
            aspect: Height to width of a video, such as 9:16, likewise.
            settings: More settings of the cache by name, such as {"last_step": true}.
            options: Settings that arms have of their own, such as {"toca": {"ratio": 0.5}}.
        """
        chosen = ["tracache"] if arms is None else arms
        try:
            if not isinstance(chosen, list) or len(chosen) >= MAX_ARMS:
                raise ValueError(f"arms must be a list of at most {MAX_ARMS - 1}")
            for arm in chosen:
                if arm in NOT_HERE:
                    raise ValueError(f"the arm {arm} is not for programs from afar")
            for name, value in (("settings", settings), ("options", options)):
                if value is not None and not isinstance(value, dict):
                    raise ValueError(f"{name} must be a mapping of names to values")
            require_offered(model, self._settings)
            self._handlers.backend.require_available(model)
            request = make_request(
                model,
                **_subject(model, prompt, class_label),
                seed=whole(seed),
                stride=whole(stride),
                max_order=whole(max_order),
                arms=chosen,
                steps=whole(steps),
                guidance_scale=guidance_scale,
                scheduler=scheduler,
                preset=preset,
                frames=whole(frames),
                resolution=resolution,
                aspect=aspect,
                options=options,
                environment=self._settings,
                **_not_given_above(settings or {}),
            )
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
            "link": f"?{to_query(recipe_of(request))}&run={job.id}",
            "files": {arm: f"/{file_url(file)}" for arm, file in now.files.items()},
            "archive": f"/{file_url(now.archive)}",
            "report": now.report.to_dict(),
        }

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
                "arm": method.id,
                "title": method.title,
                "about": method.summary,
                "caveat": method.caveat,
                "options": {
                    name: {
                        "default": field.default,
                        "low": field.metadata["low"],
                        "high": field.metadata["high"],
                        "about": field.metadata["label"],
                    }
                    for name, field in method.options.items()
                },
            }
            for method in ARMS.values()
            if method.id != REFERENCE and method.id not in NOT_HERE
        ]

    def _classes(self, model_id: str) -> list[str]:
        labels = labels_of(find_model(model_id), self._settings)
        return [name for name, _ in labels.choices()[:10]] if labels is not None else []


def add_api(handlers: Handlers, settings: Settings, **one_at_a_time: Any) -> None:
    """Add the endpoints to the page that is being built."""
    api = Api(handlers, settings)
    gr.api(api.compare, api_name="compare", **one_at_a_time)
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
    """Settings of the cache alone: not what has a parameter, nor what opens files."""
    known = set(find_model(DEFAULT_MODEL).cache.to_dict()) - {"stride", "max_order"}
    for name in settings:
        if name not in known:
            raise ValueError(f"settings has {name!r}; there are {', '.join(sorted(known))}")
    return {name: whole(value) for name, value in settings.items()}
