"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import gradio
import pytest
import yaml

from tracache.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {
    "app.py",
    "tracache",
    "demo_assets",
    "tests",
    "requirements.txt",
    "README.md",
    "Dockerfile",
    "pyproject.toml",
    "LICENSE",
}


@pytest.fixture(scope="module")
def tracked():
    """Files that git tracks, or would if asked to add everything."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_file_is_too_big_for_a_space(tracked):
    sizes = {str(path): (ROOT / path).stat().st_size for path in tracked}
    assert {path: size for path, size in sizes.items() if size > 10_000_000} == {}


def test_the_top_level_holds_only_what_is_agreed(tracked):
    top = {path.parts[0] for path in tracked if not path.parts[0].startswith(".")}
    assert top - TOP_LEVEL == set()


def test_readme_front_matter_is_a_spaces():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.S).group(1))
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == gradio.__version__
    assert front["app_file"] == "app.py"
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60
    assert {"title", "emoji", "colorFrom", "colorTo", "python_version"} <= front.keys()
    # What the platform documents; anything else it would pass over in silence.
    documented = {
        *("title", "emoji", "colorFrom", "colorTo", "short_description", "license", "thumbnail"),
        *("tags", "sdk", "sdk_version", "python_version", "app_file", "models", "datasets"),
        *("preload_from_hub", "startup_duration_timeout", "suggested_hardware", "pinned"),
    }
    assert front.keys() <= documented
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    there = {source for spec in MODELS.values() if not spec.embedded for source in spec.sources}
    assert set(front["models"]) <= there


def test_the_readmes_scripts_run_as_pasted(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) == 2
    names: dict = {}
    exec("\n".join(blocks), names)
    assert names["image"].size == (128, 128)
    assert len(names["images"]) == 4
    assert names["trace"].computed.sum() == 8
    assert not names["handle"].attached


def modules(*patterns):
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


def imports(path):
    """Names of every module that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def roots(path):
    return {name.split(".")[0] for name in imports(path)}


def needs(path):
    """What a file imports: modules of the house by full name, others by their root."""
    return {name if name.startswith("tracache") else name.split(".")[0] for name in imports(path)}


def test_no_module_imports_in_a_circle():
    """Not even for a type checker."""
    names = {}
    for path in modules("tracache/**/*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names[name.removesuffix(".__init__")] = path
    graph = {name: (imports(path) & names.keys()) - {name} for name, path in names.items()}
    TopologicalSorter(graph).prepare()


def test_only_the_page_knows_gradio():
    outside = [p for p in modules("tracache/**/*.py") if "ui" not in p.parts]
    assert [p.name for p in outside if "gradio" in roots(p)] == []


def test_nothing_but_the_app_imports_the_page():
    outside = [p for p in modules("tracache/**/*.py") if "ui" not in p.parts]
    assert [p.name for p in outside if any(n.startswith("tracache.ui") for n in imports(p))] == []


def test_the_app_never_imports_the_recipe():
    outside = [p for p in modules("tracache/**/*.py", "app.py") if "training" not in p.parts]
    recipe = "tracache.training"
    assert [p.name for p in outside if any(n.startswith(recipe) for n in imports(p))] == []


@pytest.mark.parametrize(
    "module, allowed",
    [
        ("trajectory", {"torch", "tracache.caching.rules"}),
        ("rules", set()),
        ("steps", set()),
        ("config", {"tracache.caching.steps", "tracache.caching.declare"}),
        ("checks", set()),
        ("declare", {"tracache.caching.checks"}),
        ("trace", {"numpy"}),
        ("clock", {"torch", "tracache.caching.evidence"}),
        ("evidence", {"torch"}),
    ],
)
def test_the_maths_stands_alone(module, allowed):
    standard = {"__future__", "collections", "dataclasses", "math", "typing"}
    assert needs(ROOT / f"tracache/caching/{module}.py") - standard - allowed == set()


def test_the_project_speaks_of_itself_alone(tracked):
    """No path of whoever's machine it was written on."""
    pattern = re.compile(r"/(?:home/(?!user/)|Users/|work/|root/)\w")
    found = []
    for path in tracked:
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".yml"}
            and path.name != __name__
        ):
            text = (ROOT / path).read_text(encoding="utf-8")
            found += (
                [str(path)] if pattern.search(text) and path.name != Path(__file__).name else []
            )
    assert found == []
