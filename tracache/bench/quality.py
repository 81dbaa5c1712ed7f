"""How near each arm stays to full compute, over many prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from tracache.config import TraCacheConfig
from tracache.measure.quality import image_quality, relative_error
from tracache.methods import METHODS, Plan
from tracache.models.loading import LoadedModel
from tracache.run import Inputs, prepare, sample


@dataclass(frozen=True)
class QualityRow:
    """One arm at one number of steps and one stride; means over the prompts.

    Attributes
    ----------
    arm : str
        Name of the arm.
    steps, stride, max_order : int
        What was asked for.
    full_steps : int
        Steps that ran the blocks.
    psnr, ssim : float
        To full compute at the same number of steps, dB and 0 … 1.
    latent_error : float
        ‖latents − reference‖ / ‖reference‖ of the final latents.
    """

    arm: str
    steps: int
    stride: int
    max_order: int
    full_steps: int
    psnr: float
    ssim: float
    latent_error: float

    def to_dict(self) -> dict[str, float | int | str]:
        """Return the row, ready for JSON."""
        return asdict(self)


def measure_quality(
    model: LoadedModel,
    prompts: Sequence[str],
    *,
    steps: Sequence[int],
    configs: Sequence[TraCacheConfig],
    arms: Sequence[str],
    scheduler: str,
    guidance_scale: float,
    batch: int = 1,
    progress: Callable[[int], None] = lambda runs: None,
) -> Iterator[QualityRow]:
    """Compare arms with full compute from the same noise, prompt by prompt.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    prompts : sequence of str
        The seed of the i-th is i.
    steps, configs, arms
        Every combination is a row.
    scheduler, guidance_scale
        As for a request.
    batch : int, default 1
        Prompts per run. An order is chosen over the whole batch, so 1 is what a visitor gets.
    progress : callable, optional
        Called with the number of prompts that another plan has finished.
    """
    batches = [
        prepare(
            model,
            prompts[start : start + batch],
            range(start, min(start + batch, len(prompts))),
            guidance_scale,
            scheduler,
        )
        for start in range(0, len(prompts), batch)
    ]
    for num_steps in steps:
        references = []
        for inputs in batches:
            references.append(_generate(model, inputs, Plan(num_steps)))
            progress(len(references[-1]))
        measured: dict[Plan, tuple[float, float, float]] = {}
        for config in configs:
            for arm in arms:
                plan = METHODS[arm].plan(num_steps, config)
                # Some settings differ only in what this arm does not use.
                if plan not in measured:
                    measured[plan] = _compare(model, batches, references, plan, progress)
                psnr, ssim, error = measured[plan]
                yield QualityRow(
                    arm,
                    num_steps,
                    config.stride,
                    config.max_order,
                    len(plan.full_steps),
                    psnr,
                    ssim,
                    error,
                )


def count_runs(
    num_prompts: int, steps: Sequence[int], configs: Sequence[TraCacheConfig], arms: Sequence[str]
) -> int:
    """How often :func:`measure_quality` will report progress, in prompts."""
    plans = {(n, METHODS[arm].plan(n, config)) for n in steps for config in configs for arm in arms}
    return num_prompts * (len(steps) + len(plans))


def _generate(model: LoadedModel, inputs: Inputs, plan: Plan) -> list[tuple]:
    """Return (latents, image) of every item."""
    latents = sample(model, inputs, plan).latents
    return list(zip(latents, model.spec.family.decode(model.pipe, latents), strict=True))


def _compare(
    model: LoadedModel,
    batches: Sequence[Inputs],
    references: Sequence[list[tuple]],
    plan: Plan,
    progress: Callable[[int], None],
) -> tuple[float, float, float]:
    """Mean PSNR, SSIM and relative latent error of a plan."""
    figures = []
    for inputs, reference in zip(batches, references, strict=True):
        for (latents, image), (true_latents, true_image) in zip(
            _generate(model, inputs, plan), reference, strict=True
        ):
            quality = image_quality(image, true_image)
            error = relative_error(latents, true_latents)
            figures.append((quality.psnr, quality.ssim, error))
        progress(len(reference))
    psnr, ssim, error = (fmean(column) for column in zip(*figures, strict=True))
    return psnr, ssim, error
