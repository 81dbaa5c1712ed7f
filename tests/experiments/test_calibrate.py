"""What is calibrated beforehand: measured, written, read, and refused for other runs."""

import json
import re
from dataclasses import asdict, replace

import pytest
import torch

from tracache.caching.calibration import PLANS, Calibration, Occasion, read_calibration
from tracache.caching.config import TraCacheConfig
from tracache.caching.coordinates import gaussian_noise
from tracache.caching.fit import fit_weights, record_features
from tracache.caching.magnitudes import record_ratios
from tracache.caching.methods import MagCacheConfig
from tracache.caching.methods.learned import LearnedConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import first_denoiser
from tracache.cli.main import main
from tracache.compare.arm import Setup
from tracache.compare.arms import ARMS
from tracache.compare.request import make_request
from tracache.compare.sampling import prepare, sample
from tracache.compare.triple import Triple
from tracache.experiments.nearness import errors_of
from tracache.experiments.plan_graphs import REUSE, Handed, prediction_costs
from tracache.models.loading import load_model

MODEL, STEPS = "scenes-t2i", 5
CALIBRATE = ["calibrate", "--steps", str(STEPS), "--count", "2", "--batch", "1"]
PROMPTS = ("a red cube on grass", "a blue cone on sand")
RUN = Occasion(MODEL, "", "dpm-solver++", STEPS, 2.5)


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS))
    return ["--prompts", str(file)]


def inputs(model, index):
    return prepare(model, PROMPTS[index : index + 1], [index], 2.5, "dpm-solver++")


def ask(steps=STEPS, **settings):
    return make_request(MODEL, PROMPTS[0], steps=steps, who="host", **settings)


def test_magnitudes_are_the_mean_over_the_prompts_and_the_arm_reads_them(model, prompts, tmp_path):
    file = tmp_path / "ratios.json"
    assert main([*CALIBRATE, *prompts, "--what", "magnitudes", "--json", str(file)]) == 0
    runs = []
    for index in (0, 1):
        with record_ratios(first_denoiser(model.pipe)) as ratios:
            sample(model, inputs(model, index), Setup(STEPS))
        runs.append(ratios)
    ratios = json.loads(file.read_text())["ratios"]
    assert ratios == pytest.approx([sum(both) / 2 for both in zip(*runs, strict=True)], rel=1e-5)
    request = ask(arms=["mag"], options={"mag": {"file": str(file)}})
    assert request.set_up("mag").cache.ratios == tuple(ratios)


