"""What toasts show of what was sent: text, and little of it."""

import json

import pytest

from tracache.compare.request import make_request
from tracache.ui.toast import MAX_QUOTED, plain, tell

HOSTILE = '<div style="position:fixed"><form action="https://example.org"><img src=x onerror=y>'


@pytest.mark.parametrize(
    "given",
    [
        {"model": HOSTILE},
        {"arms": [HOSTILE]},
        {"scheduler": HOSTILE},
        {"criterion": HOSTILE},
        {"preset": HOSTILE},
        {"options": {"toca": {HOSTILE: 1}}},
        {"options": {"toca": {"ratio": HOSTILE}}},
        {"guidance_scale": HOSTILE},
    ],
)
def test_no_markup_is_left(given):
    with pytest.raises(ValueError) as error:
        make_request(**{"model": "scenes-t2i", "prompt": "a red cube", **given})
    assert "<" not in tell(error.value).message
    assert "&lt;div" in tell(error.value).message


@pytest.mark.parametrize(
    "value",
    ["x" * 5000, "x y " * 2000, 'it\'s "so" ' * 900, "\\" * 3001, "\n" * 999, 10**4000],
    ids=["a word", "words", "quotes", "backslashes", "lines", "a number"],
)
def test_what_is_quoted_is_cut_short(value):
    message = plain(f"unknown model {value!r}; choose from scenes-t2i, scenes-t2v")
    # An escaped character is two.
    assert len(message) < 2 * MAX_QUOTED + 60
    assert message.startswith("Unknown model ")
    assert message.endswith(" choose from scenes-t2i, scenes-t2v")


@pytest.mark.parametrize(
    "message",
    [
        "Stride must be a whole number from 1 to 50, got 2.5",
        "The model's trace doesn't fit, and the whole of it wouldn't either: choose fewer steps, "
        "or a smaller model, or another day's queue.",
        "Put its files into /" + "folder/" * 20,
        json.dumps({"a": 1}),
    ],
)
def test_ordinary_messages_stay_as_they_are(message):
    assert plain(message) == message
