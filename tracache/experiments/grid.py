"""Settings times prompts: every image made once, compared with full compute, kept and recorded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from tracache.compare.arm import REFERENCE, Setup
from tracache.compare.report import versions
from tracache.compare.request import Request
from tracache.compare.sampling import Inputs, Sample, decode, prepare, sample
from tracache.experiments.records import AnyRecords
from tracache.experiments.vbench import clip_title
from tracache.experiments.workers import Worker, batches
from tracache.media import Picture, strip
from tracache.metrics.fidelity import image_quality, relative_error
from tracache.metrics.macs import count_macs
from tracache.models.loading import LoadedModel

#: In place of infinity, which JSON does not know: the PSNR of two images that are the same.
SAME = "inf"


@dataclass(frozen=True)
class Setting:
    """One way to make an image.

    Attributes
    ----------
    name : str
        Unique among the settings, fit for a folder.
    arm : str
        What runs.
    steps : int
        Of the full compute that it is compared with.
    stride : int or str
        That it was asked to keep; or how many steps to compute, in words.
    max_order : int
        Likewise.
    label : str
        What else is special about it; may be empty.
    setup : Setup
        What that comes to.
    """

    name: str
    arm: str
    steps: int
    stride: int | str
    max_order: int
    label: str
    setup: Setup

    @property
    def key(self) -> Hashable:
        """What two settings share that make the same image; reuse, say, knows no order."""
        cache = self.setup.cache
        plain = self.setup if cache is None else replace(self.setup, cache=cache.plain())
        return self.steps, plain


#: A request, and what is special about it beside its steps, stride and order.
Variant = tuple[str, Request]


def spacing_of(request: Request) -> int | str:
    """Return the stride that a request asks for, or how many computed steps, in words."""
    cache = request.cache
    budget = cache.compute if cache.full_steps is None else None
    return cache.stride if budget is None else f"{budget} computed"


def spacing_words(spacing: int | str) -> str:
    """Return what :func:`spacing_of` says for people."""
    return f"stride {spacing}" if spacing == "auto" or isinstance(spacing, int) else spacing


def full_setting(steps: int) -> Setting:
    """Return full compute at a number of steps."""
    return Setting(f"full-{steps}", REFERENCE, steps, 1, 0, "", Setup(steps))


def setting_of(variant: Variant, arm: str, computed: int | None) -> Setting:
    """Return an arm of a request; ``computed`` as for :class:`~tracache.compare.arms.Given`."""
    label, request = variant
    if arm == REFERENCE:
        return full_setting(request.steps)
    steps, order, spacing = request.steps, request.cache.max_order, spacing_of(request)
    short = f"c{request.cache.compute}" if str(spacing).endswith("computed") else f"k{spacing}"
    name = f"{arm}-{steps}-{short}-o{order}"
    name += f"-{label.replace(' ', '-')}" if label else ""
    setup = request.set_up(arm, computed)
    return Setting(name, arm, steps, spacing, order, label, setup)


def settings_of(variants: Sequence[Variant]) -> list[Setting]:
    """Return full compute, and then every arm of every request; what comes to the same once.

    An arm that matches another's cost takes as many steps as the request says.
    """
    return distinct(
        setting_of((label, request), arm, request.cache.budget(request.steps) or 1)
        for label, request in variants
        for arm in (REFERENCE, *request.arms)
    )


def distinct(settings: Iterable[Setting]) -> list[Setting]:
    """Return the settings, of those that come to the same only the first."""
    found: dict[Hashable, Setting] = {}
    for setting in settings:
        found.setdefault(setting.key, setting)
    return list(found.values())


def count_images(num_prompts: int, settings: Sequence[Setting], worker: Worker, batch: int) -> int:
    """How many images a worker's share comes to."""
    return sum(map(len, worker.share(batches(num_prompts, batch)))) * len(settings)