def test_weights_are_fitted_to_all_prompts_and_the_arm_runs_on_them(model, prompts, tmp_path):
    file = tmp_path / "weights.json"
    argv = [*CALIBRATE, *prompts, "--what", "weights", "--compute", "2", "3", "--max-order", "1"]
    assert main([*argv, "--json", str(file)]) == 0
    config = LearnedConfig(file=str(file)).forecast(3)
    assert config.full_steps == (0, 2, 4)
    runs = []
    for index in (0, 1):
        with record_features(first_denoiser(model.pipe)) as features:
            sample(model, inputs(model, index), Setup(STEPS))
        runs.append(features)
    fitted = fit_weights(runs, [float(i) for i in range(STEPS)], (0, 2, 4), 1)
    for mine, theirs in zip(config.weights, fitted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    request = ask(arms=["l2p", "reuse"], options={"l2p": {"file": str(file)}}, compute=3)
    assert request.set_up("l2p").computed_steps == (0, 2, 4)
    done = sample(model, inputs(model, 0), request.set_up("l2p"))
    assert done.computed_steps == (0, 2, 4)
    with pytest.raises(ValueError, match=r"no calibrated plan of 4 computed .* only of 2, 3"):
        ask(arms=["l2p"], options={"l2p": {"file": str(file)}}, compute=4)


def test_a_plan_of_lemica_bounds_the_worst_gap_that_was_run(model, prompts, tmp_path):
    file = tmp_path / "lemica.json"
    argv = [*CALIBRATE, *prompts, "--what", "lemica", "--widest", "2", "--count", "1"]
    assert main([*argv, "--json", str(file)]) == 0
    found = read_calibration(file, "lemica")
    assert list(found.values["plans"]) == ["2", "3", "4", "5"]
    start = inputs(model, 0)
    full = sample(model, start, Setup(STEPS)).latents

    def error(plan):
        done = sample(model, start, Setup(STEPS, replace(REUSE, full_steps=plan)))
        assert done.computed_steps == plan
        return errors_of(done.latents, full)[0]

    # Three computed steps and two skipped: together, or one by one.
    gaps = {b: error(tuple(s for s in range(STEPS) if s != b)) for b in range(1, STEPS)}
    wide = {b: error(tuple(s for s in range(STEPS) if s not in (b, b + 1))) for b in (1, 2, 3)}
    apart = {(a, b): (gaps[a], gaps[b]) for a, b in ((1, 3), (1, 4), (2, 4))}
    together = {(b, b + 1): (wide[b], 0.0) for b in wide}
    both = {**apart, **together}
    skipped = min(both, key=lambda pair: sorted(both[pair], reverse=True))
    assert found.plan(3) == tuple(s for s in range(STEPS) if s not in skipped)
    options = {"tracache": {"placement": "lemica", "plan_file": str(file)}}
    request = ask(options=options, compute=3)
    assert request.set_up("tracache").computed_steps == found.plan(3)
    done = sample(model, start, request.set_up("tracache"))
    assert done.computed_steps == found.plan(3)
    with pytest.raises(ValueError, match="plans of LeMiCa, not plans of DPCache"):
        ask(options={"tracache": {"placement": "dpcache", "plan_file": str(file)}})
    with pytest.raises(ValueError, match=r"plans of LeMiCa are for 5 steps .*, not for 6 steps of"):
        ask(6, options=options, compute=3)


def test_a_cut_measurement_of_gaps_goes_on_where_it_was(prompts, tmp_path, monkeypatch):
    argv = [*CALIBRATE, *prompts, "--what", "lemica", "--widest", "2", "--json"]
    runs = []

    def counted(model, start, setup, **more):
        runs.append(setup)
        if len(runs) == limit:
            raise KeyboardInterrupt
        return sample(model, start, setup, **more)

    monkeypatch.setattr("tracache.experiments.plan_graphs.sample", counted)
    whole, parts, limit = tmp_path / "whole.json", tmp_path / "parts.json", None
    assert main([*argv, str(whole)]) == 0
    # Seven gaps and full compute for each of two prompts.
    assert len(runs) == 16
    runs, limit = [], 12
    kept = ["--output", str(tmp_path / "kept")]
    main([*argv, str(parts), *kept])
    assert not parts.exists()
    # All of the first prompt is there, and of the second the first two gaps.
    runs, limit = [], None
    assert main([*argv, str(parts), *kept]) == 0
    assert len(runs) == 1 + 5
    assert json.loads(parts.read_text()) == json.loads(whole.read_text())
    runs = []
    assert main([*argv, str(parts), *kept, "--batch", "2"]) == 2
    assert main([*argv, str(parts), *kept, "--what", "dpcache"]) == 2
    assert runs == []


def test_an_arm_of_ones_own_goes_by_plans_within_the_denoiser_too(tmp_path, capsys):
    file = tmp_path / "lemica.json"
    made = Calibration("lemica", RUN, 1, {"plans": {"3": [0, 1, 3]}})
    file.write_text(json.dumps(made.to_dict()))
    triple = Triple("blocks", "reuse", "lemica", plan_file=str(file))
    config = triple.configure(TraCacheConfig(), compute=3)
    assert (config.space, config.rule, config.full_steps) == ("blocks", "reuse", (0, 1, 3))
    argv = ["compare", "--prompt", PROMPTS[0], "--steps", str(STEPS), "--compute", "3", "--plan"]
    own = ["--rule", "reuse", "--placement", "lemica", "--plan-file", str(file)]
    for space in ("data", "blocks"):
        assert main([*argv, *own, "--space", space]) == 0
        assert "3 of 5 steps compute: 1 2 4" in capsys.readouterr().out
    assert main([*argv, *own[2:4]]) == 2
    assert "'lemica' needs plans of LeMiCa calibrated" in capsys.readouterr().err
    assert main([*argv, *own[4:], "--arms", "tracache"]) == 2
    assert "--plan-file is for an arm of your own: leave out --arms" in capsys.readouterr().err
    assert main([*argv, *own, "--scheduler", "ddim"]) == 2
    assert "Your own: the calibrated plans of LeMiCa are for 5" in capsys.readouterr().err


def test_costs_of_dpcache_are_how_far_lines_miss(model):
    """Each from the values themselves, where inner products of them are taken."""
    handed = Handed("data")
    sample(model, inputs(model, 0), Setup(STEPS), glimpses=handed)
    costs = prediction_costs(model, [inputs(model, 0)], STEPS, "data")
    values = [value[0].double() for value in handed.values]
    points = [gaussian_noise(level.log_snr) for level in handed.levels]
    assert points == sorted(points)
    slope = (values[2] - values[1]) / (points[2] - points[1])
    missed = [
        float((values[2] + (points[m] - points[2]) * slope - values[m]).norm() / values[m].norm())
        for m in (3, 4)
    ]
    assert costs[1][2][3:] == pytest.approx([0.0, missed[0], sum(missed)], rel=1e-6)
    alone = [float((values[0] - values[m]).norm() / values[m].norm()) for m in (1, 2)]
    assert costs[0][0][1:4] == pytest.approx([0.0, alone[0], sum(alone)], rel=1e-6)
    assert costs[2][1][4] == costs[1][1][4] == float("inf")


def test_plans_of_dpcache_are_of_the_least_sum_and_know_their_schedule(prompts, tmp_path):
    file = tmp_path / "dpcache.json"
    argv = [*CALIBRATE, *prompts, "--what", "dpcache", "--compute", "2", "3", "--space", "data"]
    assert main([*argv, "--json", str(file)]) == 0
    found = read_calibration(file, "dpcache")
    assert found.values["measured"] == {"space": "data", "rule": "line"}
    config = PlannedConfig(3, placement="dpcache", plan_file=str(file), space="data")
    assert config.plan_steps(STEPS) == found.plan(3)
    assert config.place(found.values["log_snr"]) == found.plan(3)
    assert replace(config, compute=STEPS).plan_steps(STEPS) == tuple(range(STEPS))
    with pytest.raises(ValueError, match="no calibrated plan of 4 computed"):
        replace(config, compute=4).plan_steps(STEPS)
    found.check_schedule(found.values["log_snr"])
    for other in ([0.0] * STEPS, found.values["log_snr"][1:]):
        with pytest.raises(ValueError, match="are for another noise schedule, that of 5 steps"):
            found.check_schedule(other)


def test_a_placement_by_plans_needs_a_file_and_no_other_takes_one():
    with pytest.raises(ValueError, match=r"'lemica' needs plans of LeMiCa calibrated.*plan_file"):
        PlannedConfig(placement="lemica")
    with pytest.raises(ValueError, match="plan_file goes with placement lemica or dpcache, not"):
        PlannedConfig(plan_file="plans.json")
    offered = ARMS["tracache"].offered
    assert "plan_file" not in offered
    assert not set(PLANS) & set(offered["placement"].choices)


@pytest.fixture
def ratios(tmp_path):
    file = tmp_path / "ratios.json"
    values = {"ratios": [1.0] * STEPS}
    file.write_text(json.dumps(Calibration("magnitudes", RUN, 1, values).to_dict()))
    return file


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"steps": 6}, "are for 5 steps, not 6: run python -m tracache calibrate"),
        ({"scheduler": "ddim"}, "of dpm-solver.. at guidance 2.5 .* of ddim at guidance 2.5"),
        ({"guidance_scale": 4.0}, "not for 5 steps .* at guidance 4 on scenes-t2i: run"),
    ],
)
def test_other_runs_are_refused(ratios, other, told):
    assert ask(arms=["mag"], options={"mag": {"file": str(ratios)}})
    with pytest.raises(ValueError, match=told):
        ask(**{"arms": ["mag"], "options": {"mag": {"file": str(ratios)}}, **other})


