"""A league from end to end: equal computed steps, gone on with, written, refused where it must."""

import json
import re
import shlex

import pytest
from PIL import Image

from tracache.caching.methods.planned import PlannedConfig
from tracache.cli.arguments import build_parser
from tracache.cli.league_options import command_of, variant_of
from tracache.cli.main import RUNS, main
from tracache.compare.arms import ARMS
from tracache.experiments.league.axes import axes_of, varied
from tracache.experiments.league.entrants import WAY, field_of
from tracache.experiments.league.search import options_to_try
from tracache.experiments.league.tuning import searched
from tracache.experiments.records import Records
from tracache.experiments.refresh import digest_of, models_of
from tracache.experiments.ways import Circumstances, ways_of
from tracache.models.registry import find_model
from tracache.settings import Settings

AROUND = Circumstances("dpm-solver++", 2.5, 20)
SMALL = ["league", "scenes-t2i", "--steps", "6", "--compute", "3", "--count", "3", "--batch", "2"]
SMALL += ["--tuning", "1", "--pictures", "2", "--arms", "mag", "hicache", "adacache", "pab"]
SMALL += ["--ways", "tracache, data", "published, planned steps", "fewer steps"]


@pytest.fixture(scope="module")
def whole():
    return field_of(find_model("scenes-t2i"), AROUND)


def test_everybody_takes_part_once_and_who_cannot_is_said(whole):
    names = [entrant.name for entrant in whole.entrants]
    assert names[:2] == ["fewer-steps", "tracache"]
    assert len(names) == len(set(names))
    slugs = [entrant.slug for entrant in whole.entrants]
    assert len(slugs) == len(set(slugs))
    assert all(re.fullmatch(r"[\w.+-]+", slug) for slug in slugs)
    # The model's own scheduler at fewer steps is fewer steps, by whichever name.
    assert "dpm-solver++" not in names
    assert "fewer steps" not in names
    assert set(whole.absent) >= {"gates"}
    there = {*names, *whole.absent, "full", "dpm-solver++"}
    assert set(ARMS) <= there
    known = {name for name in ways_of("dpm-solver++") if name not in ARMS}
    assert known - set(names) <= {"fewer steps"}


def test_all_that_are_not_searched_compute_what_they_are_told(whole):
    for entrant in whole.entrants:
        if not entrant.is_searched:
            for budget in (5, 8):
                made = whole.setup(entrant, budget, plan=tuple(range(budget)))
                # A plan that follows from the noise schedule is as long as it is told to be.
                assert made.num_computed == budget
                assert made.num_steps == (20 if made.cache is not None else budget)


def test_every_arm_that_decides_by_itself_says_what_to_search(whole):
    searched = [entrant for entrant in whole.entrants if entrant.is_searched]
    assert len(searched) >= 9
    for entrant in searched:
        for name, tries in entrant.options.items():
            for value in tries:
                ARMS[entrant.name].options[name].check(value)


def test_an_axis_varies_one_thing(whole):
    axes = axes_of(whole.configs(8))
    assert ("space", "tracache", "data") in axes["tracache, data"]
    assert [axis for axis, *_ in axes["tracache, even steps"]] == ["plan"]
    assert ("basis", "tracache", "reuse") in axes["tracache, reuse"]
    assert ("basis", "published", "hermite") in axes["hicache"]
    # The anchors are answers to every question; what differs in two things is to none.
    assert [axis for axis, *_ in axes["tracache"]] == ["space", "basis", "plan"]
    assert "data, even, not back" not in axes
    assert "tracache, not looking back" not in axes


def test_every_choice_of_tracaches_is_an_answer(whole):
    """Also one that nobody has made a way of; what it refuses without more is left out."""
    choices = varied(ARMS["tracache"].options)
    assert {name for name, _ in choices} >= {"space", "placement"}
    taken = [config for config in whole.configs(8).values() if type(config) is PlannedConfig]
    for name, choice in choices:
        try:
            PlannedConfig(**{name: choice})
        except ValueError:
            continue
        assert any(getattr(config, name) == choice for config in taken)


def test_an_arm_can_be_named_and_only_one_that_there_is():
    spec = find_model("scenes-t2i")
    few = field_of(spec, AROUND, ["hicache"], ["tracache, line"])
    names = [(entrant.name, entrant.kind == WAY) for entrant in few.entrants]
    assert names == [
        *((n, False) for n in ("fewer-steps", "tracache", "hicache")),
        ("tracache, line", True),
    ]
    with pytest.raises(ValueError, match="the arm gates cannot take part"):
        field_of(spec, AROUND, ["gates"])
    with pytest.raises(ValueError, match="unknown way 'magic'"):
        field_of(spec, AROUND, [], ["magic"])


def test_an_arm_with_other_settings_is_a_way_beside_it():
    spec = find_model("scenes-t2i")
    other = variant_of(["Of data", "tracache", "space=data"], 20)
    few = field_of(spec, AROUND, [], [], {"tracache": {"correct": False}}, [other])
    names = [entrant.name for entrant in few.entrants]
    assert names == ["fewer-steps", "tracache", "Of data"]
    plain, other = (few.setup(entrant, 5).cache for entrant in few.entrants[1:])
    assert (plain.correct, other.correct, other.space) == (False, True, "data")
    slower = variant_of(["Slower", "sea", "order=0"], 20)
    assert slower.is_searched
    assert set(slower.options) == {"threshold", "max_skips"}
    # The one setting that is given is not searched.
    assert set(variant_of(["x", "sea", "max_skips=3"], 20).options) == {"threshold"}
    with pytest.raises(ValueError, match="there is a hicache already"):
        field_of(
            spec, AROUND, ["hicache"], [], {}, [variant_of(["hicache", "easy", "warmup=3"], 9)]
        )


