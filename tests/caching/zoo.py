"""Every denoiser of the installed diffusers, tiny, with inputs; found by going through it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from functools import lru_cache
from pathlib import Path

import torch
from diffusers.models import transformers, unets
from diffusers.models.modeling_utils import ModelMixin

CONFIGS = Path(__file__).parents[1] / "data" / "denoisers"

#: Classes beside the denoisers in the same folders, and what they are instead.
NOT_DENOISERS = {
    "Transformer2DModel": "a part of UNets, which hand it no timestep of a scheduler",
    "TransformerTemporalModel": "a part of UNets",
    "DreamLiteTransformer2DModel": "a part of a UNet",
    "MotionAdapter": "weights for a UNet, with no forward",
    "MiniMaxMusic3RVQDepthDecoder": "goes through codebooks, not through time",
    "UVit2DModel": "predicts masked tokens, and is handed no timestep",
}


@lru_cache
def denoisers():
    """Classes by name."""
    found = {}
    for package in (transformers, unets):
        for module in pkgutil.iter_modules(package.__path__):
            members = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            for name, value in members.items():
                own = getattr(value, "__module__", "").endswith("." + module.name)
                if inspect.isclass(value) and issubclass(value, ModelMixin) and own:
                    found[name] = value
    return {name: cls for name, cls in found.items() if name not in NOT_DENOISERS}


@lru_cache
def configurations():
    """Tiny configurations and inputs, by class."""
    found = {}
    for path in sorted(CONFIGS.glob("*.json")):
        found.update(json.loads(path.read_text()))
    return found


def make(name):
    """Return a denoiser with random weights everywhere, so that every block matters."""
    torch.manual_seed(0)
    model = denoisers()[name](**configurations()[name]["config"])
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter + 0.1 * noise)
    return model.eval().requires_grad_(False)


class Inputs:
    """What a denoiser's forward is called with, as its configuration describes it."""

    def __init__(self, name, model):
        self.model, self.written = model, configurations()[name]["inputs"]

    def __call__(self, share, seed=0):
        """Return arguments at a share of the noise, 1 being all; times alone depend on it."""
        self.generator, self.share = torch.Generator().manual_seed(seed), share
        return {name: self.read(value) for name, value in self.written.items()}

    def read(self, value):
        kind, *rest = value
        return getattr(self, f"a_{kind}")(*rest)

    def a_randn(self, shape, dtype):
        return torch.randn(shape, generator=self.generator).to(getattr(torch, dtype))

    def a_randint(self, shape, low, high):
        return torch.randint(low, high, shape, generator=self.generator)

    def a_full(self, shape, dtype, value):
        return torch.full(shape, value, dtype=getattr(torch, dtype))

    def a_tensor(self, dtype, values):
        return torch.tensor(values, dtype=getattr(torch, dtype))

    def a_arange(self, count):
        return torch.arange(count)

    def a_py(self, value):
        return value

    def a_list(self, values):
        return [self.read(value) for value in values]

    def a_tuple(self, values):
        return tuple(self.read(value) for value in values)

    def a_dict(self, pairs):
        return {key: self.read(value) for key, value in pairs}

    def a_time(self, shape, dtype, scale):
        return torch.full(shape, self.share * scale).to(getattr(torch, dtype))

    def a_camera(self, frames, size):
        poses = torch.eye(4).reshape(1, 1, 16).repeat(1, frames, 1)
        intrinsics = torch.tensor([size, size, size / 2, size / 2]).float()
        return torch.cat([poses, intrinsics.expand(1, frames, 4)], dim=-1)

    def a_method(self, name, kwargs):
        return getattr(self.model, name)(**kwargs)

    def a_new(self, name, kwargs):
        return getattr(importlib.import_module(type(self.model).__module__), name)(**kwargs)