def test_other_weights_are_refused(ratios):
    data = json.loads(ratios.read_text())
    ratios.write_text(json.dumps({**data, "weights": "0" * 64}))
    with pytest.raises(ValueError, match=r"MagCache: .* are of other weights of scenes-t2i"):
        ask(arms=["mag"], options={"mag": {"file": str(ratios)}})


def test_in_python_another_number_of_steps_is_refused_too(ratios):
    config = MagCacheConfig(file=str(ratios))
    assert config.plan_steps(STEPS)
    # A bare list is anybody's, and stretched.
    assert len(MagCacheConfig(config.ratios).plan_steps(7)) <= 7
    with pytest.raises(ValueError, match="magnitudes are for 5 steps, not 7"):
        config.plan_steps(7)
    with pytest.raises(ValueError, match="magnitudes are for 5 steps, not 7"):
        replace(config, threshold=0.1).plan_steps(7)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{", "is no file that python -m tracache calibrate has written"),
        ({"calibrated": "luck", "prompts": 1}, "is no file that python -m tracache calibrate"),
        ({"what": "weights", "values": {"plans": {}}}, "holds no plans"),
        ({"what": "weights", "values": {"plans": {"2": [1, 2]}}}, "plan of 2 computed steps is"),
        ({"what": "weights", "values": {"plans": {"2": [0, 5]}}}, "of 2 goes beyond its 5 steps"),
        ({"what": "magnitudes", "values": {"ratios": [1.0]}}, "a ratio for each of its 5 steps"),
        ({"what": "lemica", "values": {"plans": {"1": [0]}}}, "holds plans of LeMiCa, not magn"),
    ],
)
def test_files_that_are_none_are_refused(data, told, tmp_path):
    file = tmp_path / "calibrated.json"
    if isinstance(data, dict) and "what" in data:
        data = Calibration(data["what"], RUN, 1, data["values"]).to_dict()
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ValueError, match=told):
        read_calibration(file, "magnitudes", "weights")


