"""Outlines are measured as one would by hand: discs, squares, lumps, and pictures of them."""

import numpy as np
import pytest

from tracache.metrics.outlines import find_solid, roundness, sharpness, solidity

SIZE = 96
Y, X = np.mgrid[:SIZE, :SIZE]
DISC = (X - 45) ** 2 + (Y - 50) ** 2 <= 30**2
ELLIPSE = ((X - 45) / 34) ** 2 + ((Y - 50) / 18) ** 2 <= 1
SQUARE = (abs(X - 48) <= 25) & (abs(Y - 48) <= 25)
#: A square without a quarter of it: the hull cuts the corner.
CORNER = SQUARE & ~((X > 48) & (Y > 48))


def lumpy(depth):
    """A disc whose edge goes in and out."""
    angle = np.arctan2(Y - 50, X - 45)
    return np.hypot(X - 45, Y - 50) <= 30 + depth * np.sin(7 * angle)


def paint(mask, colour=(125, 40, 190), ground=(120, 170, 80)):
    return np.where(mask[..., None], np.uint8(colour), np.uint8(ground))


def test_solidity_is_a_share_of_the_hull():
    assert solidity(SQUARE) == 1.0
    # The hull passes over the corners of a disc's pixels.
    assert 0.96 < solidity(DISC) < 1.0
    # 51² without 25², beside 51² without half of 25².
    assert solidity(CORNER) == pytest.approx((51**2 - 25**2) / (51**2 - 25**2 / 2), rel=0.01)
    assert solidity(lumpy(4)) < solidity(lumpy(2)) < solidity(DISC)
    assert np.isnan(solidity(np.zeros((4, 4), bool)))


def test_roundness_is_nearness_to_an_ellipse():
    assert roundness(DISC) > 0.985
    assert roundness(ELLIPSE) > 0.975
    # Of a square, the ellipse of its moments is a disc of radius side / √3.
    assert 0.8 < roundness(SQUARE) < 0.88
    assert roundness(lumpy(4)) < roundness(lumpy(2)) < roundness(DISC)


def test_the_largest_region_of_the_hue_is_found_with_its_highlight_and_without_the_rest():
    highlight = (X - 38) ** 2 + (Y - 42) ** 2 <= 6**2
    picture = paint(DISC)
    picture[highlight] = 250
    picture[:6, :6] = (125, 40, 190)
    assert (find_solid(picture, hue=274.0) == DISC).all()
    assert not find_solid(picture, hue=0.0).any()
    # Of another hue, or of none, as the ground in shadow.
    assert find_solid(paint(DISC, ground=(90, 90, 90)), hue=274.0).sum() == DISC.sum()


def test_blurring_an_edge_takes_its_sharpness_and_not_its_place():
    sharp = paint(SQUARE)
    padded = np.pad(sharp.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = sum(padded[i : i + SIZE, j : j + SIZE] for i in range(3) for j in range(3)) / 9
    found = [sharpness(picture.astype(np.uint8), SQUARE) for picture in (sharp, soft)]
    assert found[1] < 0.5 * found[0]
    assert sharpness(paint(np.zeros_like(SQUARE)), SQUARE) == 0.0
    assert np.isnan(sharpness(sharp, np.zeros_like(SQUARE)))
