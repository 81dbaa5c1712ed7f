"""Train the class-conditional transformer: one object a picture, a class per colour and solid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel
from torch import Tensor, nn

from tracache.training.denoise import (
    SCHEDULE,
    encode_dataset,
    load_average,
    prepare,
    split_optimisers,
    train_loop,
    xavier,
)
from tracache.training.images.data import load_captions, render_dataset
from tracache.training.images.vae import LATENTS
from tracache.training.optim import Budget, Run, pick_device
from tracache.training.render.scenes import COLOURS, SOLIDS, Scene

CLASSES = tuple(f"{colour} {solid}" for solid in SOLIDS for colour in COLOURS)
"""Names of the classes, in the order of their numbers."""
NULL_CLASS = 1000
"""The class that means none: ``DiTPipeline`` asks for this number, whatever the model."""
PICTURES = "class"
"""Subfolder of the work folder with the pictures of single objects."""
LAYERS = 12


def class_of(scene: Scene) -> int:
    """Number of the class that a picture of a single object belongs to."""
    return SOLIDS.index(scene.first.solid) * len(COLOURS) + COLOURS.index(scene.first.colour)


def build_transformer(
    layers: int = LAYERS, heads: int = 5, head_dim: int = 32, classes: int = len(CLASSES)
) -> Any:
    """A fresh transformer: 16x16 latents in patches of 2, adaLN-Zero, class ``classes`` for none.

    Labels are not dropped by diffusers, which would throw the dice once a block: a sample would
    then almost never be without its class in all of them.
    """
    model: Any = DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=LATENTS,
        out_channels=LATENTS,
        num_layers=layers,
        sample_size=16,
        patch_size=2,
        num_embeds_ada_norm=classes,
    )
    xavier(model)
    nn.init.zeros_(model.proj_out_1.weight)
    nn.init.zeros_(model.proj_out_2.weight)
    for block in model.transformer_blocks:
        nn.init.zeros_(block.norm1.linear.weight)
        labels = block.norm1.emb.class_embedder
        nn.init.normal_(labels.embedding_table.weight, std=0.02)
        labels.dropout_prob = 0.0
    return model


def build_scheduler() -> Any:
    """The sampler the model is shipped with; its noise schedule is the one trained on."""
    return DDIMScheduler(**SCHEDULE, clip_sample=False)


class ClassToImage(nn.Module):
    """The transformer, called by position as the training loop does."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.transformer = build_transformer(layers)

    def forward(self, latents: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """Predicted velocity (n, 8, 16, 16) of noisy latents at times (n,) given classes (n,)."""
        return self.transformer(latents, timestep=times, class_labels=labels, return_dict=False)[0]


def _hidden(name: str) -> bool:
    """Whether a matrix is part of a block's attention or feed-forward."""
    return name.startswith("transformer.transformer_blocks") and ".norm1." not in name


def render_class(work: Path, count: int) -> None:
    """Render ``count`` pictures of single objects and encode them with the work folder's VAE."""
    render_dataset(work / PICTURES, count, seed=2, pair_share=0.0)
    encode_dataset(work, work / PICTURES)


def train_class(
    work: Path,
    budget: Budget,
    batch: int = 48,
    layers: int = LAYERS,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 1.5e-3,
    compiled: bool = False,
    shared: bool = False,
    name: str = "class.pt",
) -> None:
    """Train on the latents and captions of the single objects; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    budget : Budget
        When to stop.
    batch : int, default 48
        Samples a step.
    compiled, shared : bool, default False
        As in ``train_t2i``.
    """
    torch.manual_seed(seed)
    device, folder = pick_device(), work / PICTURES
    latents = torch.load(folder / "latents.pt", weights_only=True)
    labels = torch.tensor([class_of(Scene.from_caption(c)) for c in load_captions(folder)])
    none = torch.tensor(len(CLASSES))
    model = ClassToImage(layers).to(device).train()
    prepare(model.transformer, device, compiled)
    run = Run(model, split_optimisers(model, _hidden, muon, adam), budget, work / name)

    def condition(index: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        return (torch.where(dropped, none, labels[index]),)

    train_loop(run, latents, build_scheduler().alphas_cumprod, condition, batch, seed, shared)


@torch.no_grad()
def widen(transformer: Any) -> Any:
    """The same transformer with rows for 1000 classes, as ``DiTPipeline`` needs it.

    The row for no class becomes the last one; rows of classes that are not there are zero.
    """
    settings = transformer.config
    wide = build_transformer(
        settings.num_layers,
        settings.num_attention_heads,
        settings.attention_head_dim,
        classes=NULL_CLASS,
    )
    state = transformer.state_dict()
    for key, rows in state.items():
        if key.endswith("embedding_table.weight"):
            state[key] = rows.new_zeros(NULL_CLASS + 1, rows.shape[1])
            state[key][: len(CLASSES)] = rows[:-1]
            state[key][NULL_CLASS] = rows[-1]
    wide.load_state_dict(state)
    return wide.eval()


def load_trained(path: Path, layers: int = LAYERS) -> tuple[Any, dict]:
    """Averaged weights of a checkpoint as a widened transformer, and the run's figures."""
    model = ClassToImage(layers)
    figures = load_average(model, path)
    return widen(model.transformer), figures