def run_grid(
    model: LoadedModel,
    subjects: Sequence[str | int],
    settings: Sequence[Setting],
    records: AnyRecords,
    worker: Worker,
    *,
    scheduler: str,
    guidance_scale: float,
    batch: int = 1,
    progress: Callable[[int], None] = lambda images: None,
) -> None:
    """Make what is not recorded yet of a worker's share.

    The noise of a prompt follows from its index, and prompts are batched before they are shared
    out, so images do not depend on how many workers there are.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    subjects : sequence of str or int
        Prompts or classes; the seed of the i-th is i.
    settings : sequence of Setting
        From :func:`settings_of`: each number of steps with its own full compute.
    records : Records or Remembered
        Where figures and pictures go; a video's title is ``<prompt>-<number>``.
    worker : Worker
        Whose share is done.
    scheduler, guidance_scale
        Of every run.
    batch : int, default 1
        Prompts per run. An order may be chosen over a whole batch; 1 is what a visitor gets.
    progress : callable, optional
        Called with the number of images that have been made, or were there.
    """
    done = records.keys()
    macs: dict[str, int] = {}
    for indices in worker.share(batches(len(subjects), batch)):
        missing = [s for s in settings if any((s.name, i) not in done for i in indices)]
        progress(len(indices) * (len(settings) - len(missing)))
        if not missing:
            continue
        inputs = prepare(model, [subjects[i] for i in indices], indices, guidance_scale, scheduler)
        maker = _Maker(model, inputs, records, subjects, indices, macs)
        for setting in missing:
            full = next(s for s in settings if (s.arm, s.steps) == (REFERENCE, setting.steps))
            maker.make(setting, full, [i for i in indices if (setting.name, i) not in done])
            progress(len(indices))


@dataclass
class _Made:
    done: Sample
    images: list[Picture]


class _Maker:
    """Makes the images of one batch; full compute once, if at all."""

    def __init__(
        self,
        model: LoadedModel,
        inputs: Inputs,
        records: AnyRecords,
        subjects: Sequence[str | int],
        indices: Sequence[int],
        macs: dict[str, int],
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._records = records
        self._subjects = subjects
        self._indices = indices
        self._macs = macs
        self._references: dict[str, _Made] = {}

    def make(self, setting: Setting, reference: Setting, wanted: Sequence[int]) -> None:
        """Make one setting's images and record those that are wanted."""
        if reference.name not in self._references:
            self._references[reference.name] = self._sample(reference)
        full = self._references[reference.name]
        made = full if setting == reference else self._sample(setting)
        share = self._count(setting) / self._count(reference)
        for place, index in enumerate(self._indices):
            if index not in wanted:
                continue
            image = made.images[place]
            quality = image_quality(image, full.images[place])
            file = self._records.save(setting.name, index, image, clip_title(self._subjects, index))
            self._records.append(
                {
                    "setting": setting.name,
                    "index": index,
                    "subject": self._subjects[index],
                    "seed": index,
                    "arm": setting.arm,
                    "stride": setting.stride,
                    "max_order": setting.max_order,
                    "label": setting.label,
                    "steps": setting.steps,
                    "full_steps": len(made.done.computed_steps),
                    "block_calls": made.done.block_calls / full.done.block_calls,
                    "macs": share,
                    "psnr": SAME if quality.psnr == float("inf") else quality.psnr,
                    "ssim": quality.ssim,
                    "latent_error": relative_error(
                        made.done.latents[place], full.done.latents[place]
                    ),
                    "denoising_s": made.done.denoising_s / len(self._indices),
                    "image": file,
                    "sha256": sha256(strip(image).tobytes()).hexdigest(),
                    "device": self._model.device_name,
                    "versions": versions(),
                }
            )

    def _sample(self, setting: Setting) -> _Made:
        done = sample(self._model, self._inputs, setting.setup)
        return _Made(done, decode(self._model, self._inputs, done.latents))

    def _count(self, setting: Setting) -> int:
        """Products of a run, counted once a worker."""
        if setting.name not in self._macs:
            with count_macs() as macs:
                sample(self._model, self._inputs, setting.setup)
            self._macs[setting.name] = macs.total
        return self._macs[setting.name]
