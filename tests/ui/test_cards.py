"""Cards on the page: which are shown, and what a program may send in their name."""

from dataclasses import replace

import pytest

from tracache.compare.cards import CARDS
from tracache.settings import Settings
from tracache.ui.form import fill_controls, read_request
from tracache.ui.widgets.cards import chosen_card, show_cards

SETTINGS = Settings.from_environment()


def test_every_card_is_a_button_with_its_recorded_pictures():
    html = show_cards(SETTINGS)
    assert html.count("<button") == len(CARDS) == 4
    assert html.count("<img") == sum(len(card.pictures) for card in CARDS.values())
    assert all(card.title in html and card.about in html for card in CARDS.values())
    assert "chosen by measurement" in html


def test_where_their_model_is_not_offered_there_are_none():
    assert show_cards(replace(SETTINGS, offered=("scenes-class",))) == ""


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_the_controls_can_hold_what_a_card_asks_for(card):
    """Pressed again by hand, the page makes the same comparison."""
    asked = card.request()
    again = read_request(fill_controls(asked), SETTINGS)
    assert again.arms == asked.arms
    assert all(again.set_up(arm, computed=5) == asked.set_up(arm, computed=5) for arm in asked.arms)


@pytest.mark.parametrize("sent", [None, "push", {}, {"card": "../x"}, {"card": ["push"]}, {"x": 1}])
def test_what_is_no_card_is_refused(sent):
    with pytest.raises(ValueError, match="there is no such card; choose from identical, push"):
        chosen_card(sent)
