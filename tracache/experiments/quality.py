"""How near each arm stays to full compute, and its images to renders, over many prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from PIL.Image import Image
from torch import Tensor

from tracache.compare.arms import Setup
from tracache.compare.request import Request
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.metrics.fidelity import image_quality, relative_error
from tracache.metrics.macs import count_macs
from tracache.models.loading import LoadedModel

#: Distance of a set of images to some other set.
Distance = Callable[[Sequence[Image]], float]


@dataclass(frozen=True)
class QualityRow:
    """One arm at one number of steps and one setting; means over the prompts.

    Attributes
    ----------
    arm : str
        Name of the arm.
    steps : int
        Denoising steps of full compute.
    stride : int or str
        What was asked for.
    max_order : int
        What was asked for.
    preset : str
        Name of the settings, or "custom".
    full_steps : float
        Steps that computed everything.
    block_calls : float
        Blocks computed per step of full compute and block, 0 … 1: the share of full compute.
    macs : float
        Multiply–accumulates, as a share of full compute's.
    psnr, ssim : float
        To full compute at the same number of steps, dB and 0 … 1.
    latent_error : float
        ‖latents − reference‖ / ‖reference‖ of the final latents.
    distance : float or None
        Fréchet distance of the images to renders; None where nothing measures it.
    """

    arm: str
    steps: int
    stride: int | str
    max_order: int
    preset: str
    full_steps: float
    block_calls: float
    macs: float
    psnr: float
    ssim: float
    latent_error: float
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON; the reference's infinite PSNR becomes "inf"."""
        return {k: "inf" if v == math.inf else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class _Made:
    """What one setup made of all prompts."""

    latents: list[Tensor]
    images: list[Image]
    full_steps: list[int]
    block_calls: float
    macs: int


def measure_quality(
    model: LoadedModel,
    prompts: Sequence[str | int],
    requests: Sequence[Request],
    *,
    batch: int = 1,
    distance: Distance | None = None,
    progress: Callable[[int], None] = lambda runs: None,
) -> Iterator[QualityRow]:
    """Compare arms with full compute from the same noise, prompt by prompt.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    prompts : sequence of str
        In place of the requests' own; the seed of the i-th is i.
    requests : sequence of Request
        Every arm of each is a row, full compute once per number of steps. Scheduler and guidance
        scale are those of the first.
    batch : int, default 1
        Prompts per run. An order may be chosen over the whole batch; 1 is what a visitor gets.
    distance : callable, optional
        Measures the images as a set.
    progress : callable, optional
        Called with the number of prompts that another setup has finished.
    """
    batches = [
        prepare(
            model,
            prompts[start : start + batch],
            range(start, min(start + batch, len(prompts))),
            requests[0].guidance_scale,
            requests[0].scheduler,
        )
        for start in range(0, len(prompts), batch)
    ]
    for num_steps in dict.fromkeys(request.steps for request in requests):
        reference = _make(model, batches, Setup(num_steps), progress)
        measured: dict[Setup, _Made] = {Setup(num_steps): reference}
        full_said = False
        for request in (r for r in requests if r.steps == num_steps):
            computed: int | None = None
            for arm in request.arms:
                if arm == "full" and full_said:
                    continue
                full_said = True
                setup = request.set_up(arm, computed)
                # Some settings differ only in what this arm does not use.
                if setup not in measured:
                    measured[setup] = _make(model, batches, setup, progress)
                made = measured[setup]
                if arm == request.matched:
                    share = made.block_calls / reference.block_calls
                    computed = max(1, round(share * num_steps))
                yield _row(arm, request, made, reference, distance)


def count_runs(num_prompts: int, requests: Sequence[Request]) -> int:
    """How often :func:`measure_quality` will report progress, in prompts."""
    steps = {request.steps for request in requests}
    setups = {(r.steps, r.set_up(arm, _expected(r))) for r in requests for arm in r.arms}
    return num_prompts * len(setups | {(n, Setup(n)) for n in steps})


def _expected(request: Request) -> int:
    """How many steps the arm to be matched will probably compute."""
    return len(request.cache.plan_steps(request.steps) or (0,))


def _make(
    model: LoadedModel, batches: Sequence[Inputs], setup: Setup, progress: Callable[[int], None]
) -> _Made:
    latents: list[Tensor] = []
    images: list[Image] = []
    full_steps: list[int] = []
    calls = 0.0
    with count_macs() as macs:
        sample(model, batches[0], setup)
    for inputs in batches:
        done = sample(model, inputs, setup)
        latents += done.latents
        images += model.spec.family.decode(model.pipe, done.latents, inputs.size)
        full_steps += [len(done.computed_steps)] * len(inputs.seeds)
        calls += done.block_calls
        progress(len(inputs.seeds))
    return _Made(latents, images, full_steps, calls / len(batches), macs.total)


def _row(
    arm: str, request: Request, made: _Made, reference: _Made, distance: Distance | None
) -> QualityRow:
    quality = [image_quality(a, b) for a, b in zip(made.images, reference.images, strict=True)]
    errors = [relative_error(a, b) for a, b in zip(made.latents, reference.latents, strict=True)]
    return QualityRow(
        arm=arm,
        steps=request.steps,
        stride=request.cache.stride,
        max_order=request.cache.max_order,
        preset=request.preset,
        full_steps=fmean(made.full_steps),
        block_calls=made.block_calls / reference.block_calls,
        macs=made.macs / reference.macs,
        psnr=fmean(q.psnr for q in quality),
        ssim=fmean(q.ssim for q in quality),
        latent_error=fmean(errors),
        distance=distance(made.images) if distance is not None else None,
    )
