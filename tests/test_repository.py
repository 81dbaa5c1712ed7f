"""The rules of the house that a machine can check."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import gradio
import pytest
import yaml

from tracache import methods
from tracache.caching.config import MethodConfig
from tracache.docs import PAGES, tables
from tracache.models.registry import MODELS
from tracache.ui.manual_page import page_text

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
    # The minor version that requirements.txt asks for; a Space may be a patch behind or ahead.
    assert front["sdk_version"].split(".")[:2] == gradio.__version__.split(".")[:2]
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


def python_of(file):
    """The Python that a page shows, as it would be pasted."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / file).read_text("utf-8"), re.S))


def test_the_readmes_script_runs_as_pasted(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(python_of("README.md"), names)
    assert names["image"].size == (128, 128)
    assert names["trace"].computed.sum() == 8


def test_the_manuals_scripts_run_as_pasted(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(python_of("tracache/docs/getting-started.md"), names)
    assert names["image"].size == (128, 128)
    assert len(names["images"]) == 4
    assert names["trace"].computed.sum() == 8
    assert not names["handle"].attached


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.split()) <= 1200


def test_every_link_between_the_pages_leads_somewhere():
    pages = [ROOT / "README.md", *(ROOT / ".github").glob("*.md")]
    for page in [*pages, *(ROOT / "tracache/docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert link.startswith("https:") or (page.parent / link).exists(), (page.name, link)


def test_the_manual_has_every_page():
    assert set(PAGES) == {page.name for page in (ROOT / "tracache/docs").glob("*.md")}
    for name in PAGES:
        shown = page_text(name)
        assert shown.startswith("# ")
        assert "](" not in re.sub(r"\]\(https:", "", shown)


def test_the_manuals_tables_are_those_of_the_declarations():
    page = tables.PAGE.read_text("utf-8")
    assert tables.fill(page) == page, "run python -m tracache.docs.tables"


def test_method_configurations_are_in_one_public_place():
    public = {getattr(methods, name) for name in methods.__all__}
    ours = {
        c for c in MethodConfig.__subclasses__() if c.__module__.startswith("tracache.caching.")
    }
    assert public == ours


def test_the_old_name_of_the_methods_works_and_warns():
    sys.modules.pop("tracache.policies", None)
    with pytest.warns(DeprecationWarning, match=r"tracache\.policies is now tracache\.methods"):
        from tracache.policies import ToCaConfig
    assert ToCaConfig is importlib.import_module("tracache.methods").ToCaConfig


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
