"""What cannot be loaded: one message, saying which and what to do. The Hub is a real server."""

import errno
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from tests.models.hub import write_model
from tracache.models.failures import explain
from tracache.models.families.opensora.loading import AUTOENCODER, TEXT_ENCODER, TRANSFORMER
from tracache.models.loading import ModelUnavailableError, load_model, why_unavailable
from tracache.models.registry import MODELS
from tracache.models.spec import Footprint
from tracache.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

#: Repository → (status, code) that the Hub's stand-in answers with, as the Hub does.
ANSWERS = {
    "PixArt-alpha/PixArt-XL-2-256x256": (403, "GatedRepo"),
    "PixArt-alpha/PixArt-XL-2-512x512": (404, "RepoNotFound"),
    "PixArt-alpha/PixArt-XL-2-1024-MS": (401, "GatedRepo"),
    "facebook/DiT-XL-2-256": (500, ""),
    "facebook/DiT-XL-2-512": (401, "RepoNotFound"),
    TEXT_ENCODER: (403, "GatedRepo"),
}

#: Loads models one after another, with room for all, and prints what each says.
SCRIPT = """
import json, sys
from dataclasses import replace
from tracache.models import loading
from tracache.models.spec import Footprint
from tracache.models.registry import MODELS
from tracache.settings import Settings

found = {}
settings = Settings.from_environment()
for name in sys.argv[1:]:
    MODELS[name] = replace(MODELS[name], footprint=Footprint(0, 0, 0, 0.01, 0))
    before = loading.why_unavailable(name, settings)
    try:
        loading.load_model(name, settings)
    except loading.ModelUnavailableError as error:
        found[name] = [before, str(error), loading.why_unavailable(name, settings)]
print(json.dumps(found))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers every request for a repository with that repository's error."""

    def do_GET(self):
        status, code = next(a for name, a in ANSWERS.items() if name in self.path)
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", f"told by the test: {code or status}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(models, tmp_path, **environment):
    """Load models in a process of its own with an empty cache."""
    settings = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *models],
        env={
            **settings,
            "HF_HOME": str(tmp_path / "hf"),
            "TRACACHE_DEVICE": "cpu",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_what_the_hub_refuses(hub, tmp_path):
    names = {source: spec.id for spec in MODELS.values() for source in spec.sources}
    found = ask([names[source] for source in ANSWERS], tmp_path, HF_ENDPOINT=hub)
    words = {
        "pixart-256": "access to PixArt-alpha/PixArt-XL-2-256x256 is restricted; accept its terms",
        "pixart-512": "the Hub has no repository PixArt-alpha/PixArt-XL-2-512x512, or it is",
        "pixart-1024": "access to PixArt-alpha/PixArt-XL-2-1024-MS is restricted",
        "dit-xl-2-256": "the Hub answered 500 for facebook/DiT-XL-2-256; try again later",
        "dit-xl-2-512": "the Hub has no repository facebook/DiT-XL-2-512, or it is private",
        "open-sora-1.2": f"access to {TEXT_ENCODER} is restricted; accept its terms",
    }
    for name, expected in words.items():
        before, message, after = found[name]
        # Nothing was asked before somebody wanted it; then it is remembered.
        assert before == ""
        assert message.startswith(f"{MODELS[name].title} could not be loaded: ")
        assert expected in message
        assert after == message


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(tmp_path):
    found = ask(["dit-xl-2-256"], tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert (
        "facebook/DiT-XL-2-256 is not downloaded and the Hub cannot be reached"
        in (found["dit-xl-2-256"][1])
    )


@pytest.fixture
def settings(tmp_path):
    return Settings(
        assets=tmp_path, device="cpu", host="127.0.0.1", port=7860, deadline_s=60, models=tmp_path
    )


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """Nothing was downloaded before; and all tests run with the Hub switched off."""
    assert constants.is_offline_mode()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def refuse(name, settings):
    """Load what cannot be loaded; return what is said, before and after alike."""
    before = why_unavailable(name, settings)
    with pytest.raises(ModelUnavailableError) as error:
        load_model(name, settings)
    assert before == str(error.value) == why_unavailable(name, settings)
    return before


def test_a_hub_that_is_switched_off(settings, empty_cache):
    message = refuse("pixart-256", settings)
    assert "is not downloaded and the Hub is switched off here; unset HF_HUB_OFFLINE" in message


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """Tiny checkpoints fit everywhere."""
    for name in ("pixart-256", "dit-xl-2-256", "open-sora-1.2"):
        tiny = replace(MODELS[name], footprint=Footprint(0.0, 0.0, 0.0, 0.01, 0.0))
        monkeypatch.setitem(MODELS, name, tiny)


def cut(file):
    """Leave the first half of a file, as a download that broke off does."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "name, file, harm",
    [
        ("pixart-256", "transformer/diffusion_pytorch_model.safetensors", cut),
        ("pixart-256", "text_encoder/model-00002-of-00002.safetensors", Path.unlink),
        ("pixart-256", "text_encoder/model-00001-of-00002.safetensors", cut),
        ("pixart-256", "vae/diffusion_pytorch_model.safetensors", Path.unlink),
        ("pixart-256", "transformer/config.json", cut),
        ("pixart-256", "tokenizer/spiece.model", Path.unlink),
        ("dit-xl-2-256", "transformer/diffusion_pytorch_model.bin", cut),
        ("dit-xl-2-256", "vae/config.json", Path.unlink),
    ],
)
def test_files_that_are_incomplete(settings, name, file, harm):
    folder = write_model(settings.models, name)
    harm(folder / file)
    with pytest.raises(ModelUnavailableError) as error:
        load_model(name, settings)
    message = str(error.value)
    assert message.startswith(f"{MODELS[name].title} could not be loaded: the files of {folder} ")
    assert "are incomplete or damaged; repeat the download of that folder" in message
    assert why_unavailable(name, settings) == message


@pytest.mark.parametrize(
    "source, file, harm",
    [
        (TRANSFORMER, "model.safetensors", cut),
        (TRANSFORMER, "model.safetensors", Path.unlink),
        (AUTOENCODER, "model.safetensors", cut),
        (AUTOENCODER, "config.json", cut),
        (TEXT_ENCODER, "pytorch_model-00002-of-00002.bin", Path.unlink),
        (TEXT_ENCODER, "pytorch_model-00001-of-00002.bin", cut),
        (TEXT_ENCODER, "spiece.model", Path.unlink),
    ],
)
def test_of_several_repositories_the_damaged_one_is_named(settings, source, file, harm):
    write_model(settings.models, "open-sora-1.2")
    harm(settings.models / source / file)
    with pytest.raises(ModelUnavailableError) as error:
        load_model("open-sora-1.2", settings)
    message = str(error.value)
    title, folder = MODELS["open-sora-1.2"].title, settings.models / source
    assert message.startswith(f"{title} could not be loaded: the files of {folder} are incomplete")
    assert "repeat the download of that folder" in message
    assert "\n" not in message
    assert why_unavailable("open-sora-1.2", settings) == message


def test_of_several_repositories_those_that_are_not_here_are_named(settings, empty_cache):
    """Offline, before anything is loaded: which of the three are neither in a folder nor cached."""
    message = refuse("open-sora-1.2", settings)
    assert f"{TRANSFORMER} and {AUTOENCODER} and {TEXT_ENCODER} are not downloaded" in message
    write_model(settings.models, "open-sora-1.2")
    (settings.models / AUTOENCODER / "config.json").unlink()
    words = f"could not be loaded: {AUTOENCODER} is not downloaded and the Hub is switched off"
    assert words in refuse("open-sora-1.2", settings)


class Bomb:
    """Leaves a file where it is unpickled by what trusts it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    "name, file",
    [
        ("dit-xl-2-256", "transformer/diffusion_pytorch_model.bin"),
        ("dit-xl-2-256", "vae/diffusion_pytorch_model.bin"),
        ("open-sora-1.2", f"{TEXT_ENCODER}/pytorch_model-00001-of-00002.bin"),
    ],
)
def test_pickled_weights_run_no_code(settings, tmp_path, name, file):
    folder = write_model(settings.models, name)
    target = folder / file if (folder / file).exists() else settings.models / file
    assert target.exists()
    trace = tmp_path / "ran"
    torch.save({"weight": Bomb(trace)}, target)
    torch.load(target, weights_only=False)
    assert trace.exists(), "the bomb itself must work, or this shows nothing"
    trace.unlink()
    with pytest.raises(ModelUnavailableError, match="could not be loaded"):
        load_model(name, settings)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["scenes-class", "scenes-t2v"])
def test_our_own_weights_are_safetensors_only(settings, tmp_path, name):
    folder = write_model(settings.assets, name)
    assert why_unavailable(name, settings) == ""
    trace = tmp_path / "ran"
    torch.save({"weight": Bomb(trace)}, folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match="are safetensors, and diffusion_pytorch_model"):
        load_model(name, settings)
    assert not trace.exists()


def test_what_is_repaired_loads(settings):
    folder = write_model(settings.models, "dit-xl-2-256")
    config = folder / "vae" / "config.json"
    text = config.read_text()
    config.unlink()
    with pytest.raises(ModelUnavailableError):
        load_model("dit-xl-2-256", settings)
    config.write_text(text)
    assert load_model("dit-xl-2-256", settings).spec.id == "dit-xl-2-256"
    assert why_unavailable("dit-xl-2-256", settings) == ""


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free some space"),
        (MemoryError(), "the memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the memory ran out"),
        (RuntimeError("something\n else"), "could not be loaded: something else"),
    ],
)
def test_what_the_machine_lacks(error, words):
    assert words in explain(error, "A model", "somebody/model", True)


def test_what_an_error_came_from_counts():
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "the disk is full" in explain(wrapped, "A model", "somebody/model", True)
