"""Leagues of today's models, on tiny pipelines of the very classes, by the whole command."""

import json

import pytest
from PIL import Image

from tests.models.stock import write_stock
from tests.models.twins import TWINS, entry
from tests.parts import write_clip
from tracache.cli.main import main
from tracache.experiments.records import Records
from tracache.models.registry import MODELS

PROMPTS = ["a red cube on grass", "a blue cone on snow", "two dogs / one cat", "a long road"]
COMMON = ["--steps", "6", "--compute", "3", "--count", "2", "--tuning", "1", "--pictures", "2"]
CLIP = "CLIP score (tiny-clip)"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


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


@pytest.fixture
def play(prompts, tmp_path):
    """Runs a league of a model, and returns its figures."""

    def run(model_id, *more):
        file = tmp_path / "league.json"
        argv = ["league", model_id, "--prompts", prompts, *COMMON, *more]
        assert main([*argv, "--output", str(tmp_path / "out"), "--json", str(file)]) == 0
        return json.loads(file.read_text())

    return run


@pytest.mark.parametrize("model_id", ["flux.1-dev", "qwen-image", "wan-2.1-1.3b"])
def test_the_whole_command(twin, play, clip, tmp_path, capsys, model_id):
    arms = ["--arms", "easy", "dmd", "reuse", "--ways", "fewer steps"]
    figures = play(twin(model_id), *arms, "--measures", f"clip={clip}")
    one = figures["models"][0]
    # A large model runs one prompt at a time.
    assert (figures["batch"], figures["count"], one["prompts"]) == (1, 2, 2)
    assert "mine.tsv, " in figures["prompt_set"]
    rows = {row["entrant"]: row for row in one["rows"]}
    assert {"tracache", "fewer-steps", "dmd", "reuse"} <= set(rows)
    assert all(2 < row["computed"] <= 3 * 1.02 for row in rows.values())
    assert {"easy"} - set(rows) == {away["entrant"] for away in one["out"]}
    for row in rows.values():
        assert 0 <= row["more"][CLIP] <= 100
    assert 0 <= one["full"]["6"][CLIP] <= 100
    assert set(one["subjects"]) < set(PROMPTS)
    with Image.open(tmp_path / one["sheets"]["6"]["file"]) as sheet:
        assert sheet.size == (2 * 64, 64 * (1 + len(rows)))
    folder = tmp_path / "out" / model_id
    about = json.loads((folder / "subjects.json").read_text())
    assert about["subjects"] == one["subjects"]
    told = capsys.readouterr().out
    assert "| Full compute" in told
    clips = sorted(path.name for path in (folder / "videos" / "6-full").glob("*.mp4"))
    if MODELS[model_id].makes_video:
        assert about["frames"] == 9
        assert clips == sorted(f"{s.replace('/', ' ')}-0.mp4" for s in one["subjects"])
        said = json.loads((folder / "videos" / "prompts.json").read_text())
        assert [said[name].replace("/", " ") for name in clips] == [n[:-6] for n in clips]
        assert "vbench evaluate --mode custom_input" in told
    else:
        assert clips == []


def test_it_goes_on_and_measures_may_come_later(twin, play, clip, tmp_path):
    few = [twin("flux.1-dev"), "--arms", "reuse", "--ways", "fewer steps"]
    first = play(*few)
    records = tmp_path / "out" / "flux.1-dev" / "records-0.jsonl"
    before = records.read_text()
    # What was cut off is made again, and it alone.
    lines = before.splitlines(keepends=True)
    records.write_text("".join(lines[:-2]))
    assert play(*few) == first
    assert sorted(records.read_text().splitlines()) == sorted(before.splitlines())
    later = play(*few, "--measures", f"clip={clip}")["models"][0]
    added = records.read_text().splitlines()[len(lines) :]
    assert {json.loads(line)["setting"].partition(",")[0] for line in added} == {"score"}
    assert len(added) == 2 * (1 + len(later["rows"]))
    assert [r["error"] for r in later["rows"]] == [r["error"] for r in first["models"][0]["rows"]]


def test_all_prompts_are_reported_on_where_others_are_for_tuning(twin, prompts, tmp_path, capsys):
    (tmp_path / "others.txt").write_text("a red cube on grass\na green ring\n")
    argv = ["league", twin("flux.1-dev"), "--prompts", prompts, "--output", str(tmp_path / "out")]
    argv += ["--tuning-prompts", str(tmp_path / "others.txt"), "--arms", "reuse", "--ways"]
    argv += ["fewer steps", "--steps", "4", "--compute", "2", "--tuning", "1", "--pictures", "0"]
    assert main(argv) == 0
    folder = tmp_path / "out" / "flux.1-dev"
    assert json.loads((folder / "subjects.json").read_text())["subjects"] == PROMPTS
    assert {r["index"] for r in Records(folder).read() if "image" in r} == {0, 1, 2, 3}
    # Other prompts do not belong into the same folder.
    capsys.readouterr()
    (tmp_path / "others.txt").write_text("a green ring\na blue ring\n")
    assert main(argv) == 2
    assert "choose another folder, or ask for the same" in capsys.readouterr().err
    (tmp_path / "others.txt").write_text("a red cube on grass\n")
    assert main(argv) == 2
    assert "no prompt that is not among those reported on" in capsys.readouterr().err


def test_a_pipeline_of_ones_own(tmp_path, monkeypatch):
    """A folder, as compare and doctor take it."""
    folder = write_stock(tmp_path, "sdxl", "tiny-sdxl")
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 4}))
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    monkeypatch.setenv("TRACACHE_MODELS", "")
    argv = ["league", str(folder), "--steps", "4", "--compute", "2", "--tuning", "1", "--count"]
    argv += ["1", "--arms", "reuse", "--ways", "fewer steps", "--output", str(tmp_path / "out")]
    try:
        assert main([*argv, "--json", str(tmp_path / "league.json")]) == 0
    finally:
        MODELS.pop("folder:tiny-sdxl", None)
    assert (tmp_path / "out" / "folder-tiny-sdxl" / "run.json").is_file()
    sheets = json.loads((tmp_path / "league.json").read_text())["models"][0]["sheets"]
    assert (tmp_path / sheets["4"]["file"]).is_file()


@pytest.mark.parametrize(
    "more, told",
    [
        (["--measures", "beauty"], "unknown measure 'beauty'; choose from clip, imagereward"),
        (["--measures", "clip=/nowhere"], "the CLIP /nowhere cannot be loaded"),
        (["--measures", "imagereward"], "ImageReward cannot be imported here"),
        (["wan-2.1-1.3b", "--measures", "imagereward"], "imagereward is of images"),
        (["scenes-class", "--measures", "clip"], "--measures are of prompts"),
        (["--prompts", "/nowhere.txt"], "--prompts /nowhere.txt: there is no such file"),
        (["--ray", "ray://here:10001"], "run this on a machine of the cluster"),
    ],
)
def test_refused_before_any_work(more, told, tmp_path, capsys):
    models = [word for word in more if word in MODELS]
    rest = [word for word in more if word not in MODELS]
    argv = ["league", "flux.1-dev", *models, "--steps", "6", "--output", str(tmp_path / "out")]
    assert main([*argv, *rest]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
