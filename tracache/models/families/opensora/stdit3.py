"""STDiT3, the transformer of Open-Sora 1.2: spatial and temporal blocks in turn.

Written from the published configuration and the names and shapes of the published weights, which
load strictly; sources: Open-Sora 1.2 (https://github.com/hpcaitech/Open-Sora) and its report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_1d_rotary_pos_embed, get_2d_sincos_pos_embed
from torch import Tensor, nn

from tracache.models.families.opensora.layers import (
    CaptionEmbedder,
    FinalLayer,
    PatchEmbed3D,
    Rotary,
    ScalarEmbedder,
    STDiT3Block,
    tile,
)

#: In the published weights, and computed here.
RECOMPUTED = ("rope.freqs",)


class STDiT3(ModelMixin, ConfigMixin):
    """Predicts velocity, and with ``pred_sigma`` a variance that sampling leaves aside.

    Parameters
    ----------
    in_channels : int, default 4
        Of the latents.
    hidden_size, depth, num_heads, mlp_ratio
        Width, number of pairs of blocks, attention heads, and the MLP's width over the tokens'.
    patch_size : (int, int, int), default (1, 2, 2)
        Frames, rows and columns of a token.
    pred_sigma : bool, default True
        Whether there are twice as many channels out as in.
    caption_channels, model_max_length : int
        Of the text encoder's features.
    qk_norm : bool, default True
        Whether queries and keys are normed.
    input_sq_size : int, default 512
        Side of the square, in pixels, at which positions count as trained.
    class_dropout_prob, drop_path, skip_y_embedder
        Of training and of another way to hand text in; kept so that published configurations load.
    """

    _no_split_modules: ClassVar[list[str]] = ["STDiT3Block"]

    @register_to_config
    def __init__(
        self,
        input_size: Sequence[int | None] = (None, None, None),
        input_sq_size: int = 512,
        in_channels: int = 4,
        patch_size: Sequence[int] = (1, 2, 2),
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        class_dropout_prob: float = 0.1,
        pred_sigma: bool = True,
        drop_path: float = 0.0,
        caption_channels: int = 4096,
        model_max_length: int = 300,
        qk_norm: bool = True,
        skip_y_embedder: bool = False,
    ) -> None:
        super().__init__()
        patch = (patch_size[0], patch_size[1], patch_size[2])
        self._sizes: Any = self.config
        self.out_channels = in_channels * (2 if pred_sigma else 1)
        self.x_embedder = PatchEmbed3D(patch, in_channels, hidden_size)
        self.t_embedder = ScalarEmbedder(hidden_size)
        self.fps_embedder = ScalarEmbedder(hidden_size)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))
        self.y_embedder = CaptionEmbedder(caption_channels, hidden_size, model_max_length)
        self.spatial_blocks = self._make_blocks(temporal=False)
        self.temporal_blocks = self._make_blocks(temporal=True)
        self.final_layer = FinalLayer(
            hidden_size, patch[0] * patch[1] * patch[2] * self.out_channels
        )

    def _make_blocks(self, temporal: bool) -> nn.ModuleList:
        c = self._sizes
        return nn.ModuleList(
            STDiT3Block(c.hidden_size, c.num_heads, c.mlp_ratio, c.qk_norm, temporal)
            for _ in range(c.depth)
        )

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        y: Tensor,
        mask: Tensor | None = None,
        x_mask: Tensor | None = None,
        fps: Tensor | None = None,
        height: Tensor | None = None,
        width: Tensor | None = None,
    ) -> Tensor:
        """Predict velocity.

        Parameters
        ----------
        x : Tensor [B, C_in, T, H, W]
            Latents.
        timestep : Tensor [B]
            0 (clean) … 1000 (noise).
        y : Tensor [B, 1, L, caption_channels]
            Text features.
        mask : Tensor [B, L] or [rows, L], optional
            Nonzero where text is attended to; fewer rows than B are tiled. All of it without.
        x_mask : Tensor [B, T], optional
            False for frames that are clean, and modulated as at timestep 0. All noisy without.
        fps : Tensor [B]
            Frames per second, 120 for images; fewer values than B are tiled.
        height, width : Tensor [B]
            Of the video, pixels; their first values scale the positions.

        Returns
        -------
        Tensor [B, C_out, T, H, W]
            float32.

        Raises
        ------
        ValueError
            If fps, height or width is missing, or B is not a multiple of a mask's rows.
        """
        if fps is None or height is None or width is None:
            raise ValueError("fps, height and width must be given: positions and speed need them")
        batch, dtype = x.shape[0], self.x_embedder.proj.weight.dtype
        # What the embeddings see is rounded as the model computes.
        timestep, x, y = timestep.to(dtype), x.to(dtype), y.to(dtype)
        grid = self._grid(x)
        frames, rows, columns = grid
        tokens = self.x_embedder(x)
        scale = float((height[0] * width[0]) ** 0.5) / self._sizes.input_sq_size
        places = self._places(rows, columns, scale, x.device).to(dtype)
        tokens = (tokens.unflatten(1, (frames, -1)) + places).flatten(1, 2)

        speed = tile(self.fps_embedder(fps.to(x.device), dtype), batch)
        t = self.t_embedder(timestep, dtype) + speed
        modulation = self.t_block(t).unflatten(1, (6, -1))
        t_clean = None
        if x_mask is not None:
            t_clean = self.t_embedder(torch.zeros_like(timestep), dtype) + speed
            clean = self.t_block(t_clean).unflatten(1, (6, -1))
            x_mask = self._mask_of_tokens(x_mask.bool())
            modulation = torch.where(x_mask[:, :, None, None], modulation[:, None], clean[:, None])
        text = self.y_embedder(y).squeeze(1)
        attended = _attention_mask(mask, batch)
        rotary = self._rotary(frames, x.device)
        given: dict[str, Any] = {
            "text": text,
            "modulation": modulation,
            "mask": attended,
            "frames": frames,
        }
        for spatial, temporal in zip(self.spatial_blocks, self.temporal_blocks, strict=True):
            tokens = spatial(tokens, **given)
            tokens = temporal(tokens, **given, rotary=rotary)
        out = self.final_layer(tokens, t, x_mask, t_clean, frames)
        return self._unpatchify(out, grid, tuple(x.shape[2:])).float()

    def _grid(self, x: Tensor) -> tuple[int, int, int]:
        sizes = [-(-n // p) for n, p in zip(x.shape[2:], self._sizes.patch_size, strict=True)]
        return sizes[0], sizes[1], sizes[2]

    def _mask_of_tokens(self, x_mask: Tensor) -> Tensor:
        """One value per frame of tokens: noisy where any of its frames is."""
        together = self._sizes.patch_size[0]
        if together == 1:
            return x_mask
        missing = -x_mask.shape[1] % together
        padded = nn.functional.pad(x_mask, (0, missing))
        return padded.unflatten(1, (-1, together)).any(2)

    def _places(self, rows: int, columns: int, scale: float, device: torch.device) -> Tensor:
        """Sinusoids of a frame's places, [S, C]."""
        return get_2d_sincos_pos_embed(
            self._sizes.hidden_size,
            (rows, columns),
            base_size=round((rows * columns) ** 0.5),
            interpolation_scale=scale,
            device=device,
            output_type="pt",
        ).float()

    def _rotary(self, frames: int, device: torch.device) -> Rotary:
        size = self._sizes.hidden_size // self._sizes.num_heads
        places: Any = torch.arange(frames, device=device)
        cosines, sines = get_1d_rotary_pos_embed(
            size, places, use_real=True, repeat_interleave_real=True
        )
        return cosines, sines

    def _unpatchify(self, x: Tensor, grid: tuple[int, int, int], size: tuple[int, ...]) -> Tensor:
        x = x.view(x.shape[0], *grid, *self._sizes.patch_size, self.out_channels)
        x = x.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return x[:, :, : size[0], : size[1], : size[2]]


def _attention_mask(mask: Tensor | None, batch: int) -> Tensor | None:
    """Boolean [B, 1, 1, L]."""
    if mask is None:
        return None
    if batch % mask.shape[0]:
        raise ValueError(f"a mask of {mask.shape[0]} rows does not go into a batch of {batch}")
    return tile(mask.bool(), batch)[:, None, None, :]


def without_recomputed(state: dict[str, Any]) -> dict[str, Any]:
    """Published weights without what is computed here."""
    return {key: value for key, value in state.items() if key not in RECOMPUTED}
