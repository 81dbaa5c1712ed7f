"""Settings and schedule: what is refused, and which steps compute."""

import dataclasses
import math

import pytest

from tracache import TraCacheConfig
from tracache.caching import abscissa as noise
from tracache.caching import config
from tracache.caching.rules.newton import NEWTON
from tracache.caching.rules.registry import BLOCK_RULES, RULES, SERIES
from tracache.caching.steps import computed_steps, computes


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("stride", 0, "1 to 50"),
        ("stride", 51, "1 to 50"),
        ("stride", 2.5, "whole number"),
        ("stride", math.nan, "whole number"),
        ("stride", True, "whole number"),
        ("stride", "3", "whole number"),
        ("stride", None, "whole number"),
        ("max_order", -1, "0 to 5"),
        ("max_order", 9, "0 to 5"),
        ("warmup", 0, "1 to"),
        ("last_step", 1, "True or False"),
        ("order", "best", "dynamic, fixed"),
        ("local_extrapolation", "yes", "True or False"),
        ("criterion", "variance", "std"),
        ("rule", None, "lagrange, taylor, hermite, chebyshev, dmd, foca, learned, reuse"),
    ],
)
def test_a_bad_value_names_the_field_the_value_and_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError) as error:
        TraCacheConfig(**{field: value})
    for part in (field, repr(value), allowed):
        assert part in str(error.value)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TraCacheConfig().stride = 2


@pytest.mark.parametrize(
    "num_steps, stride, warmup, count",
    [
        (20, 2, 1, 10),
        (20, 3, 1, 7),
        (20, 4, 1, 5),
        (50, 3, 2, 18),
        (50, 4, 2, 14),
        (50, 5, 2, 11),
        (30, 2, 1, 15),
        (30, 3, 1, 10),
        (30, 4, 1, 8),
    ],
)
def test_full_step_counts_are_the_papers(num_steps, stride, warmup, count):
    assert len(computed_steps(num_steps, stride, warmup)) == count


def test_which_steps():
    assert computed_steps(10, 3) == (0, 3, 6, 9)
    assert computed_steps(10, 3, warmup=2) == (0, 1, 4, 7)
    assert computed_steps(11, 3, last_step=True) == (0, 3, 6, 9, 10)
    assert computed_steps(4, 1) == (0, 1, 2, 3)
    assert computed_steps(3, 8, warmup=5) == (0, 1, 2)


def test_the_last_step_needs_the_number_of_steps():
    with pytest.raises(ValueError, match="num_steps"):
        computes(3, 2, last_step=True)


def test_choices_are_those_of_the_rooms_that_serve_them():
    assert set(BLOCK_RULES) == {*NEWTON, *SERIES, "learned"} - {"zeus"}
    assert set(RULES) == {*NEWTON, *SERIES, "measured", "line", "vde"}
    assert config.ABSCISSAE == noise.ABSCISSAE
