"""Which control a refusal marks."""

import pytest

from tests.ui.test_form import own
from tracache.compare.request import make_request
from tracache.ui.fault import field_at_fault
from tracache.ui.form import fill_controls, read_request

PROMPT = "a matte blue cube on snow in daylight"
GOOD = fill_controls(make_request("scenes-t2i", PROMPT, seed=3))


@pytest.mark.parametrize(
    "change, field",
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 10_000}, "prompt"),
        ({"seed": None}, "seed"),
        ({"steps": 1000}, "steps"),
        ({"guidance_scale": "3"}, "guidance_scale"),
        ({"stride": 0, "when": "stride"}, "stride"),
        ({"compute": 0}, "compute"),
        ({"also": ["reuse", "pab", "toca"]}, "also"),
        ({"arm": "toca", "also": ["toca"]}, "also"),
        (own("tracache", space="blocks"), "tracache_space"),
        (own("toca", ratio=7), "toca_ratio"),
        ({"arm": "gates"}, "arm"),
        ({"model": "scenes-class", "class_label": "purpel cube"}, "class_label"),
    ],
)
def test_the_field_that_is_to_blame(change, field):
    values = {**GOOD, **change}
    with pytest.raises(ValueError) as refusal:
        read_request(values)
    assert field_at_fault(str(refusal.value), values) == field


def test_nobody_is_blamed_for_what_is_no_fields_fault():
    assert field_at_fault("the device is busy", GOOD) == ""
    assert field_at_fault("", GOOD) == ""
