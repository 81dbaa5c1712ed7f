"""The palette: readable on either page, and one colour for each meaning, whoever looks."""

from itertools import combinations

import numpy as np
import pytest

from tracache.compare.colours import (
    ARMS,
    COMPUTED,
    COMPUTED_ANYWHERE,
    DARK_PAGE,
    GREY,
    LIGHT_PAGE,
    ORDERS,
    PARTIAL,
    arm_colours,
    custom_properties,
    style_sheet,
)

#: What colour-blind eyes see, in linear light (Machado, Oliveira and Fernandes 2009, severity 1).
EYES = {
    "usual": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}

#: To Oklab (Ottosson 2020), by way of the cones.
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def linear(colour):
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG's contrast ratio."""
    dark, light = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def apart(one, other, eyes):
    """Distance in Oklab as these eyes see it."""
    seen = [np.clip(EYES[eyes] @ linear(c), 0, 1) for c in (one, other)]
    return np.linalg.norm(np.subtract(*[OKLAB @ np.cbrt(CONES @ c) for c in seen]))


@pytest.mark.parametrize(("page", "field"), [("light", LIGHT_PAGE), ("dark", DARK_PAGE)])
def test_what_is_drawn_stands_out_from_the_page(page, field):
    for tone in (COMPUTED, PARTIAL, *ORDERS):
        assert contrast(getattr(tone, page), field) >= 3
    for colour in (*ARMS.values(), GREY, COMPUTED_ANYWHERE):
        assert contrast(colour, field) >= 3


@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_no_order_is_taken_for_another_or_for_computed(page, eyes):
    cells = [getattr(tone, page) for tone in (COMPUTED, PARTIAL, *ORDERS)]
    # 0.02 can just be seen side by side.
    assert min(apart(a, b, eyes) for a, b in combinations(cells, 2)) > 0.06


@pytest.mark.parametrize("eyes", EYES)
def test_no_arm_is_taken_for_another(eyes):
    # Figures tell arms apart by their markers too, so less has to do than of orders.
    assert min(apart(a, b, eyes) for a, b in combinations(ARMS.values(), 2)) > 0.05


def test_no_arm_is_taken_for_what_is_computed():
    assert min(apart(arm, COMPUTED_ANYWHERE, "usual") for arm in ARMS.values()) > 0.08


def test_an_arm_has_its_own_colour_whoever_is_beside_it():
    assert arm_colours(["fewer-steps", "toca", "tracache"])[::2] == [
        ARMS["fewer-steps"],
        ARMS["tracache"],
    ]
    # Those without one take what is left, and only then what somebody has.
    lent = arm_colours(["toca", "pab", "sea", "tracache", "mag", "vde"])
    assert len(set(lent)) == 6
    assert set(arm_colours([f"arm {n}" for n in range(20)])) == set(ARMS.values())


@pytest.mark.parametrize("page", ["light", "dark"])
def test_orders_run_from_light_to_dark(page):
    assert np.all(
        np.diff([linear(getattr(t, page)) @ [0.2126, 0.7152, 0.0722] for t in ORDERS]) < 0
    )


def test_style_sheets_have_the_same_colours():
    light, dark = style_sheet().splitlines()
    for name, tone in custom_properties().items():
        assert f"{name}: {tone.light};" in light
        assert f"{name}: {tone.dark};" in dark
