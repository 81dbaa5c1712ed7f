"""The built wheel: the library with its core alone, and the demo without the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

#: What the demo needs and the library must not: none may be there in the bare environment.
DEMO = {
    canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["demo"]
}

LIBRARY = """
import json, sys
import torch
from diffusers import PixArtTransformer2DModel

import tracache
from tracache.methods import ToCaConfig

torch.manual_seed(0)
model = PixArtTransformer2DModel(
    num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=3,
    cross_attention_dim=16, caption_channels=12, sample_size=8, use_additional_conditions=False,
).eval()
inputs = {"encoder_hidden_states": torch.randn(1, 5, 12)}
found = {}
for config in (tracache.TraCacheConfig(stride=3), ToCaConfig()):
    handle = tracache.attach(model, config)
    with torch.no_grad():
        for t in range(999, 0, -100):
            model(torch.randn(1, 4, 8, 8), timestep=torch.tensor([t]), **inputs)
    found[type(config).__name__] = handle.trace.computed.tolist()
    handle.detach()
found["modules"] = sorted(name for name in sys.modules if name.startswith("tracache."))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that nothing built before can slip in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "tracache", source / "tracache", ignore=shutil.ignore_patterns("__pycache__")
    )
    build = f"from setuptools import build_meta as b; b.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder that holds the wheel's package, and nothing else of the repository."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def bare(installed, tmp_path_factory):
    """A fresh environment with the wheel and what it says that it needs, and only that.

    The packages are those of the environment that runs the tests, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for entry in installed.iterdir():
        (site / entry.name).symlink_to(entry)
    for name in needed(PROJECT["dependencies"]):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(distribution(name).locate_file(top))
    return folder / "bin" / "python"


def needed(lines):
    """Names of the distributions that requirements ask for, with all that those need."""
    names, waiting = {}, [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), requirement.extras or {""}
        extras = extras - names.get(name, set())
        if not extras:
            continue
        names[name] = names.get(name, set()) | extras
        try:
            further = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:
            # A stricter pin of a needless one, such as a CUDA library beside a CPU build.
            names.pop(name)
            continue
        waiting += [
            r
            for r in further
            if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return names


def run(python, *arguments, cwd, **environment):
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [str(python), *map(str, arguments)],
        cwd=cwd,
        env={**keep, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demos_list_is_that_of_the_package():
    lines = (ROOT / "requirements.txt").read_text("utf-8").split("\n")[:-1]
    demo = PROJECT["optional-dependencies"]["demo"]
    assert sorted(lines) == sorted([*PROJECT["dependencies"], *demo])


@pytest.mark.slow
def test_the_library_needs_its_core_alone(bare, tmp_path):
    there = set(needed(PROJECT["dependencies"]))
    absent = DEMO - there
    assert {"gradio", "plotly", "transformers", "torchmetrics", "imageio"} <= absent
    done = run(bare, "-c", LIBRARY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["TraCacheConfig"] == [i % 3 == 0 for i in range(10)]
    assert found["ToCaConfig"][0]
    rooms = {name.split(".")[1] for name in found["modules"]}
    assert rooms == {"caching", "methods", "version"}


@pytest.mark.slow
def test_the_command_line_says_what_it_needs(bare, tmp_path):
    done = run(bare, "-m", "tracache", "compare", "--help", cwd=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(
        r"tracache: the command line needs \w+, which is not installed: "
        r"pip install 'tracache\[demo\]'\n",
        done.stderr,
    )


def test_the_wheel_holds_the_manual_and_its_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "tracache/py.typed" in names
    assert {f"tracache/docs/{p.name}" for p in (ROOT / "tracache/docs").glob("*.md")} <= {*names}
    assert not [name for name in names if name.startswith(("demo_assets", "tests"))]


@pytest.mark.slow
def test_without_assets_the_embedded_models_say_where_they_are(installed, tmp_path):
    arguments = ("-m", "tracache", "compare", "--prompt", "a red cube", "--output", "out")
    done = run(sys.executable, *arguments, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 2
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("tracache: Scenes (embedded, text to image) comes with a clone of")
    assert said.endswith("clone it, and set TRACACHE_ASSETS to its demo_assets")
    nowhere = run(
        sys.executable,
        *arguments,
        cwd=tmp_path,
        PYTHONPATH=str(installed),
        TRACACHE_ASSETS=str(tmp_path / "nowhere"),
    )
    assert "TRACACHE_ASSETS must be a folder" in nowhere.stderr


@pytest.mark.slow
def test_without_assets_a_model_of_the_hub_runs(installed, tmp_path):
    from tests.models.hub import write_model

    write_model(tmp_path / "models", "pixart-256")
    arguments = ("-m", "tracache", "compare", "--model", "pixart-256", "--prompt", "a cat")
    there = {"PYTHONPATH": str(installed), "TRACACHE_DEVICE": "cpu"}
    done = run(sys.executable, *arguments, "--output", "a", cwd=tmp_path, **there)
    assert done.returncode == 2
    assert "PixArt-alpha/PixArt-XL-2-256x256 is not downloaded" in done.stderr
    done = run(
        sys.executable,
        *(*arguments, "--steps", 4, "--output", "out"),
        cwd=tmp_path,
        TRACACHE_MODELS=str(tmp_path / "models"),
        **there,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["arms"]


@pytest.mark.slow
def test_without_assets_the_page_is_there(installed, tmp_path):
    script = """
from tracache.models.registry import MODELS
from tracache.serving.backend import Here
from tracache.settings import Settings
from tracache.ui.page import build_page
import tracache

settings = Settings.from_environment()
backend = Here(settings, "scenes-t2i")
build_page(settings, backend)
assert all(spec.presets == {} for spec in MODELS.values())
print(tracache.__file__, backend.why_unavailable("scenes-class"))
"""
    done = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    file, said = done.stdout.strip().split(" ", 1)
    assert Path(file).is_relative_to(installed)
    assert "set TRACACHE_ASSETS to its demo_assets" in said
