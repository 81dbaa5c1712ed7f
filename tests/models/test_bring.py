"""Pipelines of the host's own: what is listed, and what is refused before anything is loaded."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.stock import write_stock
from tracache.cli.main import main
from tracache.compare.comparison import run
from tracache.compare.request import make_request
from tracache.models.bring import RefusedError, bring, bring_all
from tracache.models.loading import load_model, why_unavailable
from tracache.models.registry import MODELS
from tracache.settings import Settings
from tracache.ui.offer import offered, require_offered

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_stock(tmp_path_factory.mktemp("made"), "sdxl", "somebody/tiny-sdxl")


@pytest.fixture
def folder(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "tiny-sdxl"))
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": 4}))
    return folder


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """What a test lists is gone after it."""
    for name in list(MODELS):
        monkeypatch.setitem(MODELS, name, MODELS[name])
    yield
    for name in [name for name in MODELS if name.startswith(("hub:", "folder:"))]:
        del MODELS[name]


@pytest.fixture
def settings(tmp_path):
    return replace(Settings.from_environment({}), device="cpu", assets=ROOT / "demo_assets")


def change(folder, **entries):
    file = folder / "model_index.json"
    index = {**json.loads(file.read_text()), **entries}
    file.write_text(json.dumps(index))


def test_a_folder_is_listed_loaded_and_compared(folder, settings):
    spec = bring(str(folder), settings)
    assert (spec.id, spec.steps, spec.guidance_scale) == ("folder:tiny-sdxl", 50, 5.0)
    # Its UNet says that it was made for latents of 4 × 4.
    assert (spec.task, spec.size) == ("text-to-image", 32)
    assert 0 < spec.footprint.transformer < 0.01
    assert bring(str(folder), settings) is spec
    request = make_request(spec.id, "a red cube", steps=4, compute=2, seed=1)
    report = run(load_model(spec.id, settings), request)
    assert report.arms[1].full_steps == 2
    assert report.arms[0].image.size == (32, 32)


def test_the_command_line_takes_a_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    monkeypatch.setenv("TRACACHE_MODELS", "")
    argv = ["compare", "--prompt", "a red cube", "--steps", "2", "--compute", "1"]
    assert main([*argv, "--model", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert "counted once it runs, not before" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.png"))) >= 2
    assert main([*argv, "--model", "hub:no such", "--output", str(tmp_path / "no")]) == 2
    assert "names no repository of the Hub: write hub:owner/name" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_host_lists_more(folder, settings, tmp_path):
    environment = {"TRACACHE_MODELS": f"{folder}, {tmp_path}, somebody/else"}
    there = Settings.from_environment(environment)
    assert (there.models, there.brought) == (tmp_path, (str(folder), "hub:somebody/else"))
    there = replace(there, device="cpu")
    ids = [spec.id for spec in offered(there)]
    assert ids[-2:] == ["folder:tiny-sdxl", "hub:somebody/else"]
    assert why_unavailable("folder:tiny-sdxl", there) == ""
    # Tests run with the Hub switched off.
    assert "somebody/else" in why_unavailable("hub:somebody/else", there)
    with pytest.raises(ValueError, match="names two folders of models"):
        Settings.from_environment({"TRACACHE_MODELS": f"{tmp_path},/nowhere"})
    assert Settings.from_environment({"TRACACHE_MODELS": "/nowhere"}).models == Path("/nowhere")


def test_a_visitor_brings_nothing(folder, settings):
    for name in (str(folder), "hub:somebody/else", "folder:tiny-sdxl"):
        with pytest.raises(ValueError, match="unknown model"):
            make_request(name, "a red cube")
        with pytest.raises(ValueError, match="unknown model"):
            require_offered(name, settings)
    # A host that offers some models alone offers no others that are listed.
    bring(str(folder), settings)
    with pytest.raises(ValueError, match="not offered here"):
        require_offered("folder:tiny-sdxl", replace(settings, offered=("scenes-t2i",)))


@pytest.mark.parametrize(
    "entries, words",
    [
        ({"_class_name": ["pipeline", "Mine"]}, "comes with code of its own"),
        ({"_class_name": "MinePipeline"}, "which this version of diffusers does not have"),
        ({"_class_name": "Mine"}, "which this version of diffusers does not have"),
        (
            {"unet": ["mine", "UNet"]},
            "code of its own for its unet (mine.UNet), which is never run",
        ),
        ({"unet": ["diffusers", "UNetOfMine"]}, "(diffusers.UNetOfMine), which is never run"),
        ({"_class_name": "StableDiffusionXLInpaintPipeline"}, "begins with its image"),
        ({"_class_name": "DiTPipeline"}, "takes no prompt"),
    ],
)
def test_what_is_refused(folder, settings, tmp_path, entries, words):
    trace = tmp_path / "ran"
    for name in ("pipeline.py", "mine.py", "unet/mine.py"):
        (folder / name).write_text(f"open({str(trace)!r}, 'w').close()\n")
    change(folder, **entries)
    with pytest.raises(RefusedError) as error:
        bring(str(folder), settings)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not trace.exists()
    bring_all(replace(settings, brought=(str(folder),)))
    assert words in why_unavailable("folder:tiny-sdxl", settings)


@pytest.mark.parametrize("kind", ["custom", "none", "large", "pickled"])
def test_each_refusal_on_the_command_line_and_on_the_page(
    folder, settings, tmp_path, monkeypatch, capsys, kind
):
    """A sentence before any work: from ``--model`` and from ``TRACACHE_MODELS``."""
    words = {
        "custom": "code of its own for its unet (mine.UNet), which is never run",
        "none": "is no pipeline of diffusers: it has no model_index.json",
        "large": "does not fit: its transformer and VAE needs",
        "pickled": "has no weights in safetensors",
    }[kind]
    if kind == "custom":
        change(folder, unet=["mine", "UNet"])
    if kind == "none":
        (folder / "model_index.json").unlink()
        (folder / "model_index.txt").write_text("not it")
    if kind == "large":
        with (folder / "unet" / "more.safetensors").open("wb") as handle:
            handle.truncate(400 * 10**9)
    if kind == "pickled":
        for file in folder.rglob("*.safetensors"):
            file.rename(file.with_suffix(".bin"))
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    argv = ["compare", "--prompt", "a red cube", "--output", str(tmp_path / "out")]
    assert main([*argv, "--model", str(folder)]) == 2
    said = capsys.readouterr().err
    assert words in said
    # Beside what libraries say when they are imported, one line.
    assert said.splitlines()[-1].startswith("tracache: ")
    assert not list(tmp_path.glob("out/*"))
    for name in [name for name in MODELS if name.startswith("folder:")]:
        del MODELS[name]
    bring_all(replace(settings, brought=(str(folder),)))
    assert words in why_unavailable("folder:tiny-sdxl", settings)
    assert "folder:tiny-sdxl" in [spec.id for spec in offered(settings)]


def test_offline_on_the_command_line(tmp_path, monkeypatch, capsys):
    """Tests run with the Hub switched off."""
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    argv = ["compare", "--prompt", "a red cube", "--output", str(tmp_path / "out")]
    assert main([*argv, "--model", "hub:somebody/else"]) == 2
    assert (
        "somebody/else is not downloaded and the Hub cannot be reached" in capsys.readouterr().err
    )
    assert main([*argv, "--model", "sdxl"]) == 2
    assert "tracache: Stable Diffusion XL" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


def test_what_is_no_pipeline(folder, settings, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="no pipeline of diffusers: it has no model_index"):
        bring(str(tmp_path / "empty"), settings)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(RefusedError, match="incomplete or damaged"):
        bring(str(folder), settings)
    (folder / "model_index.json").write_text("[]")
    with pytest.raises(RefusedError, match="is no configuration"):
        bring(str(folder), settings)


def test_weights_that_may_hold_code(folder, settings):
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(RefusedError, match="no weights in safetensors"):
        bring(str(folder), settings)


def test_what_is_too_large(folder, settings):
    file = folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors"
    with file.open("wb") as handle:
        handle.truncate(400 * 10**9)
    spec = bring(str(folder), settings)
    assert spec.footprint.transformer == pytest.approx(200, rel=0.01)
    assert "does not fit: its transformer and VAE needs" in why_unavailable(spec.id, settings)


INDEX = {
    "_class_name": "FluxPipeline",
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
}
FILES = {"model_index.json": INDEX, "transformer/config.json": {"num_layers": 19}}
SIZES = {
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": 23_800_000_000,
    "transformer/diffusion_pytorch_model.fp16.safetensors": 9,
    "text_encoder/model.safetensors": 10_000_000_000,
    "vae/diffusion_pytorch_model.safetensors": 168_000_000,
    "flux1-dev.safetensors": 23_800_000_000,
}


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, and a few that answer as the Hub does."""

    def do_GET(self):
        path = self.path.split("?")[0]
        status, code, body = 404, "RepoNotFound", b""
        if "gated/model" in path:
            status, code = 403, "GatedRepo"
        elif "good/api" in path or path == "/api/models/good/model":
            siblings = [{"rfilename": name, "size": size} for name, size in SIZES.items()]
            status, code = 200, ""
            body = json.dumps({"id": "good/model", "siblings": siblings}).encode()
        elif "/resolve/main/" in path:
            repo, name = path[1:].split("/resolve/main/")
            status, code = 404, "EntryNotFound"
            if repo == "good/model" and name in FILES:
                status, code, body = 200, "", json.dumps(FILES[name]).encode()
            if repo == "custom/model" and name == "model_index.json":
                index = {**INDEX, "transformer": ["mine", "Mine"]}
                status, code, body = 200, "", json.dumps(index).encode()
            if repo == "gone/model":
                code = "RepoNotFound"
        self.server.asked.append(path)
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{len(body)}-{abs(hash(path))}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


