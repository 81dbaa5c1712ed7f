"""Leagues of today's models, on tiny pipelines of the very classes, by the whole command."""

import json

import pytest
from PIL import Image

from tests.models.stock import write_stock
from tests.models.twins import TWINS, entry
from tracache.cli.main import main
from tracache.experiments.records import Records
from tracache.models.registry import MODELS

PROMPTS = [
    "a red cube on grass",
    "a blue cone on snow",
    "two dogs / one cat",
    "a very long road",
]
COMMON = ["--steps", "6", "--compute", "3", "--tuning", "1", "--pictures", "2"]
COMMON += ["--arms", "easy", "spectrum", "--ways", "tracache, data"]


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """Lists a tiny twin of a model in its place."""

    def list_it(model_id):
        write_stock(tmp_path / "models", TWINS[model_id][0], MODELS[model_id].source)
        monkeypatch.setitem(MODELS, model_id, entry(model_id))
        return model_id

    monkeypatch.setenv("TRACACHE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    return list_it


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "mine.tsv"
    file.write_text("Category\tPrompt\n" + "".join(f"x\t{prompt}\n" for prompt in PROMPTS))
    return str(file)


@pytest.mark.parametrize("model_id", ["flux.1-dev", "qwen-image", "wan-2.1-1.3b"])
def test_the_whole_command(twin, prompts, tmp_path, capsys, model_id):
    out, file = tmp_path / "out", tmp_path / "league.json"
    argv = ["league", twin(model_id), "--prompts", prompts, *COMMON]
    argv += ["--count", "2", "--output", str(out), "--json", str(file)]
    assert main(argv) == 0
    figures = json.loads(file.read_text())
    one = figures["models"][0]
    # A large model runs one prompt at a time.
    assert (figures["batch"], figures["count"], one["prompts"]) == (1, 2, 2)
    assert figures["prompt_set"].startswith(prompts)
    rows = {row["entrant"]: row for row in one["rows"]}
    assert {"tracache", "fewer-steps", "spectrum", "tracache, data"} <= set(rows)
    assert all(2 < row["computed"] <= 3 * 1.02 for row in rows.values())
    assert {"easy"} - set(rows) == {away["entrant"] for away in one["out"]}
    assert set(one["subjects"]) < set(PROMPTS)
    with Image.open(tmp_path / one["sheets"]["6"]["file"]) as sheet:
        assert sheet.size == (2 * 64, 64 * (1 + len(rows)))
    # Settings are found on another prompt than those reported on.
    folder = out / model_id
    about = json.loads((folder / "subjects.json").read_text())
    assert about["subjects"] == one["subjects"]
    made = [r for r in Records(folder).read() if "image" in r]
    assert len(made) == 2 * (1 + len(rows) + ("easy" not in rows and 0))
    told = capsys.readouterr().out
    clips = sorted(path.name for path in (folder / "videos" / "6-full").glob("*.mp4"))
    if MODELS[model_id].makes_video:
        assert clips == sorted(f"{s.replace('/', ' ')}-0.mp4" for s in one["subjects"])
        said = json.loads((folder / "videos" / "prompts.json").read_text())
        assert [said[name] for name in clips] == sorted(one["subjects"])
        assert "vbench evaluate --mode custom_input" in told
    else:
        assert clips == []
    records = (folder / "records-0.jsonl").read_text()
    assert main(argv) == 0
    assert (folder / "records-0.jsonl").read_text() == records
    assert json.loads(file.read_text()) == figures
