"""The checks that a request passes before any work: whatever is not allowed says what is."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tracache.caching.calibration import Occasion
from tracache.caching.checks import require_choice, require_integer, require_number
from tracache.compare.arm import PUBLISHED, REFERENCE, TRACACHE
from tracache.compare.arms import ARMS, find_arm
from tracache.media import VideoSize, pixels_of
from tracache.models.sources import labels_of, missing
from tracache.models.spec import ModelSpec
from tracache.settings import Settings

MAX_SEED = 2**32 - 1


def check_sampling(spec: ModelSpec, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return seed, steps, guidance and scheduler, within what the model allows."""
    seed, steps, guidance, scheduler = (
        about[name] for name in ("seed", "steps", "guidance_scale", "scheduler")
    )
    seed = random.randint(0, MAX_SEED) if seed is None else seed
    guidance = spec.guidance_scale if guidance is None else guidance
    return {
        "seed": require_integer("seed", seed, 0, MAX_SEED),
        "steps": require_integer("steps", steps, 1, spec.max_steps)
        if steps is not None
        else spec.steps,
        "guidance_scale": require_number("guidance_scale", guidance, 0.0, spec.max_guidance_scale),
        "scheduler": spec.schedulers[0]
        if scheduler is None
        else require_choice("scheduler", scheduler, spec.schedulers),
    }


def check_size(
    spec: ModelSpec, frames: int | None, resolution: str | None, aspect: str | None
) -> int | VideoSize:
    """Return what the picture will measure."""
    if frames is resolution is aspect is None:
        return spec.size
    sizes, own = spec.sizes, spec.size
    if sizes is None or not isinstance(own, VideoSize):
        raise ValueError(
            f"{spec.title} makes one size only: leave out frames, resolution and aspect"
        )
    height, width = own.height, own.width
    if resolution is not None or aspect is not None:
        named = sizes.name_or_default(own)
        height, width = sizes.size_of(resolution or named[0], aspect or named[1])
    frames = own.frames if frames is None else frames
    frames = require_integer("frames", frames, 1, sizes.max_frames)
    return VideoSize(height, width, frames, own.fps)


def check_cost(
    spec: ModelSpec, size: int | VideoSize, steps: int, environment: Settings | None
) -> None:
    """Refuse what would take longer than a model's requests may where they run."""
    share = 1.0 if environment is None else environment.ceiling
    most, cost = int(share * spec.max_cost), pixels_of(size) * steps
    if cost <= most:
        return
    allowed = most // pixels_of(size)
    fewer = f"take {allowed} steps or fewer" if allowed else "take fewer steps"
    others = ", or fewer frames or a lower resolution" if spec.resizable else ""
    frames = f"{size.frames} frames of " if isinstance(size, VideoSize) else ""
    width, height = (size.width, size.height) if isinstance(size, VideoSize) else (size, size)
    raise ValueError(
        f"{frames}{width} × {height} pixels in {steps} steps are "
        f"{cost / most:.2f} times what {spec.title} may take "
        f"({cost / 1e6:,.0f} of {most / 1e6:,.0f} million pixels × frames × "
        f"steps): {fewer}{others}",
    )


def check_calibrated(
    arm: str, options: Mapping[str, Mapping[str, Any]], run: Callable[[], Occasion]
) -> None:
    """Refuse what an arm's options read that was calibrated for other runs than ``run()``."""
    settings = ARMS[arm].settings
    calibration = None if settings is None else settings(**options.get(arm, {})).calibration
    if calibration is not None:
        try:
            calibration.check(run())
        except ValueError as error:
            raise ValueError(f"{ARMS[arm].title}: {error}") from None


def check_subject(
    spec: ModelSpec, prompt: Any, class_label: Any, environment: Settings | None
) -> tuple[str, int | None]:
    """Return the prompt and no class, or the class's name and number."""
    if spec.task != "class-to-image":
        if class_label is not None:
            raise ValueError(f"{spec.title} takes a prompt, not a class: leave out class_label")
        return _check_prompt(prompt, spec.max_prompt_length), None
    if prompt is not None:
        raise ValueError(f"{spec.title} takes a class, not a prompt: give class_label")
    environment = environment or Settings.from_environment()
    labels = labels_of(spec, environment)
    if labels is None:
        why = missing(spec, environment)
        raise ValueError(why or f"the classes of {spec.title} are not known: its files name none")
    if class_label is None:
        raise ValueError("class_label is empty: choose a class")
    number = labels.find(class_label)
    return labels.names[number], number


def _check_prompt(prompt: Any, longest: int, what: str = "prompt") -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"the {what} is empty: describe what the image should show")
    prompt = " ".join(prompt.split())
    if len(prompt) > longest:
        raise ValueError(
            f"the {what} has {len(prompt):,} characters; shorten it to {longest} or fewer"
        )
    if not prompt.isprintable():
        raise ValueError(f"the {what} has unprintable characters; remove them")
    return prompt


def check_negative(spec: ModelSpec, negative: Any, guidance_scale: float) -> str:
    """Return the negative prompt; empty where there is none."""
    if negative is None or (isinstance(negative, str) and not negative.strip()):
        return ""
    if not spec.takes_negative:
        raise ValueError(f"{spec.title} takes no negative prompt: leave out negative_prompt")
    if guidance_scale <= 1.0:
        raise ValueError(
            "a negative prompt is what guidance leads away from, and there is none: set "
            "guidance_scale above 1, or leave out negative_prompt"
        )
    return _check_prompt(negative, spec.max_prompt_length, "negative prompt")


def check_arms(arms: Any, spec: ModelSpec, decides: bool) -> tuple[str, ...]:
    """Return the arms in the order they run; ``decides``: whether a run says what it computes."""
    if isinstance(arms, str) or not all(isinstance(arm, str) for arm in arms):
        raise ValueError(f"arms must be a list of names from {', '.join(ARMS)}")
    chosen = dict.fromkeys(find_arm(arm).id for arm in arms if arm != REFERENCE)
    for arm in chosen:
        if why := ARMS[arm].refusal(spec):
            raise ValueError(f"{ARMS[arm].title} is not for this model: {why}")

    def place(arm: str) -> tuple[bool, ...]:
        # Whatever takes as many steps as another arm costs must know how many that were.
        waits = decides and ARMS[arm].plans
        return ARMS[arm].matches, waits, arm != TRACACHE, arm != PUBLISHED

    return (REFERENCE, *sorted(chosen, key=place))
