"""What runs once before any arm, untimed: it warms up, and what it shows is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import denoisers_of
from tracache.compare.all_blocks import Features, measure_features
from tracache.compare.arm import OWN, Setup
from tracache.compare.arms import ARMS
from tracache.compare.counting import StepMacs, is_declared
from tracache.compare.kept import KeptByModel
from tracache.compare.preview import Palette
from tracache.compare.sampling import Inputs, Sample, decode, sample
from tracache.metrics.macs import count_macs
from tracache.metrics.memory import MemoryPeak, peak_memory
from tracache.models.loading import LoadedModel


@dataclass(frozen=True)
class Warm:
    """What a warm-up showed.

    Attributes
    ----------
    macs : StepMacs
        Of a computed and of a skipped step.
    blocks : float
        That a step which computes everything calls.
    palette : Palette
        How latents become colours.
    features : Features
        How large what a cache keeps of each block is.
    peak : MemoryPeak
        Of its memory.
    """

    macs: StepMacs
    blocks: float
    palette: Palette
    features: Features
    peak: MemoryPeak


#: By what inputs look like, and what was tried on them.
WARM: KeptByModel[Warm] = KeptByModel(most=8)


def warm_up(
    model: LoadedModel, inputs: Inputs, arms: Sequence[str], check: Callable[[], None]
) -> Warm:
    """Run every kind of work once, untimed, and count its multiply–accumulates.

    What it decodes to, poor as it is, shows how latents become colours. Once a model is warm for
    inputs of the same shapes, what was found then is returned at once.

    Parameters
    ----------
    model, inputs
        What runs, from where.
    arms : sequence of str
        What will run.
    check : callable
        Called after each step; what it raises ends the work.
    """
    # Where blocks are not known by name, all that is skipped is the denoiser.
    named = is_declared(model.pipe)
    probes: dict[bool, MethodConfig] = {}
    # An arm of one's own is either.
    if named or any(ARMS[arm].forecasts or arm == OWN for arm in arms):
        probes[False] = TraCacheConfig(full_steps=(0,), max_order=0)
    if not named or any(ARMS[arm].plans for arm in arms):
        probes[True] = PlannedConfig(compute=1)
    kept, key = WARM.of(model), (*inputs.looks, *probes)
    warm = kept.get(key)
    if warm is None:
        warm = _warm_up(model, inputs, probes, check)
        kept.put(key, warm)
    return warm


def _warm_up(
    model: LoadedModel,
    inputs: Inputs,
    probes: Mapping[bool, MethodConfig],
    check: Callable[[], None],
) -> Warm:
    pipe = model.pipe

    def run(setup: Setup) -> tuple[int, int, Sample]:
        with count_macs() as macs:
            done = sample(model, inputs, setup, on_step=lambda *_: check())
        return macs.total, macs.linear, done

    skipped: dict[bool, tuple[int, int]] = {}
    with (
        measure_features(denoisers_of(pipe).values()) as features,
        peak_memory(model.device) as peak,
    ):
        # One computed step; then one computed and one skipped.
        total, linear, done = run(Setup(1))
        blocks = done.block_calls
        for at_scheduler, probe in probes.items():
            both, both_linear, done = run(Setup(2, probe))
            before = total, linear
            if not at_scheduler:
                # The first computed step also proves what is read, so one step more tells.
                before = both, both_linear
                both, both_linear, done = run(Setup(3, probe))
            skipped[at_scheduler] = (both - before[0], both_linear - before[1])
    images = decode(model, inputs, done.latents)
    palette = Palette.fit(done.latents, images[0], latent_channels(pipe))
    return Warm(StepMacs((total, linear), skipped), blocks, palette, features, peak)


def latent_channels(pipe: Any) -> int | None:
    """How many channels a pipeline's latents have, as its autoencoder says."""
    config = pipe.vae.config
    return config.get("latent_channels") or config.get("z_dim")
