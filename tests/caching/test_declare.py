"""Settings as declared: checked, read and written."""

from dataclasses import dataclass

import pytest

from tracache.caching.config import MethodConfig, TraCacheConfig
from tracache.caching.declare import HOST, KINDS, Setting, setting, settings_of
from tracache.caching.methods import GatesConfig
from tracache.compare.arms import ARMS
from tracache.compare.request import SETTINGS

EVERY = [*SETTINGS.values(), *(s for arm in ARMS.values() for s in arm.options.values())]


@dataclass(frozen=True)
class Config(MethodConfig):
    count: int = setting(3, low=1, high=9, choices=("auto",), label="Count")
    share: float = setting(0.5, low=0, high=1, label="Share")
    ends: bool = setting(False, label="Ends")
    way: str = setting("this", choices=("this", "that"), label="Way")
    name: str = setting("", label="Name", who=HOST)
    steps: tuple[int, ...] | None = setting(None, kind="steps", high=99, label="Steps")
    inner: tuple[int, ...] = (1, 2)


def test_kinds_follow_from_defaults():
    kinds = {name: declared.kind for name, declared in settings_of(Config).items()}
    assert kinds == {
        "count": "whole",
        "share": "number",
        "ends": "switch",
        "way": "choice",
        "name": "text",
        "steps": "steps",
    }


@pytest.mark.parametrize(
    "given, words",
    [
        ({"count": 0}, "count must be a whole number from 1 to 9, got 0"),
        ({"count": "fast"}, "count must be a whole number or 'auto', got 'fast'"),
        ({"count": 2.0}, "got 2.0"),
        ({"share": float("nan")}, "share must be a number from 0 to 1, got nan"),
        ({"ends": 1}, "ends must be True or False"),
        ({"way": "other"}, "way must be one of this, that; got 'other'"),
        ({"name": 3}, "name must be text"),
        ({"steps": (1, 2)}, "steps must begin with 0 and rise"),
        ({"steps": (0, 2, 2)}, "steps must begin with 0 and rise"),
        ({"steps": (0, 100)}, "steps must be a whole number from 0 to 99"),
        ({"steps": "0,1"}, "steps must be indices of steps"),
    ],
)
def test_what_is_not_allowed_is_said(given, words):
    with pytest.raises(ValueError) as error:
        Config(**given)
    assert words in str(error.value)


def test_lists_become_tuples():
    assert Config(steps=[0, 4]) == Config(steps=(0, 4))


@pytest.mark.parametrize(
    "name, value",
    [
        ("count", 4),
        ("count", "auto"),
        ("share", 0.25),
        ("ends", True),
        ("ends", False),
        ("way", "that"),
        ("steps", (0, 3, 9)),
    ],
)
def test_what_is_written_is_read_again(name, value):
    declared = settings_of(Config)[name]
    assert declared.read(declared.write(value)) == value


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("count", "two", "count must be a whole number, got 'two'"),
        ("share", "half", "share must be a number, got 'half'"),
        ("ends", "yes", "ends must be 0 or 1, got 'yes'"),
        ("steps", "0,x", "steps must be a whole number, got 'x'"),
    ],
)
def test_what_cannot_be_read_is_said(name, text, words):
    with pytest.raises(ValueError) as error:
        settings_of(Config)[name].read(text)
    assert words in str(error.value)


@pytest.mark.parametrize("declared", EVERY, ids=lambda s: s.name)
def test_every_setting_says_what_it_is(declared: Setting):
    assert declared.kind in KINDS
    assert declared.label
    # Its own default is allowed; a text may have to be something.
    assert (
        declared.kind in ("text", "value") or declared.check(declared.default) == declared.default
    )
    if declared.kind in ("whole", "number"):
        assert declared.low < declared.high


def test_configurations_share_one_base():
    for arm in ARMS.values():
        assert arm.settings is None or issubclass(arm.settings, MethodConfig)
    plain = MethodConfig()
    assert plain.plan_steps(9) is None
    answers = (plain.needs_num_steps, plain.decides_as_it_runs, plain.whole_steps)
    assert answers == ("", False, False)
    assert TraCacheConfig(last_step=True).needs_num_steps == "last_step=True"
    assert TraCacheConfig(stride="auto").decides_as_it_runs
    assert GatesConfig([[True, True], [False, True]]).plan_steps(2) == (0,)
