"""The search for the best plan, with full compute of the prompt at hand."""

import itertools
import json

import numpy as np
import pytest

from tracache.cli.main import main
from tracache.experiments.nearness import FEWER
from tracache.experiments.oracle import search
from tracache.experiments.records import Records
from tracache.experiments.tune import neighbours
from tracache.experiments.ways import BEST

STEPS = 9


def judging(seed, rough):
    """Errors of plans: of their gaps, and as much again at random. Notes what it is asked."""
    drawn = np.random.default_rng(seed)
    gaps = drawn.random((STEPS, STEPS + 1))
    chance = {}
    asked = []

    def judge(plan):
        asked.append(plan)
        over = sum(gaps[a][b] * (b - a) ** 2 for a, b in itertools.pairwise((*plan, STEPS)))
        return over + rough * chance.setdefault(plan, drawn.random())

    return judge, asked


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_no_move_of_one_step_betters_what_is_found(seed, width):
    judge, asked = judging(seed, rough=5.0)
    starts = [(0, 1, 2, 3), (0, 3, 6, 8)]
    found = search(judge, starts, STEPS, width)
    assert len(asked) == len(set(asked)) == found.tried
    errors = {plan: judge(plan) for plan in asked[: found.tried]}
    assert found.error == errors[found.plan] == min(errors.values())
    for moved in neighbours(found.plan, STEPS, STEPS):
        assert errors[moved] >= found.error


def test_a_wider_beam_finds_the_best_of_all_where_one_path_ends_before_it():
    every = [(0, *rest) for rest in itertools.combinations(range(1, STEPS), 3)]
    short = 0
    for seed in range(6):
        judge, _ = judging(seed, rough=0.0)
        best = min(map(judge, every))
        narrow, wide = (search(judge, [(0, 1, 2, 3)], STEPS, width) for width in (1, 8))
        assert best == wide.error <= narrow.error
        short += narrow.tried < wide.tried < len(every) + 1
    assert short


BENCH = ["bench", "--nearness", "--steps", "5", "--budgets", "3", "--batch", "2"]


def test_the_benchmark_searches_each_prompt_and_goes_on_where_it_was(tmp_path, capsys):
    argv = [*BENCH, "--ways", BEST, "--output", str(tmp_path / "records")]
    file = tmp_path / "a.json"
    assert main([*argv, "--count", "2", "--json", str(file)]) == 0
    found = Records(tmp_path / "records").read()
    errors = {way: {} for way in (BEST, "tracache")}
    for record in found:
        if record["way"] in errors:
            errors[record["way"]][record["index"]] = record["error"]
        if record["way"] == BEST:
            assert (len(record["steps"]), record["steps"][0]) == (3, 0)
            # Of the six plans that there are.
            assert 2 <= record["tried"] <= 6
    for index, error in errors[BEST].items():
        assert error <= errors["tracache"][index] * 1.001
    rows = {row["way"]: row for row in json.loads(file.read_text())["rows"]}
    assert set(rows) >= {FEWER, BEST, "tracache"}
    # One line lost: that prompt alone is searched again.
    (records,) = (tmp_path / "records").glob("records-*.jsonl")
    lines = records.read_text().splitlines()
    assert BEST in lines[-1]
    records.write_text("\n".join(lines[:-1]) + "\n")
    assert main([*argv, "--count", "2"]) == 0
    again = records.read_text().splitlines()
    assert again[:-1] == lines[:-1]
    assert json.loads(again[-1])["steps"] == json.loads(lines[-1])["steps"]
    capsys.readouterr()
    assert main([*BENCH, "--ways", "luck"]) == 2
    assert BEST in capsys.readouterr().err
