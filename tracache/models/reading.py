"""Reads prompts with a model whose text encoder may not stay where the rest is."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tracache.models.families.base import Family
from tracache.models.families.stock import map_tensors
from tracache.models.placement import Placement


class Reader:
    """Turns prompts into conditions, and moves the model's parts about as its placement says.

    Parameters
    ----------
    family : Family
        Of the pipeline.
    pipe : pipeline
        Without its text encoder, unless the placement is ``whole``.
    placement : Placement
        Where the parts are.
    load_encoder : callable
        Returns a pipeline of the text encoder alone, in the host's memory.
    device, dtype : torch.device, torch.dtype
        Of the pipeline.
    """

    def __init__(
        self,
        family: Family,
        pipe: Any,
        placement: Placement,
        load_encoder: Callable[[], Any],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._family = family
        self._pipe = pipe
        self._placement = placement
        self._load = load_encoder
        self._device = device
        self._dtype = dtype
        self._kept: Any = None

    @property
    def kept_components(self) -> list[Any]:
        """Parts of the text encoder's pipeline that wait in the host's memory."""
        return [] if self._kept is None else list(self._kept.components.values())

    def read(
        self,
        prompts: Sequence[Any],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Return what :meth:`Family.encode` makes of the prompts, on the device.

        Afterwards the rest of the pipeline is on the device, ready to run.
        """
        if self._placement.kind == "whole":
            return self._family.encode(
                self._pipe, prompts, guidance_scale, max_tokens, negative_prompt
            )
        encoder = self._kept
        try:
            _move(self._pipe, torch.device("cpu"))
            if encoder is None:
                encoder = self._load()
            if self._placement.kind == "offload":
                self._kept = encoder
            _move(encoder, self._device)
            conditions = self._family.encode(
                encoder, prompts, guidance_scale, max_tokens, negative_prompt
            )
            conditions = map_tensors(self._cast, conditions)
            if self._kept is not None:
                _move(encoder, torch.device("cpu"))
        finally:
            del encoder
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            _move(self._pipe, self._device)
        return conditions

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self._device, self._dtype) if value.is_floating_point() else value


def _move(pipe: Any, device: torch.device) -> None:
    # In the host's memory half precision only waits.
    pipe.to(device, silence_dtype_warnings=True)
