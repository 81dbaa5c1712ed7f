"""Precision and recall of sets of images."""

import pytest
import torch

from tracache.metrics.coverage import precision_and_recall


def cloud(count, seed, *, centre=0.0, width=1.0):
    return centre + width * torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_a_set_is_all_of_itself():
    assert precision_and_recall(cloud(40, 0), cloud(40, 0)) == (1.0, 1.0)


def test_sets_far_apart_have_nothing_in_common():
    assert precision_and_recall(cloud(40, 0), cloud(40, 1, centre=50.0)) == (0.0, 0.0)


def test_half_of_what_is_real_made_well_is_precise_and_recalls_half():
    near, far = cloud(60, 0), cloud(60, 1, centre=50.0)
    precision, recall = precision_and_recall(torch.cat([near, far]), near)
    assert (precision, recall) == (1.0, 0.5)
    # And the other way round.
    assert precision_and_recall(near, torch.cat([near, far])) == (0.5, 1.0)


def test_balls_reach_to_the_kth_neighbour():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    # With k = 1 the balls about 0, 1, 3, 7 are 1, 1, 2, 4 wide: all of [-1, 11] but nothing else.
    made = torch.tensor([[-0.5], [4.9], [11.0], [11.1]])
    assert precision_and_recall(line, made, neighbours=1)[0] == 0.75


def test_too_few_images_or_other_features_are_refused():
    with pytest.raises(ValueError, match="more than 3 images of each; got 3 and 9"):
        precision_and_recall(cloud(3, 0), cloud(9, 1))
    with pytest.raises(ValueError, match="equally many"):
        precision_and_recall(cloud(9, 0), torch.zeros(9, 7))
