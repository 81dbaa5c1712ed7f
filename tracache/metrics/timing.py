"""Waiting for the device, without which a clock shows when work was asked for, not done."""

from __future__ import annotations

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; on the CPU it always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
