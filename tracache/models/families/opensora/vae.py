"""The video autoencoder of Open-Sora 1.2: every frame's latents, then latents over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from tracache.models.families.opensora.temporal_vae import TemporalVAE

#: The published spatial autoencoder: the layout of SDXL's.
SPATIAL: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}

#: The published temporal autoencoder.
TEMPORAL: dict[str, Any] = {
    "in_out_channels": 4,
    "latent_embed_dim": 4,
    "embed_dim": 4,
    "filters": 128,
    "num_res_blocks": 4,
    "channel_multipliers": [1, 2, 2, 4],
    "temporal_downsample": [False, True, True],
    "num_groups": 32,
}


class SpatialVAE(nn.Module):
    """An ``AutoencoderKL`` for frames, some at a time.

    Parameters
    ----------
    config : mapping
        Of the ``AutoencoderKL``.
    micro_batch_size : int
        Frames at a time, so that memory does not grow with the video's length.
    """

    def __init__(self, config: Mapping[str, Any], micro_batch_size: int) -> None:
        super().__init__()
        make: Any = AutoencoderKL
        self.module = make(**config)
        self.micro_batch_size = micro_batch_size

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means [B, C, T, H / f, W / f] of pixels [B, 3, T, H, W]."""
        return self._by_frames(x, lambda part: self.module.encode(part).latent_dist.mean)

    def decode(self, x: Tensor) -> Tensor:
        """Pixels [B, 3, T, H, W] of latents."""
        return self._by_frames(x, lambda part: self.module.decode(part).sample)

    def _by_frames(self, x: Tensor, function: Any) -> Tensor:
        batch = x.shape[0]
        frames = x.transpose(1, 2).flatten(0, 1)
        parts = [function(part) for part in frames.split(self.micro_batch_size)]
        return torch.cat(parts).unflatten(0, (batch, -1)).transpose(1, 2)


class VideoAutoencoder(ModelMixin, ConfigMixin):
    """Pixels to latents, four frames to one and eight pixels to one, and back.

    Parameters
    ----------
    spatial, temporal : mapping, optional
        Configurations of the two parts; the published ones by default.
    spatial_scaling_factor : float, default 0.18215
        Between them.
    micro_frame_size : int, default 17
        Frames that are encoded together; each such group is independent of the others.
    micro_batch_size : int, default 4
        Frames that the spatial part takes at a time.
    latent_shift, latent_scale : sequence of float
        Per channel: latents are (z − shift) / scale.
    """

    @register_to_config
    def __init__(
        self,
        spatial: dict[str, Any] | None = None,
        temporal: dict[str, Any] | None = None,
        spatial_scaling_factor: float = 0.18215,
        micro_frame_size: int = 17,
        micro_batch_size: int = 4,
        latent_shift: Sequence[float] = (-0.10, 0.34, 0.27, 0.98),
        latent_scale: Sequence[float] = (3.85, 2.32, 2.33, 3.06),
    ) -> None:
        super().__init__()
        self._sizes: Any = self.config
        self.spatial_vae = SpatialVAE(spatial or SPATIAL, micro_batch_size)
        self.temporal_vae = TemporalVAE(**(temporal or TEMPORAL))
        self.register_buffer("scale", torch.tensor(latent_scale).view(1, -1, 1, 1, 1))
        self.register_buffer("shift", torch.tensor(latent_shift).view(1, -1, 1, 1, 1))

    @property
    def spatial_factor(self) -> int:
        """Pixels to one latent, along either side."""
        return 2 ** (len(self.spatial_vae.module.config.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.scale.shape[1]

    def latent_frames(self, num_frames: int) -> int:
        """Return how many latent frames a video of so many frames has.

        Raises
        ------
        ValueError
            If there are none.
        """
        if num_frames < 1:
            raise ValueError(f"a video has at least one frame, got {num_frames}")
        group, factor = self._sizes.micro_frame_size, self.temporal_vae.factor
        whole, rest = divmod(num_frames, group)
        return whole * -(-group // factor) + -(-rest // factor)

    def encode(self, x: Tensor) -> Tensor:
        """Return posterior-mean latents.

        Parameters
        ----------
        x : Tensor [B, 3, T, H, W]
            Pixels, −1 … 1; H and W multiples of the spatial factor.

        Returns
        -------
        Tensor [B, C, ⌈T / 4⌉ by groups of 17, H / 8, W / 8]
        """
        frames = self.spatial_vae.encode(x) * self._sizes.spatial_scaling_factor
        parts = [
            self.temporal_vae.moments(part).chunk(2, dim=1)[0]
            for part in frames.split(self._sizes.micro_frame_size, dim=2)
        ]
        return (torch.cat(parts, dim=2) - self.shift) / self.scale

    def decode(self, z: Tensor, num_frames: int) -> Tensor:
        """Return pixels.

        Parameters
        ----------
        z : Tensor [B, C, latent_frames(num_frames), h, w]
            Latents.
        num_frames : int
            Of the video.

        Returns
        -------
        Tensor [B, 3, num_frames, H, W]
            Around −1 … 1, not clamped.

        Raises
        ------
        ValueError
            If there are not as many latent frames as such a video has.
        """
        return self.spatial_vae.decode(self.decode_time(z, num_frames))

    def decode_time(self, z: Tensor, num_frames: int) -> Tensor:
        """Return the frames' own latents, [B, C', num_frames, h, w]; see :meth:`decode`."""
        expected = self.latent_frames(num_frames)
        if z.shape[2] != expected:
            raise ValueError(
                f"{num_frames} frames have {expected} latent frames, and {z.shape[2]} were given"
            )
        z = z.to(self.dtype) * self.scale + self.shift
        group = self._sizes.micro_frame_size
        parts, left = [], num_frames
        for part in z.split(-(-group // self.temporal_vae.factor), dim=2):
            parts.append(self.temporal_vae.decode(part, min(group, left)))
            left -= group
        return torch.cat(parts, dim=2) / self._sizes.spatial_scaling_factor
