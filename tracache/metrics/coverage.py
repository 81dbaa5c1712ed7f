"""Whether a set of images is as good and as varied as another: improved precision and recall."""

from __future__ import annotations

import torch
from torch import Tensor


def precision_and_recall(real: Tensor, made: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Return how many made images look real, and how much of what is real is made.

    A set's region is the union of balls about its points, each as wide as the way to its k-th
    nearest neighbour. Precision is the share of what was made that lies in the region of what is
    real, recall the reverse (Kynkäänniemi et al., arXiv 1904.06991, Eq. 1 and 2).

    Parameters
    ----------
    real, made : Tensor [images, features]
        Features of both sets, which had better be about as large.
    neighbours : int, default 3
        k.

    Raises
    ------
    ValueError
        If a set has not more than k images, or the features are not equally many.
    """
    if real.shape[1:] != made.shape[1:]:
        raise ValueError(
            f"features of both sets must be equally many; got {tuple(real.shape[1:])} and "
            f"{tuple(made.shape[1:])}"
        )
    if min(len(real), len(made)) <= neighbours:
        raise ValueError(
            f"precision and recall need more than {neighbours} images of each; got {len(real)} "
            f"and {len(made)}"
        )
    real, made = real.double(), made.double()
    return _share_within(made, real, neighbours), _share_within(real, made, neighbours)


def _share_within(points: Tensor, region: Tensor, neighbours: int) -> float:
    """Share of the points that lie in a set's region."""
    # A point is its own nearest neighbour. Exact differences, since a set may be held to itself.
    exact = "donot_use_mm_for_euclid_dist"
    among = torch.cdist(region, region, compute_mode=exact)
    radii = among.kthvalue(neighbours + 1, dim=1).values
    inside = torch.cdist(points, region, compute_mode=exact) <= radii
    return float(inside.any(dim=1).double().mean())
