"""One league by many: two processes of torchrun, and a Ray cluster, come to what one comes to."""

import json
import os
import subprocess
import sys

import pytest

from tests.app import ROOT
from tracache.cli.arguments import build_parser
from tracache.cli.league_plan import plan_league
from tracache.cli.main import RUNS, main
from tracache.experiments.records import Records
from tracache.experiments.workers import Worker
from tracache.models.loading import load_model

SMALL = ["league", "scenes-t2i", "--steps", "4", "--compute", "2", "--count", "3", "--batch", "1"]
SMALL += ["--tuning", "2", "--pictures", "0", "--arms", "easy", "--ways", "fewer steps"]
SMALL += ["--device", "cpu"]
#: What borrows another's steps, wherever those were recorded.
WAYS = ["--ways", "published, planned steps"]
#: Every process sums up in the same order only with as many threads.
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray gives way to all else by default, which beside other tests comes to standing still.
    "RAY_worker_niceness": "0",
    # Its sockets need short paths.
    "RAY_TMPDIR": "/tmp",
    "PYTHONPATH": str(ROOT),
}


def league(folder, *launch, more=()):
    argv = [sys.executable, *launch, "-m", "tracache", *SMALL, *WAYS, *more]
    argv += ["--output", str(folder), "--json", f"{folder}.json"]
    done = subprocess.run(argv, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    records = {(r["setting"], r["index"]): r for r in Records(folder / "scenes-t2i").read()}
    return json.loads(folder.with_suffix(".json").read_text()), records


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return league(tmp_path_factory.mktemp("alone") / "one")


@pytest.mark.slow
def test_two_processes_play_the_league_of_one(alone, tmp_path):
    """The Fréchet distance too, which one of them measures while the other has ended its share."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    assert league(tmp_path / "two", *launch) == alone
    files = sorted((tmp_path / "two" / "scenes-t2i").glob("records-*.jsonl"))
    # Three batches of prompts are shared out as two and one.
    made = [sum('"budget"' in line for line in file.read_text().splitlines()) for file in files]
    assert made[0] == 2 * made[1] > 0


@pytest.mark.slow
def test_a_ray_cluster_plays_the_league_of_one(alone, tmp_path):
    assert league(tmp_path / "ray", more=["--ray", "local"]) == alone
    # All that players recorded was kept beside whoever began.
    assert (tmp_path / "ray" / "scenes-t2i" / "records-1.jsonl").is_file()
    assert not (tmp_path / "ray" / "scenes-t2i" / "records-0.jsonl").exists()


def test_a_share_does_a_share_and_whoever_comes_next_the_rest(tmp_path):
    """As where one of two processes was lost."""
    argv = [*SMALL, "--arms", "mag", "--output", str(tmp_path / "out")]
    args = build_parser(RUNS).parse_args(argv)
    args.options = {}
    (plan,) = plan_league(args).plans
    (leg,) = plan.legs
    model = load_model("scenes-t2i")
    records = Records(tmp_path / "out" / "scenes-t2i", 1)
    with pytest.raises(ValueError, match="records of the search are missing"):
        leg.settle(records)
    leg.do("tuning", model, records)
    assert leg.settle(records)[1]["mag"].keys() == {2}
    leg.do("runs", model, records, worker=Worker(1, 2))
    assert {r["index"] for r in records.read() if "budget" in r} == {1}
    before = records.file.read_bytes()
    assert main(argv) == 0
    assert records.file.read_bytes() == before
    rest = Records(tmp_path / "out" / "scenes-t2i").read()
    assert {r["index"] for r in rest if "budget" in r} == {0, 1, 2}


def test_no_ray_and_no_cluster(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*SMALL, "--ray", "--output", str(tmp_path / "out")]) == 2
    assert "--ray needs Ray: pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
