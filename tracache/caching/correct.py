"""Looking back: what a scheduler would have done, had it known a gap's denoised estimates.

A scheduler's step is linear in the latents and in the denoised estimates x̂0 of this step and of
the ones it remembers, plus noise that it may draw. A whole run therefore is

    x_i = P_i · x_start + Σ_{j<i} M_ij · x̂0_j  (+ noise)

and so is every tensor that the scheduler remembers. The coefficients are the scheduler's own: it is
run once, on the host, on unit vectors (element 0 of the sample stands for x_start, element 1 + j
for x̂0_j), and what comes out *is* the row of coefficients. Noise drops out: it is what a run on
nought gives with the same draws.

When the far end b of a gap (a, b) is known, estimates x̂0'_m can be interpolated in place of the
x̂0_m that were used. What b would have started from differs by

    Δx_b = Σ_{a<m<b} M_bm · (x̂0'_m − x̂0_m),

one weighted sum; what was added on the way, noise or a callback's changes, stays. Multistep
schedulers remember estimates, or what follows from them, which change by sums of the same kind.

This is the corrector of a predictor–corrector pair (UniPC, Zhao et al. 2023, does it to one step),
for any scheduler, and against the scheduler's own run of every step rather than the ODE.
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tracache.caching.spaces import Level, levels_of, prediction_of

#: What a tensor of a scheduler's memory is called: its attribute, and its place in a list.
Slot = tuple[str, int]


#: What every scheduler's step is handed; some take more, but do not need it.
STEP = ("self", "model_output", "timestep", "sample", "args", "kwargs")

#: Methods that wrappers of a scheduler hide behind their own.
WRAPPED = ("step", "scale_model_input", "set_timesteps")


class CannotCorrectError(ValueError):
    """A scheduler's runs are not linear in its estimates; the message says why."""


@dataclass(frozen=True)
class Coefficients:
    """What a run is made of.

    Attributes
    ----------
    levels : list of Level
        Of each step.
    prediction : str
        What the scheduler takes outputs for.
    start : Tensor [steps + 1], float64, CPU
        P_i: weight of the first latents in those before step i, and in the final ones.
    estimates : Tensor [steps + 1, steps], float64, CPU
        M_ij: weight of step j's denoised estimate in the latents before step i.
    memory : list of dict, one a step and one more
        Slot → [1 + steps], the same for what the scheduler remembers before step i.
    """

    levels: list[Level]
    prediction: str
    start: Tensor
    estimates: Tensor
    memory: list[dict[Slot, Tensor]]


def read_coefficients(scheduler: Any, first: int = 0) -> Coefficients:
    """Read the coefficients of a run off a scheduler.

    Parameters
    ----------
    scheduler
        Of diffusers, after ``set_timesteps`` and before its first step; it is left as it is.
    first : int, default 0
        Index of the run's first step among the timesteps.

    Raises
    ------
    CannotCorrectError
        If its runs are not linear in the estimates, or need more than one output a step.
    """
    name = type(scheduler).__name__
    require_linear(scheduler)
    if len({float(t) for t in scheduler.timesteps}) < len(scheduler.timesteps):
        raise CannotCorrectError(
            f"{name} visits a timestep twice, where a trajectory has one point: choose another"
        )
    levels, prediction = levels_of(scheduler)[first:], prediction_of(scheduler)
    if any(here.log_snr > after.log_snr for here, after in pairwise(levels)):
        raise CannotCorrectError(
            f"{name} does not go from noise to data, where plans and trajectories are known"
        )
    nought, one, large = (
        _run(scheduler, first, levels, prediction, size) for size in (0.0, 1.0, 64.0)
    )
    unit = [_minus(some, none) for some, none in zip(one, nought, strict=True)]
    most = large[-1]["latents", 0] - nought[-1]["latents", 0]
    # Powers of two scale without rounding: what differs was clipped or scaled by its size.
    if not torch.allclose(most / 64.0, unit[-1]["latents", 0], rtol=1e-2, atol=1e-2):
        raise CannotCorrectError(
            f"{name} does not step linearly, so no gap can be integrated again: use correct=False"
        )
    latents = torch.stack([state.pop(("latents", 0)) for state in unit])
    return Coefficients(levels, prediction, latents[:, 0], latents[:, 1:], unit)


#: Coefficients of the schedules used last, newest last.
_KNOWN: OrderedDict[Hashable, Coefficients] = OrderedDict()
_MOST_KNOWN = 16


def coefficients_of(scheduler: Any, first: int = 0) -> Coefficients:
    """Return :func:`read_coefficients`, remembered for schedules that have been read before.

    Reading takes 12 to 75 ms for 20 steps on a CPU; runs of one schedule are read once.
    """
    key = (*_state_of(scheduler), first)
    found = _KNOWN.pop(key, None) or read_coefficients(scheduler, first)
    _KNOWN[key] = found
    while len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.popitem(last=False)
    return found


