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

from tracache.caching.spaces import Level, convert, guided_part, levels_of, prediction_of
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
    level : callable, or Level, or None
        How noisy a timestep's sample is, or this one's; None where its scheduler does not say.
    prediction : str
        What the scheduler takes the output for.
    """

    sample: Tensor
    model_output: Tensor
    timestep: Any
    level: Any
    prediction: str

    def portable(self) -> Glimpse:
        """Return the same on the CPU and in plain numbers, for other threads and processes."""
        timestep = float(self.timestep)
        return replace(
            self,
            sample=self.sample.float().cpu(),
            model_output=guided_part(self.model_output, self.sample).float().cpu(),
            timestep=timestep,
            level=self.level(timestep) if callable(self.level) else self.level,
        )

    def estimate(self) -> Tensor:
        """Return the final latents as the model sees them at this step, float32 on the CPU."""
        here = self.portable()
        if here.level is None:
            return here.sample
        return convert(here.model_output, here.sample, here.level, here.prediction, "sample")


class Glimpses:
    """Keeps the last glimpse of a run; ``last`` is None before the first step."""

    def __init__(self) -> None:
        self.last: Glimpse | None = None

    @contextmanager
    def watch(self, scheduler: Any) -> Iterator[None]:
        """Note what one scheduler's ``step`` is handed, for the length of the context."""
        prediction = prediction_of(scheduler)

        # Asked when somebody looks, by when the scheduler has its steps.
        def level(timestep: float) -> Level | None:
            try:
                return levels_of(scheduler)[scheduler.timesteps.tolist().index(timestep)]
            except ValueError:
                return None

        def noted(
            step: Callable[..., Any],
            model_output: Tensor,
            timestep: Any,
            sample: Tensor,
            *args: Any,
            **more: Any,
        ) -> Any:
            # References only: what is timed does no work for those who look on.
            self.last = Glimpse(sample[:1], model_output[:1], timestep, level, prediction)
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
    layout : tuple of int, or None
        Frames, height and width of latents that are a sequence of patches; of other latents the
        place of their channels.
    """

    weights: Tensor
    layout: tuple[int, ...] = (1,)

    @classmethod
    def fit(cls, latents: Tensor, picture: Picture, channels: int | None = None) -> Palette:
        """Fit by least squares.

        Parameters
        ----------
        latents : Tensor [1, channels, (frames,) height, width]
            Of one picture; or with its frames before its channels; or [1, patches, channels], the
            patches of all frames row by row.
        picture : Image or Video
            What they decode to.
        channels : int, optional
            How many there are, where that says which axis has them.
        """
        layout = _layout(latents, picture, channels)
        middle = _middle(latents, layout)
        pixels = _pixels(picture)
        small = adaptive_avg_pool2d(pixels, (middle.shape[1], middle.shape[2]))
        rows = _rows(middle)
        # A little ridge: early latents of flat scenes do not span every channel.
        gram = rows.T @ rows + 1e-4 * len(rows) * torch.eye(rows.shape[1])
        return cls(torch.linalg.solve(gram, rows.T @ small.flatten(1).T), layout)

    def render(self, latents: Tensor) -> Image:
        """Return a small image, a pixel for each latent one, of a video its middle."""
        middle = _middle(latents, self.layout)
        colours = (_rows(middle) @ self.weights).clamp(0, 1).nan_to_num(0.5)
        image = (colours.reshape(*middle.shape[1:], 3) * 255).round().to(torch.uint8)
        return new_image(image.numpy())


def _layout(latents: Tensor, picture: Picture, channels: int | None) -> tuple[int, ...]:
    """Where the channels are; or frames, height and width of a sequence of patches."""
    if latents.ndim > 3:
        return (2,) if latents.ndim == 5 and channels == latents.shape[2] else (1,)
    image = picture.frames[0] if isinstance(picture, Video) else picture
    frames = len(picture.frames) if isinstance(picture, Video) else 1
    patches = latents.shape[1]
    # As many patches to a side as its length allows; of a video, 4 or 8 frames become one.
    sides = [s for s in range(1, min(image.size) + 1) if image.height % s == image.width % s == 0]
    frame = [(image.height // side, image.width // side) for side in sides]
    grids = [(patches // (h * w), h, w) for h, w in frame if patches % (h * w) == 0]
    likely = {(frames - 1) // each + 1 for each in (1, 4, 8)}
    grids.sort(key=lambda grid: grid[0] not in likely)
    return grids[0] if grids else (1, 1, patches)


def _middle(latents: Tensor, layout: tuple[int, ...]) -> Tensor:
    """[channels, height, width] of the first item, of a video its middle."""
    first = latents[0].float().cpu()
    if len(layout) == 3:
        first = first.reshape(*layout, -1).movedim(-1, 0)
    elif layout == (2,):
        first = first.transpose(0, 1)
    return first if first.ndim == 3 else first[:, first.shape[1] // 2]


def _rows(latents: Tensor) -> Tensor:
    flat = latents.flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)


def _pixels(picture: Picture) -> Tensor:
    image = picture.frames[len(picture.frames) // 2] if isinstance(picture, Video) else picture
    image = image.convert("RGB")
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.reshape(image.height, image.width, 3).permute(2, 0, 1).float() / 255
