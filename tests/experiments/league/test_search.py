"""Settings are found that come to a budget, and none where none does."""

import pytest

from tracache.experiments.league.search import Try, choose, options_to_try, search, within


def test_within_is_two_per_cent_over_and_less_than_a_step_under():
    assert [within(computed, 10) for computed in (9.0, 9.01, 10.2, 10.21)] == [
        *(False, True, True, False)
    ]


def test_the_least_error_wins_among_those_that_compute_as_much():
    tried = [Try({"a": 1}, 9.9, 0.3), Try({"a": 2}, 10.1, 0.2), Try({"a": 3}, 9.5, 0.1)]
    assert choose(tried, 10).options == {"a": 2}
    # Nobody is within two per cent: the one that computes most.
    assert choose(tried[2:], 10).options == {"a": 3}
    assert choose(tried[:1], 5) is None


def test_a_threshold_is_found_between_its_neighbours():
    runs = []

    def run(options):
        runs.append(options)
        # Computes fewer steps the higher the threshold, and more of them with "most" 2.
        computed = 20 / (1 + options["threshold"]) + (options["most"] == 2)
        return Try(options, computed, options["threshold"])

    tries = {"threshold": (0.1, 1.0, 9.0), "most": (2, 4)}
    found = search(run, tries, [7, 10, 40])
    assert len(options_to_try(tries)) == 6
    assert found[7] is not None
    assert 6.86 <= found[7].computed <= 7.14
    # 20 / (1 + 1) is ten: nothing to search.
    assert found[10].options == {"threshold": 1.0, "most": 4}
    assert found[40] is None
    assert len(runs) <= 6 + 5


@pytest.mark.parametrize("computed", [3.0, 9.0])
def test_nothing_is_halved_where_no_neighbours_are_on_both_sides(computed):
    runs = []

    def run(options):
        runs.append(options)
        return Try(options, computed, 0.1)

    assert search(run, {"threshold": (0.1, 1.0)}, [6]) == {6: None}
    assert len(runs) == 2