def test_what_is_written_is_what_is_read(tmp_path):
    made = Calibration("weights", RUN, 3, {"plans": {"2": [0, 4]}, "rows": {}, "max_order": 1})
    (tmp_path / "a.json").write_text(json.dumps(made.to_dict()))
    assert read_calibration(tmp_path / "a.json", "weights") == made
    assert asdict(made.occasion) == asdict(RUN)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--what", "magnitudes", "--compute", "3"], "magnitudes are the same for any number"),
        (["--what", "weights", "--compute", "6"], "compute must be a whole number from 1 to 5"),
        (["--what", "dpcache", "--max-order", "1"], "max_order does not go with --what dpcache"),
        (["--what", "weights", "--max-order", "9"], "max_order must be a whole number from 0 to"),
        (["--what", "lemica", "--widest", "1", "--compute", "2"], "from 3 to 5, got 2"),
        (["--what", "lemica", "--rule", "vde"], "use space='velocity', got 'output'"),
        (["--what", "dpcache", "--widest", "2"], "widest does not go with --what dpcache"),
        (["--what", "weights", "--space", "data"], "space does not go with --what weights"),
        (["--what", "weights", "--steps", "1"], "steps must be 2 or more to calibrate"),
        (["--what", "weights", "--model", "sdxl"], "parts of the blocks of .* are not known"),
        (["--what", "weights", "--count", "0"], "count must be from 1"),
    ],
)
def test_refused_before_any_work(more, told, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "to", None)  # whatever is loaded is moved
        assert main([*CALIBRATE, "--json", str(tmp_path / "a.json"), *more]) == 2
    assert re.search(told, capsys.readouterr().err)
    assert not (tmp_path / "a.json").exists()


def test_the_place_of_the_file_is_tried_first(tmp_path, capsys):
    argv = [*CALIBRATE, "--what", "magnitudes", "--json", str(tmp_path / "none" / "a.json")]
    assert main(argv) == 2
    assert "make it first" in capsys.readouterr().err
