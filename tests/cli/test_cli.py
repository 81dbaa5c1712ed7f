"""The command line, run as a person runs it."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from tests.models.hub import write_model
from tracache.cli.main import main

PROMPT = "a matte blue cube on snow in daylight"
SMALL = ["--steps", "6", "--stride", "3", "--no-last-step"]
AS_PUBLISHED = ["--arms", "published"]


def refuse(capsys, *argv):
    """Run a command that must be refused; return what it said."""
    try:
        status = main(argv)
    except SystemExit as stop:  # argparse's own refusals
        status = stop.code
    assert status == 2
    return capsys.readouterr().err


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "tracache", "bench"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--quality --nearness --latency --memory --macs is required" in done.stderr


def test_compare_writes_everything(tmp_path, capsys):
    folder, figures = tmp_path / "out", tmp_path / "figures.json"
    argv = ["compare", "--prompt", PROMPT, *SMALL, "--seed", "5", "--max-order", "3"]
    argv += ["--arms", "tracache", "fewer-steps", "--output", str(folder), "--json", str(figures)]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    for words in ("Full compute", "TraCache", "Fewer steps", "2 of 6", "peak process RSS"):
        assert words in printed
    for arm in ("full", "tracache", "fewer-steps"):
        assert Image.open(folder / f"{arm}.png").size == (128, 128)
    report = json.loads((folder / "report.json").read_text())
    assert report == json.loads(figures.read_text())
    assert report["request"]["seed"] == 5
    assert report["settings"]["max_order"] == 3
    assert [arm["full_steps"] for arm in report["arms"]] == [6, 2, 2]
    assert len(report["trace"]["orders"]) == 6
    assert "plotly" in (folder / "orders.html").read_text()
    # The picture's own record is written again once the arms are timed.
    kept = json.loads(Image.open(folder / "tracache.png").text["tracache-figures"])
    assert kept == report["arms"][1]
    assert (kept["rounds"], kept["speed_up_rough"]) == (1, True)
    assert kept["speed_up"] == report["arms"][0]["denoising_s"] / kept["denoising_s"]
    assert "timed once" in printed


def test_a_plan_is_said_and_nothing_runs(tmp_path, capsys):
    argv = ["compare", "--prompt", PROMPT, "--compute", "8", "--plan"]
    assert main([*argv, "--arms", "tracache", "published", "fewer-steps"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    full, planned, even, fewer = said.out.splitlines()
    assert full.startswith("Full compute: 20 steps")
    assert planned.startswith("TraCache: 0.400 of those MACs, 2.50×; 8 of 20 steps compute: 1 ")
    assert "8 of 20 steps compute: 1 4 6 9 12 15 17 20" in even
    assert "all 8 steps compute" in fewer
    assert "one of the arguments --output --plan is required" in refuse(capsys, *argv[:3])


def test_an_arm_of_ones_own_is_said_in_a_sentence(tmp_path, capsys):
    argv = ["compare", "--prompt", PROMPT, "--compute", "8", "--plan", "--placement", "even"]
    assert main([*argv, "--space", "data", "--rule", "chebyshev", "--max-order", "4"]) == 0
    said = capsys.readouterr()
    assert said.err == "your own: data × chebyshev × even\n"
    _, own, fewer = said.out.splitlines()
    assert "8 of 20 steps compute: 1 4 6 9 12 15 17 20" in own
    assert own.startswith("Your own: ")
    assert fewer.startswith("Fewer steps: ")
    # Within the denoiser, by the plan of the noise schedule.
    assert main([*argv[:-1], "planned", "--space", "blocks"]) == 0
    assert "8 of 20 steps compute: 1 5 7 9" in capsys.readouterr().out
    # Beside others; and of others, two are the published method's too.
    assert main([*argv, "--rule", "vde", "--space", "velocity", "--arms", "own", "vde"]) == 0
    assert "VDE: " in capsys.readouterr().out
    assert main([*argv[:-1], "growing", "--arms", "published"]) == 0
    assert "8 of 20 steps compute: 1 2 3 4 6 9 13 18" in capsys.readouterr().out
    assert "leave out --arms, or name own" in refuse(
        capsys, *argv, "--rule", "dmd", "--arms", "published"
    )
    assert "use space='velocity', got 'data'" in refuse(capsys, *argv, "--rule", "vde")


def test_a_bench_takes_numbers_of_computed_steps(tmp_path):
    file = tmp_path / "quality.json"
    argv = ["bench", "--quality", "--count", "2", "--steps", "6", "--compute", "3", "4"]
    assert main([*argv, "--arms", "tracache", "published", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"][1:]
    assert [(r["arm"], r["stride"], r["full_steps"]) for r in rows] == [
        (arm, f"{n} computed", n) for n in (3, 4) for arm in ("tracache", "published")
    ]


@pytest.fixture
def classes(tmp_path, monkeypatch):
    """A tiny twin of the class-conditional model."""
    write_model(tmp_path / "assets", "scenes-class")
    monkeypatch.setenv("TRACACHE_ASSETS", str(tmp_path / "assets"))
    return ["--model", "scenes-class"]


def test_classes_take_the_place_of_prompts(classes, tmp_path, capsys):
    folder, figures = tmp_path / "out", tmp_path / "figures.json"
    argv = ["compare", *classes, "--class-label", "blue cube", "--steps", "6"]
    assert main([*argv, "--output", str(folder)]) == 0
    request = json.loads((folder / "report.json").read_text())["request"]
    assert (request["class_label"], request["prompt"]) == (12, "blue cube")
    argv = ["bench", "--quality", *classes, "--count", "3", "--steps", "5", "--strides", "3"]
    assert main([*argv, "--batch", "3", "--arms", "tracache", "--json", str(figures)]) == 0
    data = json.loads(figures.read_text())
    assert (data["prompts"], data["features"], len(data["rows"])) == (3, "Fréchet (scenes)", 2)
    capsys.readouterr()
    argv = ["compare", *classes, "--output", str(folder)]
    assert "did you mean blue cone" in refuse(capsys, *argv, "--class-label", "blue kone")
    assert "takes a class, not a prompt" in refuse(capsys, *argv, "--prompt", PROMPT)
    argv = ["bench", "--quality", *classes, "--strides", "3"]
    assert "from 1 to 40, the classes there are" in refuse(capsys, *argv, "--count", "41")
    assert "takes classes" in refuse(capsys, *argv, "--prompts", "some.txt")


def test_bench_quality(tmp_path, capsys):
    file = tmp_path / "quality.json"
    argv = ["bench", "--quality", "--count", "2", "--steps", "6", "8", "--strides", "2", "3"]
    argv += ["--no-last-step"]
    arms = ("tracache", "published", "fewer-steps")
    assert main([*argv, "--arms", *arms, "--json", str(file)]) == 0
    data = json.loads(file.read_text())
    assert data["prompts"] == 2
    assert [(r["steps"], r["stride"], r["arm"], r["full_steps"]) for r in data["rows"]] == [
        (steps, stride, arm, steps if arm == "full" else -(-steps // stride))
        for steps in (6, 8)
        for stride in (2, 3)
        for arm in ("full", *arms)
        if (arm, stride) != ("full", 3)  # the reference is one row per number of steps
    ]
    assert data["features"] == "Fréchet (scenes)"
    for row in data["rows"]:
        assert row["distance"] > 0
        if row["arm"] == "full":
            assert (row["latent_error"], row["block_calls"], row["macs"]) == (0, 1, 1)
            continue
        assert row["block_calls"] == pytest.approx(row["full_steps"] / row["steps"])
        assert row["block_calls"] <= row["macs"] < row["block_calls"] + 0.03
        assert 0 < row["latent_error"] < 2
        assert 5 < row["psnr"] < 80
    assert "latent error" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_quality_does_not_depend_on_the_batch_where_no_order_is_chosen(tmp_path):
    """Items of a batch have their own noise; only an order is chosen over all of them."""
    rows = []
    for batch in ("1", "3"):
        file = tmp_path / f"{batch}.json"
        argv = ["bench", "--quality", "--count", "3", "--steps", "6", "--strides", "3"]
        main([*argv, "--arms", "reuse", "taylorseer", "--batch", batch, "--json", str(file)])
        rows.append(json.loads(file.read_text())["rows"])
    for one, three in zip(*rows, strict=True):
        assert one["latent_error"] == pytest.approx(three["latent_error"], rel=1e-3)


def test_bench_memory(tmp_path, capsys):
    file = tmp_path / "memory.json"
    argv = ["bench", "--memory", "--count", "1", "--steps", "6", "--strides", "3"]
    assert main([*argv, "--arms", "tracache", "published", "toca", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["arm"] for row in rows] == ["full", "tracache", "published", "toca"]
    assert [row["max_order"] for row in rows] == [0, 0, 2, 0]
    assert rows[0]["ratio"] == 1
    assert all(row["bytes"] > 100_000_000 for row in rows)
    assert "of the whole process" in capsys.readouterr().out.lower()


def test_bench_latency(tmp_path, capsys):
    file = tmp_path / "latency.json"
    argv = ["bench", "--latency", "--count", "1", "--steps", "6", "--strides", "2", "3"]
    argv += ["--no-last-step"]
    assert main([*argv, "--rounds", "1", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [(row["arm"], row["block_ratio"]) for row in rows] == [
        ("full", 1),
        ("tracache", 2),
        ("tracache", 3),
    ]
    assert rows[0]["speed_up"] == rows[0]["macs_ratio"] == rows[0]["peak_ratio"] == 1
    for row in rows[1:]:
        assert row["efficiency"] == pytest.approx(row["speed_up"] / row["macs_ratio"])
        # A step skipped at the scheduler runs nothing at all.
        assert row["block_ratio"] * 0.97 < row["macs_ratio"] <= row["block_ratio"]
        assert row["skipped_ms"] < row["computed_ms"]
        assert row["transformer_s"] > 0
    assert "MACs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--stride", "0"], "stride must be a whole number from 1 to 50, got 0"),
        (["--max-order", "9"], "max_order must be a whole number from 0 to 5, got 9"),
        (["--guidance-scale", "nan"], "guidance_scale must be a number from 0 to 20, got nan"),
        (["--model", "sdxxl"], "unknown model 'sdxxl'; choose from scenes-t2i"),
        (["--arms", "magic"], "unknown arm 'magic'"),
        (["--prompt", " "], "the prompt is empty"),
        (["--prompt", "x" * 10_000], "10,000 characters"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--steps", "2.5"], "steps must be a whole number, got '2.5'"),
    ],
)
def test_bad_input_is_refused_before_any_work(argv, words, tmp_path, capsys):
    folder = tmp_path / "out"
    stderr = refuse(capsys, "compare", "--prompt", PROMPT, "--output", str(folder), *argv)
    assert words in stderr
    assert not list(folder.glob("*.png"))


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--quality", "--count", "0"], "count must be from 1 to"),
        (["--quality", "--strides", "0"], "stride must be"),
        (["--latency", "--rounds", "0"], "rounds must be"),
        (["--quality", "--prompts", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_bad_benches_are_refused(argv, words, capsys):
    assert words in refuse(capsys, "bench", *argv)


@pytest.mark.parametrize(
    "argv, computed",
    [
        (["--arms", "toca", "--option", "toca.interval=2", "--option", "toca.ratio=0.5"], [6, 3]),
        (["--preset", "20-5"], [20, 5]),
        (["--compute", "4", "--arms", "tracache", "published", "fewer-steps"], [6, 4, 4, 4]),
        (
            ["--option", "tracache.space=data", "--option", "tracache.correct=0", "--compute", "5"],
            [6, 5],
        ),
        (["--stride", "auto", "--tolerance", "0", *AS_PUBLISHED, "tracache"], [6, 6, 6]),
        (["--space", "modules", "--criterion", "mean", "--window", "2", *AS_PUBLISHED], [6, 3]),
        (
            ["--criterion", "power", "--exponent=-0.5", "--abscissa", "log-snr", *AS_PUBLISHED],
            [6, 3],
        ),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_every_kind_of_setting_reaches_the_run(argv, computed, tmp_path):
    given = ["--prompt", PROMPT, "--steps", "6", "--stride", "3", "--output", str(tmp_path)]
    assert main(["compare", *given, *argv]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [arm["full_steps"] for arm in report["arms"]] == computed


def test_a_gate_file_is_an_arm(tmp_path):
    gates = [[True] * 11, [False] * 11, [True] * 11, [True, False] * 5 + [True]]
    (tmp_path / "gates.json").write_text(json.dumps(gates))
    argv = ["compare", "--prompt", PROMPT, "--steps", "4", "--output", str(tmp_path / "out")]
    argv += ["--arms", "gates", "--option", f"gates.file={tmp_path / 'gates.json'}"]
    assert main(argv) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["arms"][1]["block_calls"] == sum(map(sum, gates))


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--option", "toca"], "--option takes ARM.NAME=VALUE, got 'toca'"),
        (["--option", "toca.speed=3"], "toca has no option 'speed'"),
        (["--option", "toca.ratio=much"], "toca.ratio must be a number, got 'much'"),
        (["--option", "toca.ratio=2"], "ToCa: ratio must be a number from 0 to 1, got 2"),
        (["--option", "tracache.correct=maybe"], "tracache.correct must be 0 or 1, got 'maybe'"),
        (["--option", "tracache.space=blocks"], "TraCache: space must be one of data, noise"),
        (["--stride", "auto"], "choose TraCache, as published, too, or say how many with compute"),
        (["--preset", "best"], "preset must be one of custom, 20-10"),
        (["--stride", "often"], "argument --stride: stride must be a whole number"),
        (["--arms", "gates"], "gates needs a table"),
    ],
)
def test_bad_settings_are_refused(argv, words, tmp_path, capsys):
    given = ["--prompt", PROMPT, "--output", str(tmp_path)]
    assert words in refuse(capsys, "compare", *given, *argv)


COMMANDS = {
    "compare": ["compare", "--prompt", "a red cube", "--output", "{folder}", "--json", "{file}"],
    "bench": ["bench", "--macs", "--json", "{file}"],
    "nearness": ["bench", "--nearness", "--output", "{folder}", "--json", "{file}"],
    "sweep": ["sweep", "--output", "{folder}", "--json", "{file}"],
    "tune": ["tune", "--json", "{file}"],
    "examples": ["examples", "--output", "{folder}"],
    "trajectories": ["analyse", "trajectories", "--output", "{folder}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_where_it_writes_is_tried_before_anything_is_done(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tracache.cli.main.load_model", None)
    good = {"file": str(tmp_path / "figures.json"), "folder": str(tmp_path / "out")}
    (tmp_path / "wall").write_text("in the way")
    for name, bad, words in (
        ("file", "/nowhere/x.json", "there is no folder /nowhere"),
        ("file", str(tmp_path), "is a folder: name a file in it"),
        ("file", str(tmp_path / "wall" / "x.json"), "wall is a file"),
        ("folder", str(tmp_path / "wall"), "is a file: name a folder"),
        ("folder", str(tmp_path / "wall" / "x"), "wall is a file"),
    ):
        argv = [part.format(**{**good, name: bad}) for part in COMMANDS[command]]
        if argv == [part.format(**good) for part in COMMANDS[command]]:
            continue  # it has no such option
        assert main(argv) == 2
        assert words in capsys.readouterr().err
        assert sorted(p.name for p in tmp_path.iterdir()) == ["wall"]
