"""The registry's models as tiny twins: entries of their own, and nothing else.

Run as a script, the app with these entries, as a host starts it.
"""

import json
import sys
from dataclasses import replace

from tests.models.stock import write_stock
from tracache.media import VideoSize
from tracache.models.pipelines import PIPELINES
from tracache.models.registry import MODELS
from tracache.models.spec import Footprint

CLIP = VideoSize(32, 32, 9, 8.0)

#: Model of the registry → kind of its tiny twin, and what a plain call names its guidance.
TWINS = {
    "flux.1-dev": ("flux", {"guidance_scale": 3.5}),
    "sd3.5-medium": ("sd3", {"guidance_scale": 4.5}),
    "qwen-image": ("qwen_image", {"true_cfg_scale": 4.0, "negative_prompt": " "}),
    "z-image": ("z_image", {"guidance_scale": 4.0}),
    "wan-2.1-1.3b": ("wan", {"guidance_scale": 5.0}),
    "ltx-video": ("ltx", {"guidance_scale": 3.0, "frame_rate": 8.0}),
    "sdxl": ("sdxl", {"guidance_scale": 5.0}),
}


def entry(model_id):
    """The entry of a twin: what it measures, and that it fits anywhere."""
    spec = MODELS[model_id]
    # A letter is a token here, and Qwen-Image's begin with a long preamble.
    tokens = 512 if model_id == "qwen-image" else 16
    return replace(
        spec,
        footprint=Footprint(0.0, 0.0, 0.0, 0.1, 0.0),
        size=CLIP if spec.makes_video else 32,
        max_tokens=tokens,
        max_cost=10**9,
    )


#: What text looks like to some of them.
TEXTS = {
    "flux.1-dev": {"prompt_embeds": (16, 32), "pooled_prompt_embeds": (32,)},
    "sd3.5-medium": {"prompt_embeds": (93, 64), "pooled_prompt_embeds": (64,)},
    "qwen-image": {"prompt_embeds": (16, 16), "prompt_embeds_mask": (16,)},
    "z-image": {"prompt_embeds": (16, 16)},
    "wan-2.1-1.3b": {"prompt_embeds": (16, 16)},
    "ltx-video": {"prompt_embeds": (16, 16), "prompt_attention_mask": (16,)},
    "sdxl": {"prompt_embeds": (77, 64), "pooled_prompt_embeds": (32,)},
}


def publish(model_id, folder):
    """What :data:`PIPELINES` would say, if the pipeline in a folder were the published one."""
    published = PIPELINES[MODELS[model_id].source]
    parts = []
    for part in (published.part, "vae", "scheduler"):
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        config = json.loads((folder / part / name).read_text())
        parts.append((config["_class_name"], {k: v for k, v in config.items() if k[0] != "_"}))
    denoiser, vae, scheduler = parts
    text = TEXTS[model_id]
    return replace(published, denoiser=denoiser, vae=vae, scheduler=scheduler, text=text)


def write_twins(root):
    """Write all of them into a folder of ``TRACACHE_MODELS``, and return their entries."""
    for model_id, (kind, _) in TWINS.items():
        write_stock(root, kind, MODELS[model_id].source)
    return {model_id: entry(model_id) for model_id in TWINS}


def serve():
    """Serve the page with the entries of the twins."""
    import app

    MODELS.update({model_id: entry(model_id) for model_id in TWINS})
    app.main()


if __name__ == "__main__":
    sys.exit(serve())
