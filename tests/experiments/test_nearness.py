"""The table of every way of saving steps: same budgets, resumable, sums that are right."""

import json

import pytest

from tracache.caching.calibration import Calibration, Occasion
from tracache.cli.main import main
from tracache.experiments.nearness import FEWER, summarise, ways_of
from tracache.experiments.records import Records
from tracache.experiments.ways import BEST
from tracache.models import schedulers
from tracache.models.schedulers import SCHEDULERS, make_scheduler, spacings_of

BENCH = ["bench", "--nearness", "--steps", "6", "--count", "2", "--batch", "2"]


def test_every_way_computes_as_much_and_a_second_run_does_nothing_again(tmp_path, capsys):
    argv = [*BENCH, "--budgets", "3", "--output", str(tmp_path), "--json", str(tmp_path / "a.json")]
    assert main(argv) == 0
    found = Records(tmp_path).read()
    ways = {record["way"] for record in found}
    assert ways == set(ways_of("dpm-solver++"))
    assert all(len(record["steps"]) == 3 for record in found)
    planned = {r["index"]: r["steps"] for r in found if r["way"] == "published, planned steps"}
    assert planned == {r["index"]: r["steps"] for r in found if r["way"] == "tracache"}
    lines = (tmp_path / "records-0.jsonl").read_text()
    assert main(argv) == 0
    assert (tmp_path / "records-0.jsonl").read_text() == lines
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    shares = {row["way"]: row["share"] for row in rows}
    assert shares[FEWER] == 1.0
    assert min(row["share_of_best"] for row in rows if row["way"].startswith(FEWER)) == 1.0


def test_calibrated_plans_are_ways_too(tmp_path, capsys):
    made = Occasion("scenes-t2i", "", "dpm-solver++", 6, 2.5)
    file, records = tmp_path / "lemica.json", tmp_path / "records"
    values = {"plans": {"3": [0, 1, 4]}}
    file.write_text(json.dumps(Calibration("lemica", made, 1, values).to_dict()))
    argv = [*BENCH, "--plans", str(file), "--ways", "tracache, lemica", BEST]
    assert main([*argv, "--budgets", "3", "--output", str(records)]) == 0
    found = Records(records).read()
    steps = {r["way"]: r["steps"] for r in found}
    # The search begins with them.
    errors = {(r["way"], r["index"]): r["error"] for r in found}
    for index in (0, 1):
        assert errors[BEST, index] <= errors["tracache, lemica", index] * 1.001
    assert steps["tracache, lemica"] == [0, 1, 4]
    assert len(steps["tracache"]) == 3
    # Another file is another plan, and measured anew.
    other = file.read_text().replace("1, 4]", "1, 5]")
    file.write_text(other)
    assert main([*argv, "--budgets", "3", "--output", str(records)]) == 0
    steps = {r["way"]: r["steps"] for r in Records(records).read()}
    assert steps["tracache, lemica"] == [0, 1, 5]
    capsys.readouterr()
    for more, told in (
        (["--budgets", "4"], "no calibrated plan of 4 computed steps, only of 3"),
        (["--budgets", "3", "--steps", "7"], "are for 6 steps of dpm-solver++ at guidance 2.5"),
        (["--plans", str(file), str(file), "--budgets", "3"], "two files of plans of LeMiCa"),
        (["--plans", str(records / "run.json")], "is no file that python -m tracache calibrate"),
    ):
        assert main([*argv, *more]) == 2
        assert told in capsys.readouterr().err


def test_other_schedulers_and_guidances_are_measured_in_one_table(tmp_path, capsys):
    argv = [*BENCH, "--budgets", "3", "--ways", FEWER, "--json", str(tmp_path / "a.json")]
    assert main([*argv, "--schedulers", "unipc", "euler", "--guidances", "1", "5"]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert {(row["circumstances"], row["way"]) for row in rows} == {
        (f"{scheduler}, 6 steps, guidance {scale}", way)
        for scheduler in ("unipc", "euler")
        for scale in (1, 5)
        # Naming fewer steps leaves out their other spacings.
        for way in (FEWER, "tracache")
    }
    assert len({row["error"] for row in rows}) == len(rows)
    capsys.readouterr()
    for more, told in (
        (["--schedulers", "rflow"], "schedulers: 'rflow' is not one of dpm-solver++, ddim"),
        (["--guidances", "-1"], "guidance_scale"),
    ):
        assert main([*argv, *more]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.slow
def test_arms_that_choose_their_own_budget_are_met_at_their_cost(tmp_path):
    argv = [*BENCH, "--own-budget", "--json", str(tmp_path / "a.json")]
    assert main(argv) == 0
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert {"teacache", "pab", "toca"} <= {row["arm"] for row in rows}
    assert all(row["prompts"] == 2 for row in rows)


def test_sums_are_of_the_same_prompts():
    def record(way, index, error):
        about = {"circumstances": "c", "budget": 4}
        return {"setting": way, "index": index, "way": way, "error": error, **about}

    found = [record(FEWER, 0, 0.2), record(FEWER, 1, 0.4), record(f"{FEWER}, beta", 0, 0.1)]
    found += [
        record(f"{FEWER}, beta", 1, 0.2),
        record("tracache", 0, 0.3),
        record("tracache", 1, 0),
    ]
    row = next(row for row in summarise(found) if row.way == "tracache")
    assert (row.error, row.share, row.share_of_best, row.nearer) == pytest.approx(
        (0.15, 0.5, 1.0, 0.5)
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--ways", "magic"], "unknown way 'magic'; choose from fewer steps"),
        (["--budgets", "9"], "budgets must be a whole number from 1 to 6"),
        (["--batch", "65"], "batch must be a whole number from 1 to 64"),
    ],
)
def test_refused_before_any_work(more, told, capsys):
    assert main([*BENCH, *more]) == 2
    assert told in capsys.readouterr().err


def test_spacings_are_the_schedulers_own():
    assert "karras" in spacings_of("dpm-solver++")
    config = {"num_train_timesteps": 1000, "_class_name": "DDIMScheduler"}
    for name in SCHEDULERS:
        plain = make_scheduler(name, config)
        plain.set_timesteps(6)
        for spacing in spacings_of(name):
            spaced = make_scheduler(f"{name}/{spacing}", config)
            spaced.set_timesteps(6)
            assert spaced.timesteps.tolist() != plain.timesteps.tolist()


def test_a_spacing_that_needs_scipy_is_there_or_missed_aloud(monkeypatch, caplog):
    assert "beta" in spacings_of("dpm-solver++")
    monkeypatch.setattr(schedulers, "is_scipy_available", lambda: False)
    schedulers._has_beta.cache_clear()
    for _ in range(2):
        assert "beta" not in spacings_of("dpm-solver++")
    schedulers._has_beta.cache_clear()
    assert [record.message.count("tracache[bench]") for record in caplog.records] == [1]
