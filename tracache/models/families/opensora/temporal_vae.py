"""The causal temporal autoencoder of Open-Sora 1.2: four frames of latents to one, and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class CausalConv3d(nn.Module):
    """A convolution that sees, of other frames, only earlier ones; what lies outside is zero."""

    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        space = kernel // 2
        # A stride over time sees a frame less of the past.
        before = kernel - 1 + (1 - stride)
        self._pads = (space, space, space, space, before, 0)
        self.conv = nn.Conv3d(inside, outside, kernel, stride=(stride, 1, 1), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outside, T / stride, H, W] of [B, inside, T, H, W]."""
        return self.conv(functional.pad(x, self._pads))


class ResBlock(nn.Module):
    """Norm, SiLU and convolution, twice, added to what came in."""

    def __init__(self, inside: int, outside: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside)
        self.conv1 = CausalConv3d(inside, outside, 3, bias=False)
        self.norm2 = nn.GroupNorm(groups, outside)
        self.conv2 = CausalConv3d(outside, outside, 3, bias=False)
        if inside != outside:
            self.conv3 = CausalConv3d(inside, outside, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outside, T, H, W]."""
        moved = self.conv1(functional.silu(self.norm1(x)))
        moved = self.conv2(functional.silu(self.norm2(moved)))
        return moved + (self.conv3(x) if hasattr(self, "conv3") else x)


def _level(inside: int, outside: int, count: int, groups: int) -> nn.ModuleList:
    return nn.ModuleList(
        ResBlock(inside if i == 0 else outside, outside, groups) for i in range(count)
    )


class Encoder(nn.Module):
    """Latents of frames to moments of latents of their groups."""

    def __init__(
        self,
        channels: int,
        moments: int,
        filters: int,
        multipliers: Sequence[int],
        downsample: Sequence[bool],
        blocks: int,
        groups: int,
    ) -> None:
        super().__init__()
        widths = [filters * m for m in multipliers]
        self.conv_in = CausalConv3d(channels, filters, 3, bias=False)
        self.block_res_blocks = nn.ModuleList(
            _level(before, width, blocks, groups)
            for before, width in zip([filters, *widths[:-1]], widths, strict=True)
        )
        self.conv_blocks = nn.ModuleList(
            CausalConv3d(width, width, 3, stride=2) if halve else nn.Identity()
            for width, halve in zip(widths, downsample, strict=False)
        )
        self.res_blocks = _level(widths[-1], widths[-1], blocks, groups)
        self.norm1 = nn.GroupNorm(groups, widths[-1])
        self.conv2 = CausalConv3d(widths[-1], moments, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, moments, T / 4, H, W] of [B, channels, T, H, W]."""
        x = self.conv_in(x)
        for level, blocks in enumerate(self.block_res_blocks):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x)
            if level < len(self.conv_blocks):
                x = self.conv_blocks[level](x)
        for block in self.res_blocks:
            x = block(x)
        return self.conv2(functional.silu(self.norm1(x)))


class Decoder(nn.Module):
    """Latents of groups of frames to latents of frames."""

    def __init__(
        self,
        channels: int,
        latents: int,
        filters: int,
        multipliers: Sequence[int],
        downsample: Sequence[bool],
        blocks: int,
        groups: int,
    ) -> None:
        super().__init__()
        widths = [filters * m for m in multipliers]
        self.conv1 = CausalConv3d(latents, widths[-1], 3)
        self.res_blocks = _level(widths[-1], widths[-1], blocks, groups)
        wider = [*widths[1:], widths[-1]]
        self.block_res_blocks = nn.ModuleList(
            _level(before, width, blocks, groups)
            for before, width in zip(wider, widths, strict=True)
        )
        # Level i + 1 hands over to level i; where time was halved, its two halves come out as
        # twice the channels.
        self.conv_blocks = nn.ModuleList(
            CausalConv3d(width, 2 * narrower, 3) if halve else nn.Identity()
            for narrower, width, halve in zip(widths[1:], widths[1:], downsample, strict=True)
        )
        self._doubles = tuple(bool(halve) for halve in downsample)
        self.norm1 = nn.GroupNorm(groups, widths[0])
        self.conv_out = CausalConv3d(widths[0], channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels, 4 T, H, W] of [B, latents, T, H, W]."""
        x = self.conv1(x)
        for block in self.res_blocks:
            x = block(x)
        for level in reversed(range(len(self.block_res_blocks))):
            for block in self.block_res_blocks[level]:  # type: ignore[attr-defined]
                x = block(x)
            if level > 0 and self._doubles[level - 1]:
                x = _unfold_time(self.conv_blocks[level - 1](x))
        return self.conv_out(functional.silu(self.norm1(x)))


def _unfold_time(x: Tensor) -> Tensor:
    """Return [B, C, 2 T, H, W] of [B, 2 C, T, H, W]; channel 2 c + s is half s of channel c."""
    batch, channels, frames, height, width = x.shape
    x = x.view(batch, channels // 2, 2, frames, height, width).transpose(2, 3)
    return x.reshape(batch, channels // 2, 2 * frames, height, width)


class TemporalVAE(nn.Module):
    """Encoder, decoder and the two layers between them.

    Parameters
    ----------
    in_out_channels, latent_embed_dim, embed_dim : int
        Channels of the frames' latents, of the encoder's halves of moments, and of the latents.
    filters, channel_multipliers
        Width of each level.
    num_res_blocks : int
        Of each level.
    temporal_downsample : sequence of bool
        Whether time is halved after each level but the last.
    num_groups : int
        Of the norms.
    """

    def __init__(
        self,
        in_out_channels: int = 4,
        latent_embed_dim: int = 4,
        embed_dim: int = 4,
        filters: int = 128,
        num_res_blocks: int = 4,
        channel_multipliers: Sequence[int] = (1, 2, 2, 4),
        temporal_downsample: Sequence[bool] = (False, True, True),
        num_groups: int = 32,
    ) -> None:
        super().__init__()
        self.factor = 2 ** sum(temporal_downsample)
        common = (filters, channel_multipliers, temporal_downsample, num_res_blocks, num_groups)
        self.encoder = Encoder(in_out_channels, 2 * latent_embed_dim, *common)
        self.quant_conv = CausalConv3d(2 * latent_embed_dim, 2 * embed_dim, 1)
        self.post_quant_conv = CausalConv3d(embed_dim, latent_embed_dim, 1)
        self.decoder = Decoder(in_out_channels, latent_embed_dim, *common)

    def moments(self, x: Tensor) -> Tensor:
        """Mean and log-variance of latents, [B, 2 · embed_dim, ⌈T / 4⌉, H, W].

        Frames that are missing to a multiple of four are zeros before the first.
        """
        missing = -x.shape[2] % self.factor
        return self.quant_conv(self.encoder(functional.pad(x, (0, 0, 0, 0, missing, 0))))

    def decode(self, z: Tensor, num_frames: int) -> Tensor:
        """Return frames [B, in_out_channels, num_frames, H, W]; what is too many comes first."""
        out = self.decoder(self.post_quant_conv(z))
        return out[:, :, -num_frames % self.factor :]
