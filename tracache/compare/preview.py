"""What an unfinished image will look like, cheaply enough to show while it is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image
from PIL.Image import fromarray as new_image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tracache.caching.abscissa import noise_over_signal
from tracache.caching.wrapping import wrap_method
from tracache.media import Picture, Video


@dataclass(frozen=True)
class Glimpse:
    """What a scheduler was handed at one step; turned into an estimate only if somebody looks.

    Attributes
    ----------
    sample, model_output : Tensor [1, channels, …]
        The first item's latents before the step, and what the model made of them.
    timestep : float, or a scalar Tensor
        Of the step.
    ratio : callable, or float
        Noise over signal at a timestep, or at this one.
    flow : bool
        Whether noise and signal are mixed along a straight line (rectified flow).
    """

    sample: Tensor
    model_output: Tensor
    timestep: Any
    ratio: Any
    flow: bool

    def portable(self) -> Glimpse:
        """Return the same on the CPU and in plain numbers, for other threads and processes."""
        timestep = float(self.timestep)
        ratio = self.ratio(timestep) if callable(self.ratio) else self.ratio
        return replace(
            self,
            sample=self.sample.float().cpu(),
            model_output=self.model_output.float().cpu(),
            timestep=timestep,
            ratio=ratio,
        )

    def estimate(self) -> Tensor:
        """Return the final latents as the model sees them at this step, float32 on the CPU."""
        here = self.portable()
        if here.flow:
            # x = (1 − s) x₀ + s ε, the model says ε − x₀, and r = s / (1 − s).
            return here.sample - here.ratio / (1 + here.ratio) * here.model_output
        # x = α x₀ + σ ε with α² + σ² = 1, and r = σ / α.
        return here.sample * (1 + here.ratio**2) ** 0.5 - here.ratio * here.model_output


class Glimpses:
    """Keeps the last glimpse of a run; ``last`` is None before the first step."""

    def __init__(self) -> None:
        self.last: Glimpse | None = None

    @contextmanager
    def watch(self, scheduler: Any) -> Iterator[None]:
        """Note what one scheduler's ``step`` is handed, for the length of the context."""
        ratio = noise_over_signal(scheduler, "a preview")
        flow = not hasattr(scheduler, "alphas_cumprod")

        def noted(
            step: Callable[..., Any],
            model_output: Tensor,
            timestep: Any,
            sample: Tensor,
            *args: Any,
            **more: Any,
        ) -> Any:
            # References only: what is timed does no work for those who look on.
            self.last = Glimpse(sample[:1], model_output[:1], timestep, ratio, flow)
            return step(model_output, timestep, sample, *args, **more)

        undo = wrap_method(scheduler, "step", noted)
        try:
            yield
        finally:
            undo()


@dataclass(frozen=True)
class Palette:
    """A linear map from latents to colours; rough, and enough to see a scene take shape.

    Attributes
    ----------
    weights : Tensor [channels + 1, 3]
        The last row is the offset.
    """

    weights: Tensor

    @classmethod
    def fit(cls, latents: Tensor, picture: Picture) -> Palette:
        """Fit by least squares.

        Parameters
        ----------
        latents : Tensor [1, channels, (frames,) height, width]
            Of one picture.
        picture : Image or Video
            What they decode to.
        """
        middle = _middle(latents)
        pixels = _pixels(picture)
        small = adaptive_avg_pool2d(pixels, (middle.shape[1], middle.shape[2]))
        rows = _rows(middle)
        # A little ridge: early latents of flat scenes do not span every channel.
        gram = rows.T @ rows + 1e-4 * len(rows) * torch.eye(rows.shape[1])
        return cls(torch.linalg.solve(gram, rows.T @ small.flatten(1).T))

    def render(self, latents: Tensor) -> Image:
        """Return a small image, a pixel for each latent one, of a video its middle."""
        middle = _middle(latents)
        colours = (_rows(middle) @ self.weights).clamp(0, 1).nan_to_num(0.5)
        image = (colours.reshape(*middle.shape[1:], 3) * 255).round().to(torch.uint8)
        return new_image(image.numpy())


def _middle(latents: Tensor) -> Tensor:
    """[channels, height, width] of the first item, of a video its middle."""
    first = latents[0].float().cpu()
    return first if first.ndim == 3 else first[:, first.shape[1] // 2]


def _rows(latents: Tensor) -> Tensor:
    flat = latents.flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)


def _pixels(picture: Picture) -> Tensor:
    image = picture.frames[len(picture.frames) // 2] if isinstance(picture, Video) else picture
    image = image.convert("RGB")
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.reshape(image.height, image.width, 3).permute(2, 0, 1).float() / 255
