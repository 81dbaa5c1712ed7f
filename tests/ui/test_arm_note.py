"""What stands beside the choice of an arm."""

import pytest

from tracache.compare.arms import ARMS
from tracache.models.registry import find_model
from tracache.ui.views.notes import arm_note


@pytest.mark.parametrize("arm", ["tracache", "published", "vde", "teacache"])
def test_an_arm_that_is_a_triple_says_so(arm):
    note, triple = arm_note(arm, find_model("scenes-t2i")), ARMS[arm].triple
    assert ("Space × rule × placement" in note) == (triple is not None)
    assert triple is None or f"{triple}." in note
