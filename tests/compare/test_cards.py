"""What the cards promise is so when they are run; and a card is known by its comparison."""

from types import SimpleNamespace

import pytest

from tracache.compare.cards import CARDS, card_of
from tracache.compare.comparison import run
from tracache.compare.examples import FOLDER
from tracache.compare.request import make_request
from tracache.models.loading import load_model
from tracache.settings import Settings


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_card_shows_what_it_promises(card):
    arms = run(load_model(card.given["model"]), card.request()).arms
    assert card.holds(arms)
    assert card.verdict(arms) == card.kept


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_its_pictures_are_there_and_small(card):
    arms = card.request().arms
    for arm in card.pictures:
        assert arm in arms
        file = Settings.from_environment().assets / FOLDER / card.file(arm)
        assert file.stat().st_size < 20_000


def test_a_card_is_known_by_what_is_asked_for():
    card = CARDS["push"]
    assert card_of(card.request()) is card
    # Whether a picture may be reused changes nothing of what is seen; everything else does.
    assert card_of(make_request(**card.given)) is card
    assert card_of(make_request(**{**card.given, "seed": 1})) is None
    assert card_of(make_request(**{**card.given, "compute": 5})) is None


def test_where_it_did_not_come_as_promised_that_is_said():
    card = CARDS["identical"]
    assert card.verdict([SimpleNamespace(arm="tracache", psnr=30.0)]) == card.broken
