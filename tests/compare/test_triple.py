"""A method is a triple with a name, and any triple that can be had can be said."""

from itertools import product

import pytest

from tracache import TraCacheConfig
from tracache.caching.config import BLOCK_PLACEMENTS
from tracache.caching.declare import settings_of
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.placements import PLACEMENTS
from tracache.compare.arm import Given
from tracache.compare.arms import ARMS
from tracache.compare.options import check_options
from tracache.compare.request import make_request
from tracache.compare.serialise import from_given, from_query, given_of, to_command, to_query
from tracache.compare.triple import WITHIN, Triple

AXES = {name: settings_of(Triple)[name].offered.choices for name in ("space", "rule", "placement")}


def allowed(space, rule, placement):
    """What goes with what, told plainly."""
    if rule == "vde":
        return space == "velocity"
    if space in WITHIN:
        blocks = ("lagrange", "taylor", "hermite", "chebyshev", "dmd", "foca", "reuse")
        return rule in blocks and placement != "measured"
    return True


@pytest.mark.parametrize("space", AXES["space"])
def test_any_of_one_axis_goes_with_any_of_the_others(space):
    for rule, placement in product(AXES["rule"], AXES["placement"]):
        if not allowed(space, rule, placement):
            with pytest.raises(ValueError, match=r"^(rule|placement)\W"):
                Triple(space, rule, placement)
            continue
        config = Triple(space, rule, placement).configure(TraCacheConfig(), compute=6)
        assert (config.space, config.rule, config.placement) == (space, rule, placement)
        assert config.budget(20) == 6


def test_every_arm_of_a_triple_is_what_it_says():
    given = Given(20, TraCacheConfig(compute=7))
    for arm in ARMS.values():
        if arm.triple is None:
            continue
        config = arm.setup(given).cache
        said = (arm.triple.space, arm.triple.rule, arm.triple.placement)
        assert (config.space, config.rule, config.placement) == said
        assert config.budget(20) == 7
        assert isinstance(config, TraCacheConfig if arm.triple.within else PlannedConfig)
        assert getattr(config, "correct", False) == arm.triple.correct
    assert str(ARMS["tracache"].triple) == "noise × measured × planned, looking back"
    assert str(ARMS["spectrum"].triple) == "blocks × chebyshev × even"


def test_kin_keep_the_requests_schedule_and_settings():
    cache = TraCacheConfig(stride=4, max_order=3, warmup=2, window=2)
    settings = {"order": "fixed", "abscissa": "step"}
    for name in ("dmd", "foca"):
        config = ARMS[name].setup(Given(20, cache)).cache
        assert config == TraCacheConfig(4, 3, warmup=2, window=2, rule=name, **settings)


def test_exactly_those_steps_that_are_given():
    given = Given(20, TraCacheConfig(full_steps=(0, 3, 9)))
    for name in ("vde", "zeus", "own"):
        assert ARMS[name].setup(given).computed_steps == (0, 3, 9)


@pytest.mark.parametrize("placement", BLOCK_PLACEMENTS)
def test_a_placement_is_the_same_steps_in_every_space(placement):
    log_snr = [-5.0 + 0.5 * i for i in range(20)]
    steps = PLACEMENTS[placement].place(log_snr, 6)
    for space in AXES["space"]:
        config = Triple(space, placement=placement).configure(TraCacheConfig(), compute=6)
        assert config.place(log_snr) == steps


def test_what_does_not_go_together_is_said_in_the_arms_name():
    options = {"own": {"space": "blocks", "rule": "zeus"}}
    with pytest.raises(ValueError, match=r"Your own: rule must be one of lagrange, .* where sp"):
        check_options(options)


def test_links_and_commands_say_it():
    own = {"space": "data", "rule": "chebyshev", "placement": "growing"}
    request = make_request(
        "scenes-t2i", "a red cube on sand", seed=1, arms=["own"], options={"own": own}, compute=8
    )
    given = given_of(request)
    assert from_given(from_query(to_query(given))) == request
    assert "--option own.rule=chebyshev" in to_command(given)