SCRIPT = """
import json, sys
from dataclasses import asdict
from tracache.models.bring import bring
from tracache.settings import Settings

found, settings = {}, Settings.from_environment()
for name in sys.argv[1:]:
    try:
        spec = bring(name, settings)
        found[name] = {**asdict(spec.footprint), "size": spec.size, "task": spec.task}
    except ValueError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def ask(names, tmp_path, endpoint):
    """Bring repositories along in a process of its own, with an empty cache."""
    kept = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        env={**kept, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT), **endpoint},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_repositories_of_the_hub(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = [f"hub:{owner}/model" for owner in ("good", "custom", "gated", "gone", "bare")]
    endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    found = ask(names, tmp_path, endpoint)
    server.shutdown()
    server.server_close()
    good = found["hub:good/model"]
    assert (good["size"], good["task"]) == (1024, "text-to-image")
    assert good["transformer"] == pytest.approx(11.9)
    assert good["text_encoder"] == pytest.approx(5.0)
    assert good["download_gb"] == pytest.approx(33.968)
    assert "code of its own for its transformer" in found["hub:custom/model"]
    assert "access to gated/model is restricted; accept its terms" in found["hub:gated/model"]
    assert "the Hub has no repository gone/model" in found["hub:gone/model"]
    assert "bare/model is no pipeline of diffusers" in found["hub:bare/model"]
    # Nothing but small files was asked for.
    assert not [path for path in server.asked if path.endswith(".safetensors")]


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(tmp_path):
    found = ask(["hub:good/model"], tmp_path, {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "is not downloaded and the Hub cannot be reached" in found["hub:good/model"]
