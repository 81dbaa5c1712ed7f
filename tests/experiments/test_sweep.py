"""Sweeps: recorded, resumed, shared out, summed up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracache.cli.main import main
from tracache.cli.sweep import spans
from tracache.compare.request import make_request
from tracache.experiments.grid import count_images, run_grid, settings_of
from tracache.experiments.records import Records
from tracache.experiments.summary import summarise
from tracache.experiments.workers import Worker
from tracache.models.loading import load_model

ARGV = ["sweep", "--steps", "6", "--strides", "2-3", "--orders", "1", "2", "--count", "3"]


def sweep(folder, *more):
    return main([*ARGV, *more, "--output", str(folder)])


def settings(arms=("published",), strides=(2,)):
    requests = [
        ("", make_request("scenes-t2i", "any prompt", steps=6, stride=k, arms=arms))
        for k in strides
    ]
    return settings_of(requests)


def hashes(folder):
    return {(r["setting"], r["index"]): r["sha256"] for r in Records(folder).read()}


def test_a_sweep_writes_records_images_table_plot_and_sheet(tmp_path, capsys):
    assert sweep(tmp_path, "--features", "scenes", "--json", str(tmp_path / "all.json")) == 0
    rows = json.loads((tmp_path / "all.json").read_text())["rows"]
    # TraCache, reuse and fewer steps do not know an order, so they are made once for each stride.
    names = [
        *("full-6", "fewer-steps-6-k2-o1", "fewer-steps-6-k3-o1"),
        *(f"published-6-k{k}-o{o}" for k in (2, 3) for o in (1, 2)),
        *("reuse-6-k2-o1", "reuse-6-k3-o1"),
        *("tracache-6-k2-o1", "tracache-6-k3-o1"),
    ]
    assert sorted(row["setting"] for row in rows) == sorted(names)
    by_name = {row["setting"]: row for row in rows}
    assert by_name["full-6"]["psnr"] == "inf"
    assert by_name["full-6"]["latent_error"] == 0
    assert by_name["published-6-k2-o2"]["full_steps"] == 4
    assert by_name["tracache-6-k2-o1"]["full_steps"] == 4
    for row in rows:
        assert row["images"] == 3
        assert row["sets"]["Fréchet (scenes)"] > 0
        if row["arm"] != "full":
            assert row["macs"] < 1
            assert row["latent_error"] > 0
    assert len(list(tmp_path.glob("images/*/*.png"))) == 11 * 3
    assert "latent error" in (tmp_path / "table.md").read_text()
    assert "plotly" in (tmp_path / "pareto.html").read_text().lower()
    with Image.open(tmp_path / "pareto.png") as plot:
        assert plot.size == (1800, 1120)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (190 + 6 * 128, 11 * 128)
    assert "written to" in capsys.readouterr().out


def test_a_sweep_by_computed_steps_sums_up_every_arm_of_every_number(tmp_path):
    argv = ["sweep", "--steps", "6", "--compute", "2", "4", "--count", "1", "--json"]
    file, folder = tmp_path / "all.json", tmp_path / "records"
    arms = ["--arms", "tracache", "fewer-steps"]
    assert main([*argv, str(file), *arms, "--output", str(folder)]) == 0
    found = {(r["arm"], r["full_steps"]) for r in json.loads(file.read_text())["rows"]}
    some = {(arm, n) for arm in ("tracache", "fewer-steps") for n in (2, 4)}
    assert found == {("full", 6), *some}
    made = folder / "records-0.jsonl"
    before = made.read_text()
    assert main([*argv, str(file), *arms, "--output", str(folder)]) == 0
    # Nothing is made again.
    assert made.read_text() == before


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    whole = tmp_path / "whole"
    model = load_model("scenes-t2i")
    prompts = ["a matte red cube on sand at night"] * 3
    options = {"scheduler": "dpm-solver++", "guidance_scale": 2.5}
    run_grid(model, prompts, settings(), Records(whole), Worker(), **options)

    class KilledError(Exception):
        pass

    made = []

    def kill(images):
        made.append(images)
        if len(made) == 4:
            raise KilledError

    cut = Records(tmp_path / "cut")
    with pytest.raises(KilledError):
        run_grid(model, prompts, settings(), cut, Worker(), **options, progress=kill)
    before = cut.file.read_bytes()
    assert 0 < len(cut.keys()) < 6
    seen = []
    run_grid(model, prompts, settings(), cut, Worker(), **options, progress=seen.append)
    assert cut.file.read_bytes().startswith(before)
    assert len(cut.file.read_text().splitlines()) == 6
    assert hashes(whole) == hashes(tmp_path / "cut")
    assert sum(seen) == count_images(3, settings(), Worker(), 1)


@pytest.mark.slow
def test_a_lost_workers_share_is_done_by_whoever_comes_next(tmp_path):
    """Two of three workers wrote; one worker alone then does the rest, and nothing else."""
    model, options = load_model("scenes-t2i"), {"scheduler": "ddim", "guidance_scale": 2.0}
    prompts = ["a matte red cube on sand at night", "a shiny blue ring on snow at sunset"] * 2
    for i in (0, 2):
        run_grid(model, prompts, settings(), Records(tmp_path, i), Worker(i, 3), **options)
    assert {index for _, index in hashes(tmp_path)} == {0, 2, 3}
    late = Records(tmp_path, 7)
    run_grid(model, prompts, settings(), late, Worker(), **options)
    assert {index for _, index in hashes(tmp_path)} == {0, 1, 2, 3}
    assert len(late.file.read_text().splitlines()) == len(settings())


@pytest.mark.slow
def test_two_processes_make_the_images_of_one_bit_for_bit(tmp_path):
    """With gloo, on the CPU; batches are shared out whole."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    # Every process sums up in the same order only with as many threads.
    common = ["-m", "tracache", *ARGV, "--count", "5", "--batch", "2", "--device", "cpu"]
    alone = [sys.executable, *common]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    both = [sys.executable, *launch, *common]
    for name, command in (("one", alone), ("two", both)):
        argv = [*command, "--output", str(tmp_path / name)]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "two" / "records-1.jsonl").is_file()
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert len(hashes(tmp_path / "one")) == 11 * 5
    tables = [(tmp_path / name / "table.md").read_text() for name in ("one", "two")]
    assert tables[0] == tables[1]


