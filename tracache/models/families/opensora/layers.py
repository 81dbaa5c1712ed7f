"""The layers of Open-Sora's transformer; names and shapes are those of its published weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.embeddings import Timesteps, apply_rotary_emb
from torch import Tensor, nn
from torch.nn import functional

#: Cosines and sines of the temporal rotary embedding, each [T, head_dim].
Rotary = tuple[Tensor, Tensor]

#: Shift, scale and gate of attention, then of the MLP: each [B, 1, C], or [B, T, 1, C] where
#: frames have their own.
Modulation = tuple[Tensor, ...]

EPS = 1e-6


class RMSNorm(nn.Module):
    """Root mean square norm over the last axis; statistics in float32 (of queries and keys)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed input, of its shape and format."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)
        return self.weight * wide.to(x.dtype)


class SelfAttention(nn.Module):
    """Attention within each frame, or over all frames at each place.

    Parameters
    ----------
    size, heads : int
        Width of the tokens, attention heads.
    qk_norm : bool
        Whether queries and keys are normed.
    temporal : bool
        Whether it runs over the frames at each place rather than within each frame.
    """

    def __init__(self, size: int, heads: int, qk_norm: bool, temporal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temporal = temporal
        self.qkv = nn.Linear(size, 3 * size)
        self.q_norm = RMSNorm(size // heads) if qk_norm else nn.Identity()
        self.k_norm = RMSNorm(size // heads) if qk_norm else nn.Identity()
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor, frames: int, rotary: Rotary | None = None) -> Tensor:
        """Return [B, T · S, C] of tokens [B, T · S, C], frame by frame; ``rotary`` over time."""
        batch, tokens, size = x.shape
        qkv = self.qkv(x).view(batch, frames, tokens // frames, 3, self.heads, -1)
        # To three of [B, frames or places, heads, tokens that see each other, head size].
        qkv = qkv.permute((3, 0, 2, 4, 1, 5) if self.temporal else (3, 0, 1, 4, 2, 5))
        q, k, v = self.q_norm(qkv[0]), self.k_norm(qkv[1]), qkv[2]
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        if self.temporal and rotary is not None:
            turns: Any = rotary
            q, k = (apply_rotary_emb(part, turns, use_real_unbind_dim=-1) for part in (q, k))
        out = functional.scaled_dot_product_attention(q, k, v).unflatten(0, (batch, -1))
        out = out.permute((0, 3, 1, 2, 4) if self.temporal else (0, 1, 3, 2, 4))
        return self.proj(out.reshape(batch, tokens, size))


class CrossAttention(nn.Module):
    """Attention of all tokens of an item to its own text."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(size, size)
        self.kv_linear = nn.Linear(size, 2 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return [B, N, C] of x [B, N, C], text [B, L, C] and a boolean mask [B, 1, 1, L]."""
        batch, tokens, size = x.shape
        q = self.q_linear(x).view(batch, tokens, self.heads, -1).transpose(1, 2)
        kv = self.kv_linear(text).view(batch, text.shape[1], 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, size))


class Mlp(nn.Module):
    """Two layers with a GELU (by tanh) between."""

    def __init__(self, size: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size, hidden)
        self.fc2 = nn.Linear(hidden, size if out is None else out)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out] of [..., size]."""
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class STDiT3Block(nn.Module):
    """One block: attention over space or over time, attention to the text, MLP.

    Parameters
    ----------
    size, heads : int
        Width of the tokens, attention heads.
    mlp_ratio : float
        Width of the MLP over that of the tokens.
    qk_norm : bool
        Whether queries and keys are normed.
    temporal : bool
        Whether self-attention runs over the frames at each place rather than within each frame.
    """

    def __init__(
        self, size: int, heads: int, mlp_ratio: float, qk_norm: bool, temporal: bool
    ) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(6, size) / size**0.5)
        self.attn = SelfAttention(size, heads, qk_norm, temporal)
        self.cross_attn = CrossAttention(size, heads)
        self.mlp = Mlp(size, int(size * mlp_ratio))

    def forward(
        self,
        hidden_states: Tensor,
        text: Tensor,
        modulation: Tensor,
        mask: Tensor | None = None,
        frames: int = 1,
        rotary: Rotary | None = None,
    ) -> Tensor:
        """Return the tokens after this block.

        Parameters
        ----------
        hidden_states : Tensor [B, T · S, C]
            Tokens, frame by frame.
        text : Tensor [B, L, C]
            Projected text.
        modulation : Tensor [B, 6, C] or [B, T, 6, C]
            Of the whole item, or of each frame.
        mask : Tensor [B, 1, 1, L], optional
            True where text is attended to.
        frames : int
            T.
        rotary : (Tensor, Tensor), optional
            Of the frames; temporal blocks alone use it.
        """
        table = self.scale_shift_table
        # With frames of their own, tokens of a frame are an axis behind theirs.
        framed = modulation.dim() == 4
        parts = (table + modulation).unsqueeze(-2).unbind(-3)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = parts

        def per_frame(x: Tensor) -> Tensor:
            return x.unflatten(1, (frames, -1)) if framed else x

        def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
            x = per_frame(functional.layer_norm(x, x.shape[-1:], eps=EPS))
            return _flat(x * (1 + scale) + shift, framed)

        x = hidden_states
        moved = self.attn(modulate(x, shift, scale), frames, rotary)
        x = x + _flat(gate * per_frame(moved), framed)
        x = x + self.cross_attn(x, text, mask)
        moved = self.mlp(modulate(x, shift_mlp, scale_mlp))
        return x + _flat(gate_mlp * per_frame(moved), framed)


class ScalarEmbedder(nn.Module):
    """A number as a vector: sinusoids of 256 frequencies' halves, then two layers."""

    def __init__(self, size: int, frequencies: int = 256) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(frequencies, size), nn.SiLU(), nn.Linear(size, size))
        self._waves = Timesteps(frequencies, flip_sin_to_cos=True, downscale_freq_shift=0)

    def forward(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """Return [B, C] of [B]."""
        return self.mlp(self._waves(value).to(dtype))


class PatchEmbed3D(nn.Module):
    """Patches of a video as tokens, frame by frame; what does not fill a patch is padded."""

    def __init__(self, patch: tuple[int, int, int], channels: int, size: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(channels, size, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T' · H' · W', C] of [B, channels, T, H, W]."""
        missing = [-n % p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        pads = [pad for m in reversed(missing) for pad in (0, m)]
        return self.proj(functional.pad(x, pads)).flatten(2).transpose(1, 2)


class CaptionEmbedder(nn.Module):
    """Text features as the blocks read them, and the text that stands for none.

    ``y_embedding`` is learned, and kept with the weights, though no gradient step reaches it once
    trained: the null text of classifier-free guidance.
    """

    def __init__(self, channels: int, size: int, length: int) -> None:
        super().__init__()
        self.y_proj = Mlp(channels, size, size)
        self.register_buffer("y_embedding", torch.randn(length, channels) / channels**0.5)

    def forward(self, text: Tensor) -> Tensor:
        """Return [..., C] of [..., channels]."""
        return self.y_proj(text)


class FinalLayer(nn.Module):
    """Norm, modulation by the timestep, and a layer from tokens to patches."""

    def __init__(self, size: int, out: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(2, size) / size**0.5)
        self.linear = nn.Linear(size, out)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        noisy: Tensor | None = None,
        t_clean: Tensor | None = None,
        frames: int = 1,
    ) -> Tensor:
        """Return [B, N, out] of tokens [B, N, C] and the timestep's embedding [B, C].

        Where ``noisy`` [B, T] is False, frames are clean: they are normed and modulated twice, the
        second time by ``t_clean``. The published model was trained so.
        """
        first = self._modulate(x, t)
        if noisy is None or t_clean is None:
            return self.linear(first)
        again = self._modulate(first, t_clean)
        chosen = noisy[:, :, None, None]
        first, again = (part.unflatten(1, (frames, -1)) for part in (first, again))
        return self.linear(torch.where(chosen, first, again).flatten(1, 2))

    def _modulate(self, x: Tensor, t: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + t[:, None]).unsqueeze(-2).unbind(1)
        return functional.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift


def _flat(x: Tensor, framed: bool) -> Tensor:
    return x.flatten(1, 2) if framed else x


def tile(x: Any, batch: int) -> Any:
    """Repeat a tensor along its first axis until it has so many rows."""
    return x if x.shape[0] == batch else x.repeat(batch // x.shape[0], *[1] * (x.dim() - 1))
