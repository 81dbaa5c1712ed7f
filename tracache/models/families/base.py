"""What the comparison asks of a family of pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class Family(Protocol):
    """How one family of pipelines is loaded and driven; one implementation per file."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """Components that only :meth:`encode` needs; the rest runs without them."""
        ...

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load a pipeline from folders or repositories of the Hub.

        Parameters
        ----------
        sources : sequence of str or Path
            Repositories or folders, in the registry's order; most families have one.
        dtype : torch.dtype
            Format of the weights.
        offline : bool
            Whether to refuse to ask the Hub.
        without : sequence of str
            Components to leave out.
        """
        ...

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[Any],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Turn prompts or classes into the keyword arguments that :meth:`denoise` hands on.

        A negative prompt is given only to families of models that take one, see
        :attr:`ModelSpec.takes_negative <tracache.models.spec.ModelSpec.takes_negative>`.
        """
        ...

    def noise(self, pipe: Any, seeds: Sequence[int], size: Any) -> Tensor | None:
        """Return the initial latents, one item per seed, each independent of its neighbours.

        None where the pipeline draws them itself, from the generators that it is handed.
        """
        ...

    def set_timesteps(
        self, scheduler: Any, num_steps: int, size: Any, index: Mapping[str, Any]
    ) -> None:
        """Give a scheduler the timesteps that :meth:`denoise` gives it.

        ``index`` is the pipeline's own configuration, empty where it is made of parts.
        """
        ...

    def denoise(
        self,
        pipe: Any,
        conditions: dict[str, Any],
        noise: Any,
        num_steps: int,
        guidance_scale: float,
        size: Any,
        generators: list[torch.Generator],
    ) -> Tensor:
        """Run the pipeline's denoising loop and return the final latents.

        The generators, one per item, are for schedulers that draw noise at every step, and for
        pipelines that draw the first.
        """
        ...

    def decode(
        self, pipe: Any, latents: Tensor, size: Any, conditions: dict[str, Any]
    ) -> list[Any]:
        """Return the images or videos of the latents; ``size`` is the model's own.

        The conditions are those that the latents were made with.
        """
        ...
