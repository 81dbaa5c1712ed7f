"""Heights and widths of Open-Sora's videos by resolution and aspect ratio.

Of the published table the entry for 480p at 9:16 is known and kept (480 × 854); the others follow
from its rule, see :class:`~tracache.models.sizes.VideoSizes`.
"""

from __future__ import annotations

from tracache.models.sizes import VideoSizes

SIZES = VideoSizes(
    resolutions={"144p": 144, "240p": 240, "360p": 360, "480p": 480, "720p": 720},
    ratios=("9:16", "16:9", "3:4", "4:3", "1:1", "1:2", "2:1", "9:21", "21:9"),
    # 16 seconds, the longest that the published model was trained on.
    max_frames=408,
    frames=51,
    resolution="480p",
    ratio="9:16",
)
