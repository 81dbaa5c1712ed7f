"""What the two latent models share: noise schedule, initialisation, optimisers, training loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.nn import functional

from tracache.training.images.data import load_images
from tracache.training.images.vae import encode_images, load_vae
from tracache.training.optim import (
    Muon,
    Run,
    ThreadChooser,
    autocast,
    pick_device,
    step_generator,
)

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
}
"""The noise schedule that is trained on and shipped, as a diffusers scheduler takes it."""
CONDITION_DROP = 0.1
"""Share of the samples trained without their condition, for guidance."""


def xavier(model: Any) -> None:
    """Xavier matrices and zero biases, the patch embedding's kernel read as a matrix too.

    diffusers' own initialisation trains badly at these sizes.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    kernel = model.pos_embed.proj.weight
    nn.init.xavier_uniform_(kernel.view(len(kernel), -1))


def split_optimisers(
    model: nn.Module, inside: Callable[[str], bool], muon: float, adam: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices whose names are ``inside``, AdamW for everything else."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        (hidden if p.ndim == 2 and inside(name) else rest).append(p)
    adamw = torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(hidden, lr=muon), adamw]


def encode_dataset(work: Path, folder: Path | None = None) -> None:
    """Encode rendered pictures once: ``latents.pt`` beside them, bfloat16 (n, 8, 16, 16).

    Parameters
    ----------
    work : Path
        Work folder with the finished autoencoder.
    folder : Path, optional
        Where the pictures are; the work folder itself where nothing is said.
    """
    folder = folder or work
    latents = encode_images(load_vae(work), load_images(folder))
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}", flush=True)
    torch.save(latents.bfloat16(), folder / "latents.pt")


def add_noise(clean: Tensor, noise: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents and the velocity to predict, for cumulative alphas (n,)."""
    a = alphas.sqrt()[:, None, None, None]
    s = (1.0 - alphas).sqrt()[:, None, None, None]
    return a * clean + s * noise, a * noise - s * clean


def prepare(transformer: Any, device: torch.device, compiled: bool = False) -> None:
    """Make a transformer train faster, without changing what it computes."""
    if device.type == "cpu":
        # Plain matrix products: on CPUs the fused kernel's backward took half of a step.
        for module in transformer.modules():
            if isinstance(module, Attention):
                module.set_processor(AttnProcessor())
    if compiled:
        for block in transformer.transformer_blocks:
            block.compile()


def train_loop(
    run: Run,
    latents: Tensor,
    alphas: Tensor,
    condition: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    batch: int,
    seed: int,
    shared: bool = False,
) -> None:
    """Train until the budget is used up, then save.

    Parameters
    ----------
    run : Run
        Its module is called with noisy latents, times and what ``condition`` gives.
    latents : Tensor
        Clean latents (n, 8, 16, 16).
    alphas : Tensor
        Cumulative alphas of the noise schedule (1000,).
    condition : callable
        From the samples' numbers (batch,) and which of them lose their condition (batch,) to the
        module's further arguments, on the CPU.
    batch, seed : int
        Samples a step; seed of all randomness.
    shared : bool, default False
        Keep choosing the faster number of threads, see ``ThreadChooser``.
    """
    device = pick_device()
    threads = ThreadChooser() if shared and device.type == "cpu" else None
    total, since = 0.0, run.step  # a resumed run may start between two reports
    while not run.finished:
        g = step_generator(seed, run.step)
        index = torch.randint(len(latents), (batch,), generator=g)
        dropped = torch.rand(batch, generator=g) < CONDITION_DROP
        # One time per equal slice of the schedule: less noisy than independent draws.
        times = ((torch.arange(batch) + torch.rand(batch, generator=g)) / batch * 1000).long()
        noise = torch.randn((batch, *latents.shape[1:]), generator=g)
        noisy, target = add_noise(latents[index].float(), noise, alphas[times])
        inputs = (noisy, times, *condition(index, dropped))
        with autocast(device):
            out = run.module(*(x.to(device) for x in inputs))
        loss = functional.mse_loss(out.float(), target.to(device))
        run.update(loss)
        if threads:
            threads.step()
        total += loss.item()
        if run.step % 50 == 0:
            rate = run.step * batch / run.elapsed
            print(
                f"step {run.step} {run.elapsed:.0f}s loss {total / (run.step - since):.4f} "
                f"{rate:.1f} samples/s {torch.get_num_threads()} threads",
                flush=True,
            )
            total, since = 0.0, run.step
    run.save()
    report = {"steps": run.step, "samples": run.step * batch, "minutes": run.elapsed / 60}
    print(json.dumps(report), flush=True)


def load_average(model: nn.Module, path: Path) -> dict[str, float]:
    """Give a module the averaged weights of its checkpoint; the run's figures (steps, minutes)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(state["average"][key])
    return {"steps": state["step"], "minutes": round(state["elapsed"] / 60, 1)}
