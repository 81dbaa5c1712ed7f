"""Figures of older weights are found, made again by their own commands, and compared."""

import json
import shutil

import pytest

from tracache.cli.main import main
from tracache.experiments.refresh import arguments_of, find_figures, moved
from tracache.models.sources import weights_digest
from tracache.settings import Settings, assets_folder

COMMAND = (
    "python -m tracache bench --nearness --steps 3 --budgets 2 --count 1 --batch 1 --ways tracache"
)
CLASSIFIER = assets_folder() / "scenes-classifier"
DIGEST = weights_digest(assets_folder() / "scenes-t2i")


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """Assets with one file of figures of our own, of weights that are gone."""
    for name in ("scenes-t2i", "prompts"):
        (tmp_path / name).symlink_to(assets_folder() / name)
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setenv("TRACACHE_ASSETS", str(tmp_path))
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    return tmp_path


def write(assets, name="small", **data):
    file = assets / "benchmarks" / f"{name}.json"
    file.write_text(json.dumps(data))
    return file


def test_committed_figures_are_of_the_committed_weights():
    """Or one would read of another model than one sees: python -m tracache refresh makes them."""
    found = find_figures(assets_folder() / "benchmarks", Settings.from_environment())
    assert len(found) >= 18
    assert [f.file.name for f in found if not f.is_fresh] == []


def test_what_is_stale_is_made_again_once_and_compared(assets, capfd):
    file = write(assets, command=COMMAND, weights="gone", prompts=7, rows=[{"lost": 1.5}])
    other = write(assets, "other", command=COMMAND, weights=DIGEST, rows=[])
    untouched = other.read_text()
    work = assets / "work"
    assert main(["refresh", "--work", str(work)]) == 0
    made = json.loads(file.read_text())
    assert (made["weights"], made["command"], made["prompts"]) == (DIGEST, COMMAND, 1)
    assert made["rows"][0]["computed"] == 2
    out = capfd.readouterr().out
    assert "small: of older weights" in out
    assert "prompts: 7 → 1" in out
    assert "small.json: 1 of its numbers are gone, the first rows[0].lost" in out
    assert other.read_text() == untouched
    # A second time there is nothing left to do, and what was made is not made again.
    before = file.stat().st_mtime_ns
    assert main(["refresh", "--work", str(work)]) == 0
    assert "0 of 2 to make again" in capfd.readouterr().out
    assert file.stat().st_mtime_ns == before
    shutil.copy(other, file)
    assert (work / DIGEST[:12] / "small.json").is_file()


def test_a_command_that_fails_leaves_the_figures_and_the_rest_goes_on(assets, capfd):
    bad = write(assets, "bad", command="python -m tracache bench --nearness --steps 0", rows=[1])
    before = bad.read_text()
    assert main(["refresh", "--work", str(assets / "work")]) == 0
    assert "bad.json: the command ended with 2; left as it is" in capfd.readouterr().out
    assert bad.read_text() == before


def test_bad_input_is_said_before_any_work(assets, capfd):
    assert main(["refresh", "--only", "none"]) == 2
    assert "there are no figures none" in capfd.readouterr().err
    write(assets, "broken")
    (assets / "benchmarks" / "broken.json").write_text("{")
    assert main(["refresh", "--list"]) == 2
    assert "broken.json is no JSON" in capfd.readouterr().err


def test_figures_and_records_go_where_they_are_told(tmp_path):
    made, records = tmp_path / "made.json", tmp_path / "records"
    ends = ["--json", str(made), "--output", str(records)]
    assert arguments_of("python -m tracache sweep --strides 2 --json FILE", made, records) == [
        *("sweep", "--strides", "2"),
        *ends,
    ]
    assert arguments_of("python -m tracache league a --json FILE", made, records) == [
        *("league", "a"),
        *ends,
    ]
    assert arguments_of("python -m tracache bench --quality", made, records) == [
        *("bench", "--quality"),
        *ends[:2],
    ]


def test_what_moved_is_told_farthest_first_without_the_clock():
    old = {"rows": [{"error": 0.1, "psnr": 40.0, "denoising_s": 1.0}], "seed": 3, "gone": 1}
    new = {"rows": [{"error": 0.3, "psnr": 20.0, "denoising_s": 9.0}, {"error": 1}], "seed": 3}
    found = [(m.where, round(m.factor, 3)) for m in moved(old, new)]
    assert found == [("rows[0].error", 3.0), ("rows[0].psnr", 2.0)]


@pytest.mark.slow
def test_a_league_is_made_again_with_its_pictures(assets, capfd):
    command = (
        "python -m tracache league scenes-t2i --steps 3 --compute 2 --arms reuse --ways "
        "'tracache, line' --count 2 --batch 2 --tuning 1 --pictures 1 --json FILE"
    )
    (assets / "scenes-classifier").symlink_to(CLASSIFIER)
    file = write(assets, "league-small", command=command, weights="gone", models=[])
    assert main(["refresh", "--work", str(assets / "work")]) == 0
    made = json.loads(file.read_text())
    assert (made["weights"], made["command"]) == (DIGEST, command)
    sheet = made["models"][0]["sheets"]["3"]["file"]
    assert (file.parent / sheet).is_file()