def _state_of(scheduler: Any) -> Iterator[Hashable]:
    """All that a scheduler's run may depend on: its class, and every plain value that it has."""
    yield type(scheduler).__qualname__, type(scheduler).__module__
    for name, value in sorted(vars(scheduler).items()):
        if name in WRAPPED:
            continue
        if isinstance(value, Tensor):
            # Its own tables are on the host, or small.
            yield name, value.cpu().numpy().tobytes()
        elif hasattr(value, "tobytes"):
            yield name, value.tobytes()
        elif value is None or isinstance(value, str | int | float | list | tuple | dict):
            yield name, repr(value)


def require_linear(scheduler: Any) -> None:
    """Refuse a scheduler that is known not to fit.

    Raises
    ------
    CannotCorrectError
        With a sentence that says why and what to do.
    """
    name, config = type(scheduler).__name__, scheduler.config
    if getattr(scheduler, "order", 1) > 1:
        raise CannotCorrectError(
            f"{name} calls the denoiser twice a step, at latents that it forgets: choose a "
            "multistep scheduler, such as DPM-Solver++"
        )
    if not hasattr(scheduler, "step"):
        raise CannotCorrectError(f"{name} has no steps of the usual kind: choose another scheduler")
    known = inspect.signature(type(scheduler).step).parameters
    needed = [p.name for p in known.values() if p.default is p.empty and p.name not in STEP]
    if needed:
        raise CannotCorrectError(
            f"{name} steps from more than the model's output and the latents: it wants "
            f"{', '.join(needed)} too"
        )
    for option in ("thresholding", "clip_sample"):
        if config.get(option, False):
            raise CannotCorrectError(
                f"{name} with {option}=True does not step linearly: set it to False, as latents "
                "are not confined to [-1, 1]"
            )
    if str(config.get("variance_type") or "").startswith("learned"):
        raise CannotCorrectError(
            f"{name} takes its noise from the model's variances, which a skipped step lacks"
        )


def _run(
    scheduler: Any, first: int, levels: Sequence[Level], prediction: str, size: float
) -> list[dict[Slot, Tensor]]:
    """The latents, under ("latents", 0), and the memory before each step and after the last."""
    ours = on_host(scheduler)
    steps = len(levels)
    # Two axes after the batch's, as latents have at least.
    units = torch.eye(1 + steps, dtype=torch.float64).mul(size).reshape(1 + steps, 1, -1, 1)
    sample = units[0]
    draws = torch.Generator().manual_seed(0)
    states = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for i, timestep in enumerate(ours.timesteps[first:]):
            states.append({("latents", 0): sample} | dict(tensors_of(ours, sample.shape)))
            of_sample, of_estimate = levels[i].convert("sample", prediction)
            output = of_sample * sample + of_estimate * units[1 + i]
            more = {"generator": draws} if takes_generator(ours) else {}
            sample = ours.step(output, timestep, sample, return_dict=False, **more)[0].double()
        states.append({("latents", 0): sample} | dict(tensors_of(ours, sample.shape)))
    return [{slot: t.double().flatten() for slot, t in state.items()} for state in states]


def on_host(scheduler: Any) -> Any:
    """Copy a scheduler, in the state it is in, to the host."""
    # A wrapper put around this one's step would be copied with it.
    hidden = {k: vars(scheduler).pop(k) for k in WRAPPED if k in vars(scheduler)}
    try:
        ours = copy.deepcopy(scheduler)
    finally:
        vars(scheduler).update(hidden)
    for key, value in vars(ours).items():
        if isinstance(value, Tensor):
            setattr(ours, key, value.cpu())
    # Or schedulers in the scale of Karras et al. warn that nobody scaled the input.
    ours.is_scale_input_called = True
    return ours


def takes_generator(scheduler: Any) -> bool:
    """Whether a scheduler's step can be told where to draw noise from."""
    return "generator" in type(scheduler).step.__code__.co_varnames


def tensors_of(scheduler: Any, shape: torch.Size) -> Iterator[tuple[Slot, Tensor]]:
    """What a scheduler remembers of a run: its tensors of the latents' shape."""
    for name, value in vars(scheduler).items():
        for place, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, Tensor) and item.shape == shape:
                yield (name, place), item


def get_tensor(scheduler: Any, slot: Slot) -> Tensor | None:
    """What a scheduler remembers in a slot, if it is a tensor."""
    name, place = slot
    value = getattr(scheduler, name, None)
    if isinstance(value, list):
        value = value[place] if place < len(value) else None
    return value if isinstance(value, Tensor) else None


def put_tensor(scheduler: Any, slot: Slot, tensor: Tensor) -> None:
    """Replace a tensor that a scheduler remembers."""
    name, place = slot
    value = getattr(scheduler, name)
    if isinstance(value, list):
        value[place] = tensor
    else:
        setattr(scheduler, name, tensor)


def _minus(one: dict[Slot, Tensor], none: dict[Slot, Tensor]) -> dict[Slot, Tensor]:
    return {slot: tensor - none[slot] for slot, tensor in one.items()}
