"""The three answers say what the numbers say, and where we are behind before anything else."""

import pytest

from tests.leagues import make_league
from tracache.experiments.league.questions import answer, answers_of, figure_of
from tracache.experiments.league.tables import out_words, rank_words, report, short


def row(entrant, value, budget, share, axis="plan", beside="tracache"):
    return {
        "steps": 20,
        "budget": budget,
        "entrant": entrant,
        "share": [share, share - 0.05, share + 0.05],
        "axes": [[axis, beside, value]],
    }


def rows_of(ours, theirs):
    return [
        made
        for budget, (a, b) in enumerate(zip(ours, theirs, strict=True), start=5)
        for made in (row("tracache", "planned", budget, a), row("other", "even", budget, b))
    ]


def test_ahead_everywhere():
    assert answer(rows_of([0.4, 0.3], [0.8, 0.5]), "plan", 20) == (
        "The plan that TraCache takes, planned, is nearest at every budget, and on the mean at "
        ".35 of fewer steps' error, beside .65 with even."
    )


def test_behind_at_one_budget_is_said_first_and_whether_that_is_sure():
    told = answer(rows_of([0.4, 0.52, 0.6], [0.8, 0.5, 0.3]), "plan", 20)
    assert told.startswith(
        "We are behind here: at 6 of 20 steps even is nearer (.50 against .52, within the "
        "intervals); at 7 of 20 steps even is nearer (.30 against .60); the plan"
    )
    assert "nearest at 1 of 3 budgets" in told


def test_behind_fewer_steps_counts_too():
    told = answer(rows_of([1.2, 1.1], [1.5, 1.4]), "plan", 20)
    assert told.startswith("We are behind here: fewer steps are nearer at 5 and 6; the plan")


def test_as_near_is_not_behind():
    assert answer(rows_of([0.5], [0.5]), "plan", 20).startswith("The plan")


@pytest.mark.parametrize("axis", ["space", "basis"])
def test_nothing_measured_is_said(axis):
    rows = rows_of([0.4], [0.8])
    assert answer(rows, axis, 20) == "Nothing was measured that answers this."
    assert figure_of(rows, axis, 20) is None
    # One answer is no comparison.
    assert answers_of(rows[:1], "plan", 20) == []


def test_the_figure_has_ours_first_and_the_intervals():
    rows = [*rows_of([0.4, 0.3], [0.8, 0.5]), row("published", "even", 5, 0.9, beside="published")]
    rows += [row("x", "TraCache's plan", 5, 0.7, beside="published")]
    names = [one.name for one in answers_of(rows, "plan", 20)]
    assert names[:2] == ["TraCache: planned", "TraCache: even"]
    assert names[2:] == ["as published: even", "as published: TraCache's plan"]
    figure = figure_of(rows, "plan", 20)
    first = figure.data[0]
    assert list(first.y) == [0.4, 0.3]
    assert list(first.customdata) == [5, 6]
    assert list(first.error_y.array) == pytest.approx([0.05, 0.05])


def test_a_report_has_tables_who_stays_out_and_answers():
    text = report(make_league())
    assert "| Fewer steps " in text
    assert ".040 (.50) 1 (1–2)" in text.replace(".500", ".50")
    assert "Not in the table: PAB at 5: none of its settings comes to it" in text
    assert "*Which space is extrapolated?* We are behind here" in text
    assert (rank_words([3, 3, 3]), rank_words([2, 1, 4])) == ("3", "2 (1–4)")
    assert (short(0.0404), short(1.25)) == (".040", "1.250")
    assert out_words([], 20) == ""
