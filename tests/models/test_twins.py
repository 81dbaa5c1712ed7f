"""FLUX, SD3, Qwen-Image, Z-Image, Wan, LTX and SDXL, tiny, by every road but the browser's."""

import io
import json
import urllib.request

import pytest
from gradio_client import Client
from PIL import Image

from tests.models.twins import TWINS, write_twins
from tracache.cli.main import main
from tracache.models.registry import MODELS

pytestmark = pytest.mark.parametrize("model_id", TWINS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        for model_id, spec in write_twins(root).items():
            patch.setitem(MODELS, model_id, spec)
        patch.setenv("TRACACHE_MODELS", str(root))
        patch.setenv("TRACACHE_DEVICE", "cpu")
        yield root


def test_the_command_line(model_id, folder, tmp_path, capsys):
    argv = ["compare", "--model", model_id, "--prompt", "a red cube", "--steps", "4"]
    argv += ["--compute", "2", "--arms", "tracache", "fewer-steps"]
    figures, out = tmp_path / "figures.json", tmp_path / "out"
    assert main([*argv, "--json", str(figures), "--output", str(out)]) == 0
    arms = json.loads(figures.read_text())["arms"]
    assert [arm["full_steps"] for arm in arms] == [4, 2, 2]
    kind = "mp4" if MODELS[model_id].makes_video else "png"
    for arm in ("full", "tracache", "fewer-steps"):
        assert (out / f"{arm}.{kind}").stat().st_size > 100
    assert main([*argv, "--plan"]) == 0
    plan = capsys.readouterr().out
    assert "2 of 4 steps compute" in plan


@pytest.mark.slow
def test_the_endpoint(model_id, twins):
    client = Client(twins, verbose=False)
    there = {entry["model"]: entry for entry in client.predict(api_name="/list_models")}
    assert there[model_id]["unavailable"] == ""
    negative = "a blue cone" if MODELS[model_id].takes_negative else ""
    given = {
        "negative_prompt": negative,
        "model": model_id,
        "prompt": "a red cube",
        "seed": 3,
        "steps": 4,
        "compute": 2,
    }
    cost = client.predict(**given, api_name="/estimate")["arms"]
    answer = client.predict(**given, api_name="/compare")
    assert ("negative_prompt=a+blue+cone" in answer["link"]) == bool(negative)
    full, fast = answer["report"]["arms"]
    assert (full["full_steps"], fast["full_steps"]) == (4, 2)
    assert cost[1]["computed"] == len(cost[1]["plan"]) == 2
    with urllib.request.urlopen(f"{twins}{answer['files']['tracache']}") as made:
        data = made.read()
    if MODELS[model_id].makes_video:
        assert data[4:8] == b"ftyp"
    else:
        assert Image.open(io.BytesIO(data)).size == (32, 32)
