"""What a denoiser's output says, and how to say it in another space.

A scheduler's sample is ``x = a·x̂0 + s·ε̂``, at signal ``a`` and noise ``s`` *in the sample's own
scale*: variance preserving schedulers (DDIM, DPM-Solver++, UniPC, DEIS) have a² + s² = 1, those in
the scale of Karras et al. (Euler: the model's input is scaled, the sample is not) have a = 1, and
rectified flow has a + s = 1. With r² = a² + s², models predict one of

====================  =========================  ==============================================
``epsilon``           ε̂                          Ho et al. 2020
``sample``            x̂0
``v_prediction``      (a·ε̂ − s·x̂0) / r           Salimans & Ho 2022; of the sample scaled by 1/r
``flow_prediction``   ε̂ − x̂0                     Liu et al. 2022
====================  =========================  ==============================================

Every conversion between two of them is a weighted sum of the sample and one tensor, and so are its
two weights all that is needed; nothing here looks into a tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Name of a space → prediction type that has its trajectory.
SPACES = {"data": "sample", "noise": "epsilon", "velocity": "v_prediction"}

#: Signal, or noise, is at least this share, so that its logarithm is finite at both ends.
FLOOR = 1e-4

#: Share of x̂0 and of ε̂ in a prediction, where it is the same at every level.
_MIXTURES = {"sample": (1.0, 0.0), "epsilon": (0.0, 1.0), "flow_prediction": (-1.0, 1.0)}

#: Classes whose sample is x̂0 + σ·ε̂ and whose ``sigmas`` has a value a step.
_KARRAS = ("EulerDiscrete", "EulerAncestral", "LMSDiscrete", "HeunDiscrete", "KDPM2")


@dataclass(frozen=True)
class Level:
    """How noisy a step's sample is: x = signal·x̂0 + noise·ε̂.

    Attributes
    ----------
    signal, noise : float
        In the sample's own scale.
    """

    signal: float
    noise: float

    @property
    def log_snr(self) -> float:
        """λ = log(signal / noise), half the logarithm of the signal-to-noise ratio."""
        total = self.signal + self.noise
        return math.log(max(self.signal / total, FLOOR) / max(self.noise / total, FLOOR))

    def mixture(self, prediction: str) -> tuple[float, float]:
        """How much of x̂0 and of ε̂ is in a prediction.

        Parameters
        ----------
        prediction : {"epsilon", "sample", "v_prediction", "flow_prediction"}
            Its type.

        Raises
        ------
        ValueError
            If the type is unknown.
        """
        if prediction == "v_prediction":
            size = math.hypot(self.signal, self.noise)
            return -self.noise / size, self.signal / size
        if prediction not in _MIXTURES:
            raise ValueError(
                f"cannot tell the denoised estimate from a prediction of type {prediction!r}"
            )
        return _MIXTURES[prediction]

    def convert(self, given: str, wanted: str) -> tuple[float, float]:
        """Weights of the sample and of a prediction of one type in one of another.

        Parameters
        ----------
        given, wanted : str
            Prediction types, as for :meth:`mixture`.

        Raises
        ------
        ValueError
            If a type is unknown, or what is given does not determine what is wanted: ε̂ the data
            where there is no signal, x̂0 the noise where there is none.
        """
        if given == wanted:
            return 0.0, 1.0
        a, s = self.signal, self.noise
        (data, noise), (u, v) = self.mixture(given), self.mixture(wanted)
        # x = a·x̂0 + s·ε̂ and given = data·x̂0 + noise·ε̂, solved for u·x̂0 + v·ε̂.
        det = a * noise - s * data
        if det == 0.0:
            raise ValueError(f"at signal {a} and noise {s}, {given!r} does not tell {wanted!r}")
        return (u * noise - v * data) / det, (v * a - u * s) / det


def convert(tensor: Tensor, sample: Tensor, level: Level, given: str, wanted: str) -> Tensor:
    """Say a prediction in another way.

    Parameters
    ----------
    tensor : Tensor [batch, ...]
        The prediction, of type ``given``.
    sample : Tensor, same shape
        What it was made of, in the scheduler's scale.
    level : Level
        Of the sample.
    given, wanted : str
        Prediction types, as for :meth:`Level.mixture`.

    Returns
    -------
    Tensor
        In float32, or wider where the prediction is.
    """
    wide = torch.promote_types(tensor.dtype, torch.float32)
    of_sample, of_tensor = level.convert(given, wanted)
    out = tensor.to(wide)
    if of_tensor != 1.0:
        out = out * of_tensor
    return out if of_sample == 0.0 else torch.add(out, sample.to(wide), alpha=of_sample)


def prediction_of(scheduler: Any) -> str:
    """What a scheduler takes the model's output for: a prediction type."""
    if type(scheduler).__name__.startswith("FlowMatch"):
        return "flow_prediction"
    kind = scheduler.config.get("prediction_type", "epsilon")
    return "sample" if kind == "original_sample" else str(kind)


def levels_of(scheduler: Any) -> list[Level]:
    """The level of every step of a run.

    Parameters
    ----------
    scheduler
        Of diffusers, after ``set_timesteps``.

    Raises
    ------
    ValueError
        If its noise schedule cannot be told.
    """
    name = type(scheduler).__name__
    steps = len(scheduler.timesteps)
    if name.startswith("EDM"):
        raise ValueError(f"{name} conditions the denoiser's output itself, which is not followed")
    sigmas = getattr(scheduler, "sigmas", None)
    if name.startswith("FlowMatch"):
        return [Level(1.0 - s, s) for s in _floats(sigmas)[:steps]]
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        noises = scheduler.sigmas[:steps].double().cpu()
        pairs = (scheduler._sigma_to_alpha_sigma_t(s) for s in noises)
        return [Level(float(a), float(s)) for a, s in pairs]
    if name.startswith(_KARRAS):
        return [Level(1.0, s) for s in _floats(sigmas)[:steps]]
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is not None:
        table = alphas.double().cpu()
        kept = [float(table[int(t)]) for t in scheduler.timesteps.tolist()]
        return [Level(math.sqrt(k), math.sqrt(1.0 - k)) for k in kept]
    raise ValueError(f"{name} does not say how noisy its steps are")


def guided_part(output: Tensor, sample: Tensor) -> Tensor:
    """The prediction in an output that may have learned variances behind it.

    Parameters
    ----------
    output : Tensor [batch, channels or 2·channels, ...]
        What the pipeline hands to ``scheduler.step``.
    sample : Tensor [batch, channels, ...]
        The latents.
    """
    channels = sample.shape[1]
    return output[:, :channels] if output.shape[1] == 2 * channels else output


def _floats(values: Any) -> list[float]:
    return [float(v) for v in values]
