"""Open-Sora 1.2 from the Hub's three repositories, none of which is a diffusers pipeline."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from transformers import AutoTokenizer, T5EncoderModel

from tracache.models.failures import PartError
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import make_flow_scheduler
from tracache.models.families.opensora.stdit3 import STDiT3, without_recomputed
from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.models.words import require_words

TRANSFORMER = "hpcai-tech/OpenSora-STDiT-v3"
AUTOENCODER = "hpcai-tech/OpenSora-VAE-v1.2"
TEXT_ENCODER = "DeepFloyd/t5-v1_1-xxl"

CONFIG, WEIGHTS = "config.json", "model.safetensors"

#: What a transformer's configuration must say; the rest has the published values by default.
REQUIRED = ("depth", "num_heads", "patch_size", "pred_sigma")


def load_opensora(
    transformer: str | Path = TRANSFORMER,
    autoencoder: str | Path = AUTOENCODER,
    text_encoder: str | Path = TEXT_ENCODER,
    dtype: torch.dtype = torch.bfloat16,
    offline: bool = False,
    without: Sequence[str] = (),
) -> OpenSoraPipeline:
    """Load the published model.

    Parameters
    ----------
    transformer, autoencoder, text_encoder : str or Path
        Repositories of the Hub, or folders of their layout.
    dtype : torch.dtype, default bfloat16
        Format of the weights.
    offline : bool, default False
        Whether to refuse to ask the Hub.
    without : sequence of str
        Parts to leave out: ``text_encoder`` (and with it the tokenizer), ``transformer``, ``vae``.

    Raises
    ------
    PartError
        If one of the three cannot be loaded; its cause says why: a ValueError where a
        configuration lacks what it must say or weights do not fit it, an OSError where files are
        missing. See :func:`tracache.models.failures.explain`.
    """
    parts: dict[str, Any] = dict.fromkeys(("tokenizer", "text_encoder", "transformer", "vae"))
    if "text_encoder" not in without:
        common: dict[str, Any] = {"local_files_only": offline}
        with _part(text_encoder):
            tokenizer = AutoTokenizer.from_pretrained(text_encoder, **common)
            require_words(tokenizer)
            encoder = T5EncoderModel.from_pretrained(text_encoder, dtype=dtype, **common)
        parts |= {"tokenizer": tokenizer, "text_encoder": encoder}
    if "transformer" not in without:
        with _part(transformer):
            parts["transformer"] = load_stdit3(transformer, dtype, offline)
    if "vae" not in without:
        with _part(autoencoder):
            parts["vae"] = load_vae(autoencoder, dtype, offline)
    return OpenSoraPipeline(**parts, scheduler=make_flow_scheduler())


@contextmanager
def _part(source: str | Path) -> Iterator[None]:
    """Say of a failure which of the repositories it is about."""
    try:
        yield
    except Exception as error:
        raise PartError(source) from error


def load_stdit3(
    source: str | Path = TRANSFORMER, dtype: torch.dtype = torch.bfloat16, offline: bool = False
) -> STDiT3:
    """Load the transformer; see :func:`load_opensora`."""
    config = _read_config(source, offline)
    missing = [name for name in REQUIRED if name not in config]
    if missing:
        raise ValueError(f"{source}: {CONFIG} does not say {', '.join(missing)}")
    model = STDiT3(**_known(STDiT3, config))
    return _fill(model, without_recomputed(_weights(source, offline)), source, dtype)


def load_vae(
    source: str | Path = AUTOENCODER, dtype: torch.dtype = torch.bfloat16, offline: bool = False
) -> VideoAutoencoder:
    """Load the autoencoder, both stages from one file; see :func:`load_opensora`.

    Its sizes are the published ones, unless the configuration has ``spatial`` and ``temporal`` as
    this project writes them.
    """
    model = VideoAutoencoder(**_known(VideoAutoencoder, _read_config(source, offline)))
    return _fill(model, _weights(source, offline), source, dtype)


def _known(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a configuration that a constructor takes."""
    names = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in config.items() if name in names}


def _read_config(source: str | Path, offline: bool) -> dict[str, Any]:
    return json.loads(_file(source, CONFIG, offline).read_text(encoding="utf-8"))


def _weights(source: str | Path, offline: bool) -> dict[str, Any]:
    return load_file(_file(source, WEIGHTS, offline))


def _file(source: str | Path, name: str, offline: bool) -> Path:
    """A file of a folder or of a repository, downloaded if need be."""
    local = Path(source) / name
    if isinstance(source, Path) or local.is_file():
        if not local.is_file():
            raise FileNotFoundError(f"no file named {name} in {source}")
        return local
    return Path(hf_hub_download(source, name, local_files_only=offline))


def _fill(model: Any, state: dict[str, Any], source: str | Path, dtype: torch.dtype) -> Any:
    """Give a model its weights, all of them and no others."""
    # Past diffusers' own method, which warns of parts that are to stay wide; there are none. Before
    # the weights come, so that they are there in full width once and not twice.
    torch.nn.Module.to(model.eval().requires_grad_(False), dtype)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the weights of {source} do not fit its configuration: {reason}"
        ) from error
    return model
