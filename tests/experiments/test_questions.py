"""Every question gets a figure and its numbers."""

import csv
import json

import pytest

from tracache.cli.main import main
from tracache.experiments.questions import QUESTIONS


def analyse(question, folder, *more):
    return main(["analyse", question, "--output", str(folder), *more])


def read(file):
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_trajectories(tmp_path, capsys):
    more = ["--steps", "12", "--stride", "3", "--json", str(tmp_path / "all.json")]
    assert analyse("trajectories", tmp_path, *more) == 0
    rows = read(tmp_path / "trajectory_errors.csv")
    # The last of eleven blocks, its two attentions and its MLP, three ways each.
    assert [row["row"] for row in rows[::3]] == [
        *("block 11", "block 11 self-attention"),
        *("block 11 cross-attention", "block 11 MLP"),
    ]
    by_way = {row["way"]: float(row["distance"]) for row in rows[:3]}
    assert by_way["full compute"] == 0
    assert by_way["TraCache"] > 0
    assert by_way["reuse"] > 0
    lines = read(tmp_path / "trajectories.csv")
    assert len(lines) == 4 * 3 * 12
    computed = [r for r in lines if r["way"] == "TraCache" and r["row"] == "block 11"]
    assert [int(r["order"]) < 0 for r in computed] == [i % 3 == 0 for i in range(12)]
    assert {"trajectories.html", "trajectories.png"} <= {f.name for f in tmp_path.iterdir()}
    assert json.loads((tmp_path / "all.json").read_text())["question"] == "trajectories"


def test_intervals_of_a_class(tmp_path):
    more = ["--model", "scenes-class", "--class-label", "red ring", "--steps", "8", "--most", "3"]
    assert analyse("intervals", tmp_path, *more, "--block", "2") == 0
    rows = read(tmp_path / "intervals.csv")
    assert len(rows) == 7 + 6 + 5
    assert {row["row"] for row in rows} == {"block 2"}
    near, far = (
        sum(float(r["mse"]) for r in rows if r["interval"] == i and int(r["step"]) >= 3)
        for i in ("1", "3")
    )
    assert 0 < near < far
    assert (tmp_path / "intervals.png").stat().st_size > 10_000


def test_foresight(tmp_path, capsys):
    assert analyse("foresight", tmp_path, "--steps", "16", "--stride", "3", "--order", "2") == 0
    rows = read(tmp_path / "foresight.csv")
    assert {(r["region"], r["order"]) for r in rows} == {
        (region, order) for region in ("smooth", "rapid") for order in ("1", "2")
    }
    assert len(read(tmp_path / "residuals.csv")) == sum(int(r["steps"]) for r in rows)
    assert "smooth" in capsys.readouterr().out


@pytest.mark.parametrize(
    "question, more, settings",
    [
        pytest.param("orders", ["--strides", "2", "--orders", "2-3"], 5, marks=pytest.mark.slow),
        pytest.param("exponents", ["--strides", "2", "--orders", "2"], 12, marks=pytest.mark.slow),
        ("granularity", ["--strides", "2", "--orders", "2"], 3),
        pytest.param("criteria", ["--strides", "2", "--orders", "3"], 3, marks=pytest.mark.slow),
        pytest.param("sampler", ["--strides", "2", "--orders", "2"], 4, marks=pytest.mark.slow),
    ],
)
def test_questions_of_many_images(question, more, settings, tmp_path):
    assert analyse(question, tmp_path, *more, "--steps", "8", "--count", "2") == 0
    rows = read(tmp_path / f"{question}.csv")
    assert len(rows) == settings
    assert len({row["setting"] for row in rows}) == settings
    assert all(float(r["latent_error"]) > 0 for r in rows if r["arm"] != "full")
    assert (tmp_path / f"{question}.html").is_file()
    header = json.loads((tmp_path / "run.json").read_text())
    assert header["scheduler"] == ("ddpm" if question == "sampler" else "dpm-solver++")


def test_every_question_says_what_it_is_about(capsys):
    with pytest.raises(SystemExit):
        main(["analyse", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in (*QUESTIONS, "trajectories", "intervals", "foresight"))


@pytest.mark.parametrize(
    "question, argv, words",
    [
        ("trajectories", ["--stride", "0"], "stride must be"),
        ("trajectories", ["--block", "0"], "block counts from 1"),
        ("foresight", ["--order", "9"], "order must be"),
        ("intervals", ["--most", "0"], "most must be"),
        ("orders", ["--strides", "99"], "strides must be"),
        ("orders", ["--features", "inception"], "need --reference"),
    ],
)
def test_bad_input_is_refused_before_any_work(question, argv, words, tmp_path, capsys):
    folder = tmp_path / "out"
    assert analyse(question, folder, *argv) == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_a_block_that_is_not_there(tmp_path, capsys):
    assert analyse("intervals", tmp_path / "out", "--block", "12") == 2
    assert "block must be from 1 to 11" in capsys.readouterr().err
