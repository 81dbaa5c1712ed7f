"""MACs of the full-size models, counted on the meta device, beside the paper's."""

import json
from dataclasses import replace

import pytest

from tracache.cli.main import main
from tracache.experiments.paper import measure_macs, paper_rows
from tracache.models.registry import find_model

ROWS = {(row.table, row.model.rpartition("-")[2], row.name): row for row in paper_rows()}


def measured(*keys):
    return list(measure_macs([ROWS[key] for key in keys]))


@pytest.mark.slow
def test_full_compute_is_the_papers_within_a_percent():
    rows = measured(("1", "256x256", "DPM++ 7 steps"), ("3", "256", "DDIM 20 steps"))
    for row in rows:
        assert row.ratio == pytest.approx(1, abs=0.01)
        assert row.all_products > row.ours


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        ("1", "256x256", "FORA-2 (k=3)"),
        ("1", "256x256", "Δ-DiT"),
        ("1", "256x256", "ToCa-2"),
        ("3", "256", "TraCache k=5, o=4"),
    ],
    ids=lambda key: key[2],
)
def test_arms_are_within_three_percent_of_their_rows(key):
    (row,) = measured(key)
    assert row.ratio == pytest.approx(1, abs=0.03)


def test_tracache_costs_no_more_than_the_paper_says():
    """Only the last block is kept and predicted, so a little less."""
    (row,) = measured(("1", "256x256", "TraCache k=4, o=2"))
    assert 0.95 < row.ratio <= 1


@pytest.mark.slow
def test_videos_count_every_product():
    """Of 30 steps the paper counts 1.66 P; to two decimals, so of 8 computed ones it is 0.44."""
    (row,) = measured(("2", "v3", "TraCache k=4, o=2"))
    assert row.ours == pytest.approx(row.all_products)
    assert round(row.ours / 1000, 2) == 0.44
    assert row.ours * 30 / 8 == pytest.approx(1660, rel=0.01)


def test_rows_without_a_plan_say_why():
    (row,) = measured(("3", "256", "L2C"))
    assert row.ours is None
    assert "gates" in row.note


def test_every_row_of_tables_1_2_3_and_8_is_there():
    assert len(ROWS) == 11 + 9 + 13 + 11 + 5


@pytest.mark.parametrize("model, steps", [("scenes-t2i", 20), ("scenes-t2v", 30)])
def test_any_models_arms_can_be_counted_without_a_run(model, steps, tmp_path):
    file = tmp_path / "macs.json"
    command = ["bench", "--macs", "--model", model, "--strides", "4", "--json", str(file)]
    arms = ["tracache", "published", "fewer-steps", "teacache"]
    assert main([*command, "--arms", *arms]) == 0
    full, planned, cached, fewer, decided = sorted(
        json.loads(file.read_text())["rows"], key=lambda row: ["full", *arms].index(row["arm"])
    )
    asked = replace(find_model(model).cache, stride=4)
    computed = len(asked.plan_steps(steps))
    assert full["num_steps"] == steps
    assert fewer["share"] == pytest.approx(computed / steps)
    assert planned["share"] == fewer["share"]
    assert (planned["computed"], len(planned["plan"])) == (computed, computed)
    assert fewer["share"] < cached["share"] < fewer["share"] + 0.02
    assert decided["macs"] is None