def test_noise_follows_the_index(tmp_path):
    """The same prompt twice is two images; more images than prompts begin again."""
    assert (
        sweep(tmp_path, "--strides", "2", "--orders", "1", "--arms", "reuse", "--count", "2") == 0
    )
    found = hashes(tmp_path)
    assert len(set(found.values())) == len(found) == 4


@pytest.mark.slow
def test_more_images_than_prompts_begin_again_and_may_become_more(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a matte red cube on sand at night\na shiny blue ring on snow at sunset\n")
    common = ["--prompts", str(file), "--strides", "2", "--orders", "1", "--arms", "reuse"]
    assert sweep(tmp_path / "out", *common, "--count", "2") == 0
    before = hashes(tmp_path / "out")
    assert sweep(tmp_path / "out", *common, "--count", "5") == 0
    after = hashes(tmp_path / "out")
    assert len(after) == len(set(after.values())) == 10
    assert before.items() <= after.items()
    subjects = {r["index"]: r["subject"] for r in Records(tmp_path / "out").read()}
    assert subjects[0] == subjects[2] == subjects[4] != subjects[1] == subjects[3]


def test_means_are_over_all_prompts(tmp_path):
    records = Records(tmp_path)
    for i, (psnr, error) in enumerate([(30.0, 0.1), (40.0, 0.3)]):
        records.append(
            {
                "setting": "reuse-6-k2-o1",
                "index": i,
                "arm": "reuse",
                "steps": 6,
                "stride": 2,
                "max_order": 1,
                "full_steps": 3,
                "block_calls": 0.5,
                "macs": 0.5,
                "psnr": psnr,
                "ssim": 0.9,
                "latent_error": error,
                "label": "",
            }
        )
    (row,) = summarise(records)
    assert (row.psnr, row.latent_error, row.images) == (35.0, pytest.approx(0.2), 2)


def test_pairs_are_measured_beside_full_compute(tmp_path):
    assert (
        sweep(tmp_path, "--strides", "2", "--orders", "1", "--arms", "reuse", "--count", "2") == 0
    )

    def brightness(image, reference):
        return np.asarray(image).mean() - np.asarray(reference).mean()

    rows = {r.arm: r for r in summarise(Records(tmp_path), pairs={"brighter": brightness})}
    assert rows["full"].sets["brighter"] == 0
    assert rows["reuse"].sets["brighter"] != 0


def test_lpips_says_what_it_needs(tmp_path, capsys, monkeypatch):
    # As where torchvision is not installed, whatever is installed here.
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert sweep(tmp_path / "out", "--lpips", "alex") == 2
    assert "LPIPS needs torchvision" in capsys.readouterr().err


def test_spans():
    assert spans("2-4") == [2, 3, 4]
    assert spans("3") == [3]


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--strides", "0"], "strides must be a whole number from 1 to 50"),
        (["--strides", "4-2"], "invalid spans value"),
        (["--orders", "9"], "orders must be a whole number from 0 to 5"),
        (["--batch", "0"], "batch must be"),
        (["--arms", "magic"], "unknown arm"),
        (["--count", "0"], "count must be a whole number from 1"),
    ],
)
def test_bad_input_is_refused_before_any_work(argv, words, tmp_path, capsys):
    folder = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        sys.exit(sweep(folder, *argv))
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_another_model_needs_another_folder(tmp_path, capsys):
    Records(tmp_path).begin({"model": "scenes-class"})
    assert sweep(tmp_path) == 2
    assert "holds a run with model 'scenes-class'" in capsys.readouterr().err
