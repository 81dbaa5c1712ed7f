"""The search for which steps to compute."""

import json

import pytest

from tracache.cli.main import main
from tracache.experiments.tune import neighbours, starting_steps
from tracache.models.presets import Preset


@pytest.mark.parametrize("num_steps", [2, 5, 20, 50])
@pytest.mark.parametrize("density", [1.0, 1.6, 2.5])
def test_schedules_have_the_ends_and_the_budget(num_steps, density):
    for budget in range(2, num_steps + 1):
        steps = starting_steps(num_steps, budget, density)
        assert len(steps) == budget
        assert (steps[0], steps[-1]) == (0, num_steps - 1)
        assert list(steps) == sorted(set(steps))


def test_denser_means_later():
    assert starting_steps(20, 5, 1.0) == (0, 5, 10, 14, 19)
    even, dense = (starting_steps(50, 8, d) for d in (1.0, 2.0))
    assert all(a <= b for a, b in zip(even, dense, strict=True))


def test_neighbours_move_one_step_and_never_the_first():
    found = set(neighbours((0, 3, 5), 6))
    assert found == {(0, 2, 5), (0, 4, 5), (0, 3, 4)}
    assert (0, 1, 5) in set(neighbours((0, 3, 5), 6, reach=2))


def test_tune_writes_presets(tmp_path, capsys):
    file = tmp_path / "presets.json"
    argv = ["tune", "--steps", "6", "--budgets", "3", "--count", "1", "--json", str(file)]
    assert main(argv) == 0
    (entry,) = json.loads(file.read_text())["presets"]
    preset = Preset.from_dict(entry)
    assert preset.steps == 6
    assert len(preset.cache.full_steps) == 3
    # It begins with even spacing among others, so it can only be nearer.
    assert 0 < entry["tuned"]["latent_error"] < 2
    assert "fewer steps" in capsys.readouterr().out


def test_impossible_budgets_are_refused(capsys):
    assert main(["tune", "--steps", "6", "--budgets", "7"]) == 2
    assert "budgets must be a whole number from 2 to 6, got 7" in capsys.readouterr().err
