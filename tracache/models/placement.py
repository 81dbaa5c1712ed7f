"""How a model fits the memory that is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psutil
import torch

from tracache.media import VideoSize, pixels_of
from tracache.models.spec import GB, Footprint, ModelSpec

#: Left free for the system, the page and what libraries take, bytes.
HOST_RESERVE = 1 * GB
DEVICE_RESERVE = GB // 2

Kind = Literal["whole", "offload", "encode-first"]

ABOUT: dict[str, str] = {
    "whole": "whole on the device",
    "offload": "text encoder and transformer take turns on the device",
    "encode-first": "text encoder loaded for each new prompt and freed again",
}


@dataclass(frozen=True)
class Placement:
    """Where a model's parts are while it runs.

    Attributes
    ----------
    kind : {"whole", "offload", "encode-first"}
        Everything stays on the device; text encoder and the rest take turns on it and wait in the
        host's memory; or the text encoder is loaded for each new prompt, and freed before the
        rest runs.
    encoder_dtype : torch.dtype or None
        Format of the text encoder; None is that of the rest.
    """

    kind: Kind
    encoder_dtype: torch.dtype | None = None


class DoesNotFitError(ValueError):
    """The memory is too small for a model; the message says what does not fit."""


def choose_placement(
    device_memory: int | None, host_memory: int, spec: ModelSpec, width: int | None = None
) -> Placement:
    """Choose the simplest placement that fits.

    Parameters
    ----------
    device_memory : int or None
        Free memory of the GPU, bytes; None where the model runs in the host's own memory (CPU and
        MPS).
    host_memory : int
        Free memory of the host, bytes.
    spec : ModelSpec
        The model.
    width : int, optional
        Bytes of a number; 2 on a GPU and 4 in the host's memory if not given.

    Raises
    ------
    DoesNotFitError
        If none fits.
    """
    need = spec.footprint
    if need is None:
        return Placement("whole")
    if device_memory is None:
        return _on_host(host_memory - HOST_RESERVE, need, spec, width or 4)
    device, host = device_memory - DEVICE_RESERVE, host_memory - HOST_RESERVE
    return _on_device(device, host, need, spec, width or 2)


def _on_device(device: int, host: int, need: Footprint, spec: ModelSpec, width: int) -> Placement:
    weights = need.weights(width)
    rest = weights + need.working(width)
    # What is kept wide has four bytes in any case.
    encoder = need.encoder(width) + int(need.kept_wide * GB * (4 - width))
    if weights > host:
        raise _refuse(spec, "loading its transformer and VAE", weights, host, "main memory")
    if rest > device:
        raise _refuse(spec, "running its transformer and VAE", rest, device, "GPU memory")
    # Weights are loaded into main memory part by part on their way to the device.
    if rest + encoder <= device and encoder <= host:
        return Placement("whole")
    if encoder > device:
        raise _refuse(spec, "its text encoder", encoder, device, "GPU memory")
    if encoder > host:
        raise _refuse(spec, "loading its text encoder", encoder, host, "main memory")
    together = encoder + weights <= host
    return Placement("offload" if together else "encode-first")


def _on_host(host: int, need: Footprint, spec: ModelSpec, width: int) -> Placement:
    rest, working = need.weights(width), need.working(width)
    if rest + working > host:
        raise _refuse(spec, "its transformer and VAE", rest + working, host, "memory")
    if rest + need.encoder(width) + working <= host:
        return Placement("whole")
    # The rest is in memory while the prompt is read; what it works with is not.
    if rest + need.encoder(width) <= host:
        return Placement("encode-first")
    if rest + need.encoder(2) <= host:
        return Placement("encode-first", torch.bfloat16)
    least = rest + need.encoder(2)
    raise _refuse(spec, "its text encoder beside its transformer", least, host, "memory")


def _refuse(spec: ModelSpec, what: str, need: int, have: int, where: str) -> DoesNotFitError:
    return DoesNotFitError(
        f"{spec.title} does not fit: {what} needs {need / GB:.1f} GB of {where}, and "
        f"{max(have, 0) / GB:.1f} GB are free for it; choose a smaller model"
    )


def pick_dtype(device: torch.device, name: str | None = None) -> torch.dtype:
    """Return the format to compute in.

    Parameters
    ----------
    device : torch.device
        Where.
    name : str, optional
        One of :data:`~tracache.settings.DTYPES`; if not given, bfloat16 on a GPU that computes in
        it, float16 on another, float32 elsewhere.

    Raises
    ------
    ValueError
        For float16 on the CPU, where it is slower than float32 and overflows.
    """
    if name == "float16" and device.type == "cpu":
        raise ValueError("float16 needs a GPU; choose float32 or bfloat16 for the CPU")
    if name is not None:
        return getattr(torch, name)
    if device.type != "cuda":
        return torch.float32
    # is_bf16_supported() alone counts emulation, which is slower than float32.
    native = torch.cuda.get_device_capability(device)[0] >= 8
    return torch.bfloat16 if native else torch.float16


def require_room(spec: ModelSpec, size: int | VideoSize, device: torch.device, width: int) -> None:
    """Refuse a size for which a loaded model lacks memory to work in.

    Parameters
    ----------
    spec : ModelSpec
        The model, whose weights are where they belong.
    size : int or VideoSize
        Of the picture; what it takes grows with its pixels, from the footprint of the model's own.
    device : torch.device
        Where it runs.
    width : int
        Bytes a number.

    Raises
    ------
    DoesNotFitError
        If there is too little.
    """
    larger = pixels_of(size) / pixels_of(spec.size)
    if spec.footprint is None or larger <= 1:
        return
    need, have = int(spec.footprint.working(width) * larger), free_for_work(device)
    if need > have:
        raise DoesNotFitError(
            f"a video of this size needs about {need / GB:.1f} GB of memory beside the weights of "
            f"{spec.title}, and {max(have, 0) / GB:.1f} GB are free for it; choose fewer frames or "
            "a lower resolution"
        )


def free_for_work(device: torch.device) -> int:
    """Return the bytes that may be taken where a model runs, its weights being there."""
    on_device, on_host = free_memory(device)
    if on_device is None:
        return on_host - HOST_RESERVE
    # What the allocator holds and nobody uses is as good as free.
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return on_device + idle - DEVICE_RESERVE


def free_memory(device: torch.device) -> tuple[int | None, int]:
    """Return the bytes free on the GPU (None without one of its own) and on the host."""
    host = psutil.virtual_memory().available
    if device.type != "cuda":
        return None, host
    return torch.cuda.mem_get_info(device)[0], host
