"""Train the class-conditional transformer: one object a picture, a class per colour and solid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel
from torch import Tensor, nn

from tracache.training.data import load_captions, load_latents
from tracache.training.denoise import SCHEDULE, Diffusion, train_denoiser, xavier
from tracache.training.fit import Effort, load_average
from tracache.training.images.data import render_dataset
from tracache.training.images.vae import LATENTS, encode_dataset
from tracache.training.machine import pick_device
from tracache.training.render.scenes import ASSETS, COLOURS, SOLIDS, Scene

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
    xavier(model, model.pos_embed.proj)
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


def render_class(work: Path, count: int) -> None:
    """Render ``count`` pictures of single objects and encode them with the work folder's VAE."""
    render_dataset(work / PICTURES, count, seed=2, pair_share=0.0)
    encode_dataset(work, work / PICTURES)


def train_class(work: Path, effort: Effort, layers: int = LAYERS, name: str = "class.pt") -> None:
    """Train on the latents and captions of the single objects; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    effort, layers
        As in ``train_t2i``.
    """
    torch.manual_seed(effort.seed)
    folder = work / PICTURES
    model = load_committed() if effort.from_assets else ClassToImage(layers)
    labels = torch.tensor([class_of(Scene.from_caption(c)) for c in load_captions(folder)])

    def condition(index: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        return (torch.where(dropped, len(CLASSES), labels[index]),)

    noising = Diffusion(build_scheduler().alphas_cumprod)
    train_denoiser(
        model.to(pick_device()), load_latents(folder), noising, condition, effort, work / name
    )


def _with_rows(transformer: Any, classes: int) -> Any:
    """The same transformer for another number of classes, whose last row means none.

    Rows of classes that were not there are zero.
    """
    settings = transformer.config
    other = build_transformer(
        settings.num_layers,
        settings.num_attention_heads,
        settings.attention_head_dim,
        classes=classes,
    )
    state = transformer.state_dict()
    for key, rows in state.items():
        if key.endswith("embedding_table.weight"):
            kept = min(classes, len(rows) - 1)
            state[key] = rows.new_zeros(classes + 1, rows.shape[1])
            state[key][:kept] = rows[:kept]
            state[key][classes] = rows[-1]
    other.load_state_dict(state)
    return other


def widen(transformer: Any) -> Any:
    """The same transformer with rows for 1000 classes, as ``DiTPipeline`` needs it."""
    return _with_rows(transformer, NULL_CLASS).eval()


def load_committed(folder: Path = ASSETS / "scenes-class") -> ClassToImage:
    """The committed weights as a module, float32, with no rows beyond its classes."""
    wide: Any = DiTTransformer2DModel.from_pretrained(
        folder, subfolder="transformer", torch_dtype=torch.float32
    )
    model = ClassToImage(wide.config.num_layers)
    model.transformer = _with_rows(wide, len(CLASSES))
    return model


def load_trained(path: Path, layers: int = LAYERS) -> tuple[Any, dict]:
    """Averaged weights of a checkpoint as a widened transformer, and the run's figures."""
    model = ClassToImage(layers)
    figures = load_average(model, path)
    return widen(model.transformer), figures