def test_a_file_lets_an_arm_take_part_and_may_be_of_a_number_of_steps(tmp_path):
    (tmp_path / "gates-20.json").write_text(json.dumps([[True] * 11] * 20))
    mine = variant_of(["Mine", "gates", f"file={tmp_path}/gates-{{steps}}.json"], 20)
    spec = find_model("scenes-t2i")
    few = field_of(spec, AROUND, [], [], {}, [mine])
    assert few.entrants[-1].name == "Mine"
    # There is nothing to search, so it is tried as it is.
    assert [e.name for e in searched(few)] == ["Mine"]
    assert options_to_try(mine.options) == [{}]
    given = {"gates": {"file": f"{tmp_path}/gates-20.json"}}
    assert field_of(spec, AROUND, ["gates"], [], given).entrants[-1].name == "gates"
    with pytest.raises(FileNotFoundError):
        variant_of(["Mine", "gates", f"file={tmp_path}/gates-{{steps}}.json"], 30)
    with pytest.raises(ValueError, match="steps"):
        field_of(spec, Circumstances("dpm-solver++", 2.5, 30), [], [], {}, [mine])


def test_a_league_is_played_summed_up_and_gone_on_with(tmp_path, capsys):
    folder, file = tmp_path / "out", tmp_path / "league-small.json"
    argv = [*SMALL, "--output", str(folder), "--json", str(file)]
    assert main(argv) == 0
    out = capsys.readouterr().out
    figures = json.loads(file.read_text())
    one = figures["models"][0]
    rows = {row["entrant"]: row for row in one["rows"]}
    assert one["prompts"] == 3
    assert all(2 < row["computed"] <= 3 * 1.02 for row in rows.values())
    assert {"tracache", "fewer-steps", "hicache", "tracache, data"} <= set(rows)
    # Whoever is not in the table is said not to be.
    names = {"mag", "adacache", "pab"}
    assert names - set(rows) == {away["entrant"] for away in one["out"]}
    assert rows["fewer-steps"]["share"] == [1, 1, 1]
    assert rows["fewer-steps"]["nearer"] == 0
    low, high = rows["tracache"]["error"][1:]
    assert low <= rows["tracache"]["error"][0] <= high
    assert rows["tracache"]["more"]["Fréchet (scenes)"] > 0
    assert "| of 6 steps" in out
    assert "*Which space is extrapolated?*" in out
    sheet = one["sheets"]["6"]
    assert Image.open(tmp_path / sheet["file"]).size == (2 * 64, 64 * len(sheet["rows"]))
    assert sheet["rows"] == ["full", *(f"3 {row['entrant']}" for row in one["rows"])]
    # What borrows TraCache's steps has them.
    found = Records(folder / "scenes-t2i").read()
    which = {(r["entrant"], r["index"]): r["which"] for r in found if "entrant" in r}
    assert which["published, planned steps", 2] == which["tracache", 2]
    # A second time nothing is made again, and it comes to the same.
    records = (folder / "scenes-t2i" / "records-0.jsonl").read_text()
    assert main(argv) == 0
    assert (folder / "scenes-t2i" / "records-0.jsonl").read_text() == records
    assert json.loads(file.read_text()) == figures


def test_the_command_that_is_kept_makes_the_same_league():
    args = build_parser(RUNS).parse_args([*SMALL, "--output", "x"])
    command = command_of(args)
    again = build_parser(RUNS).parse_args([*shlex.split(command)[3:], "--output", "x"])
    both = [{k: v for k, v in vars(a).items() if k != "json"} for a in (args, again)]
    assert both[0] == both[1]
    assert models_of(command) == ["scenes-t2i"]
    assert models_of("python -m tracache league a b --steps 20") == ["a", "b"]


def test_the_weights_of_several_models_are_told_apart():
    settings = Settings.from_environment()
    one = digest_of(["scenes-t2i"], settings)
    both = digest_of(["scenes-t2i", "scenes-t2v"], settings)
    assert len({one, both, digest_of(["scenes-t2v", "scenes-t2i"], settings)}) == 3


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--compute", "7"], "compute must be a whole number from 2 to 6"),
        (["--batch", "65"], "batch must be a whole number from 1 to 64"),
        (["--arms", "magic"], "unknown arm 'magic'"),
        (["--arms", "gates"], "the arm gates cannot take part: it needs what only a file"),
        (["--pictures", "9"], "pictures must be a whole number from 0 to 8"),
        (["--count", "0"], "count must be a whole number from 1"),
        (["--variant", "Mine", "tracache"], "--variant takes TITLE ARM NAME=VALUE …"),
        (["--variant", "Mine", "tracache", "magic=1"], "tracache has no option 'magic'"),
        (["--variant", "Mine", "tracache", "space=up"], "space must be one of"),
        (["--option", "sea.order=7"], "order must be a whole number from 0 to 1"),
    ],
)
def test_refused_before_any_work(more, told, tmp_path, capsys):
    assert main([*SMALL, *more, "--output", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
