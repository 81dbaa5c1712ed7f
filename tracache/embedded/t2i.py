"""Train the text-to-image transformer, and with it the text encoder, on encoded pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional

from tracache.embedded.data import load_captions, load_images
from tracache.embedded.optim import (
    Budget,
    Muon,
    Run,
    ThreadChooser,
    autocast,
    pick_device,
    step_generator,
)
from tracache.embedded.text import TEXT_WIDTH, build_text_encoder, build_tokenizer, tokenize
from tracache.embedded.vae import LATENTS, encode_images, load_vae

CAPTION_DROP = 0.1


def build_transformer(layers: int = 11, heads: int = 5, head_dim: int = 32) -> Any:
    """A fresh transformer: 16x16 latents in patches of 2, so 64 tokens.

    diffusers' own initialisation trains badly at this size. Xavier matrices, and zeros wherever a
    branch writes into the residual stream for the first time, train well.
    """
    model: Any = PixArtTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=LATENTS,
        out_channels=LATENTS,
        num_layers=layers,
        cross_attention_dim=heads * head_dim,
        sample_size=16,
        patch_size=2,
        caption_channels=TEXT_WIDTH,
        use_additional_conditions=False,
    )
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.pos_embed.proj.weight.view(heads * head_dim, -1))
    nn.init.normal_(model.adaln_single.linear.weight, std=0.02)
    nn.init.zeros_(model.proj_out.weight)
    for block in model.transformer_blocks:
        nn.init.zeros_(block.attn2.to_out[0].weight)
    return model


def build_scheduler() -> Any:
    """The sampler the model is shipped with; its noise schedule is the one trained on."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        solver_order=2,
    )


class TextToImage(nn.Module):
    """Text encoder and transformer as one module, because they are trained together."""

    def __init__(self, words: int, layers: int = 11) -> None:
        super().__init__()
        self.text = build_text_encoder(words)
        self.transformer = build_transformer(layers)

    def forward(self, latents: Tensor, times: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Predicted velocity (n, 8, 16, 16) of noisy latents at times (n,) given tokens (n, 20)."""
        features = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.transformer(
            latents,
            encoder_hidden_states=features,
            encoder_attention_mask=mask,
            timestep=times,
            return_dict=False,
        )[0]


def optimisers(model: TextToImage, muon: float, adam: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformer blocks, AdamW for everything else."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        inside = name.startswith("transformer.transformer_blocks") and p.ndim == 2
        (hidden if inside and "scale_shift" not in name else rest).append(p)
    adamw = torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(hidden, lr=muon), adamw]


def encode_dataset(work: Path) -> None:
    """Encode the rendered pictures once: ``latents.pt``, bfloat16 (n, 8, 16, 16)."""
    latents = encode_images(load_vae(work), load_images(work))
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}", flush=True)
    torch.save(latents.bfloat16(), work / "latents.pt")


def add_noise(clean: Tensor, noise: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents and the velocity to predict, for cumulative alphas (n,)."""
    a = alphas.sqrt()[:, None, None, None]
    s = (1.0 - alphas).sqrt()[:, None, None, None]
    return a * clean + s * noise, a * noise - s * clean


def train_t2i(
    work: Path,
    budget: Budget,
    batch: int = 48,
    layers: int = 11,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 1.5e-3,
    compiled: bool = False,
    shared: bool = False,
    name: str = "t2i.pt",
) -> None:
    """Train on ``latents.pt`` and ``captions.json`` in ``work``; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    budget : Budget
        When to stop.
    batch : int, default 48
        Samples a step.
    compiled : bool, default False
        Compile the transformer's blocks: half a minute at the start for a faster run after it.
    shared : bool, default False
        The CPU is shared with others: keep choosing the faster number of threads. Costs exact
        reproducibility, because sums then depend on the choice.
    """
    torch.manual_seed(seed)
    device = pick_device()
    latents = torch.load(work / "latents.pt", weights_only=True)
    tokenizer = build_tokenizer()
    ids, mask = tokenize(tokenizer, load_captions(work))
    empty_ids, empty_mask = tokenize(tokenizer, [""])
    longest = int(mask.sum(1).max())  # padding beyond it is masked anyway, so it need not run
    ids, mask = ids[:, :longest], mask[:, :longest]
    empty_ids, empty_mask = empty_ids[:, :longest], empty_mask[:, :longest]
    alphas = build_scheduler().alphas_cumprod
    model = TextToImage(len(tokenizer), layers).to(device).train()
    if device.type == "cpu":
        # Plain matrix products: on CPUs the fused kernel's backward took half of a step.
        model.transformer.set_attn_processor(AttnProcessor())
    if compiled:
        for block in model.transformer.transformer_blocks:
            block.compile()
    run = Run(model, optimisers(model, muon, adam), budget, work / name)
    threads = ThreadChooser() if shared and device.type == "cpu" else None
    total = 0.0
    while not run.finished:
        g = step_generator(seed, run.step)
        index = torch.randint(len(latents), (batch,), generator=g)
        dropped = torch.rand(batch, generator=g) < CAPTION_DROP
        # One time per equal slice of the schedule: less noisy than independent draws.
        times = ((torch.arange(batch) + torch.rand(batch, generator=g)) / batch * 1000).long()
        noise = torch.randn((batch, *latents.shape[1:]), generator=g)
        words = torch.where(dropped[:, None], empty_ids, ids[index])
        seen = torch.where(dropped[:, None], empty_mask, mask[index])
        noisy, target = add_noise(latents[index].float(), noise, alphas[times])
        with autocast(device):
            out = model(noisy.to(device), times.to(device), words.to(device), seen.to(device))
        loss = functional.mse_loss(out.float(), target.to(device))
        run.update(loss)
        if threads:
            threads.step()
        total += loss.item()
        if run.step % 50 == 0:
            rate = run.step * batch / run.elapsed
            print(
                f"step {run.step} {run.elapsed:.0f}s loss {total / 50:.4f} {rate:.1f} samples/s "
                f"{torch.get_num_threads()} threads",
                flush=True,
            )
            total = 0.0
    run.save()
    report = {"steps": run.step, "samples": run.step * batch, "minutes": run.elapsed / 60}
    print(json.dumps(report), flush=True)


def load_trained(path: Path, layers: int = 11) -> tuple[TextToImage, dict]:
    """Averaged weights of a checkpoint as a module, and the run's figures (step, elapsed)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = TextToImage(len(build_tokenizer()), layers)
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(state["average"][key])
    return model.eval(), {"steps": state["step"], "minutes": round(state["elapsed"] / 60, 1)}
