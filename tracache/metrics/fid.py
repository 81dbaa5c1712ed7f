"""How good a set of images is: Fréchet distance, its spatial variant and the Inception Score.

All of them live in some network's features, and figures from different networks have nothing to do
with each other, so the network is part of every name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from tracache.metrics.judges.images import FOLDER, load_classifier
from tracache.models.spec import ModelSpec
from tracache.settings import require_asset

#: Figure of a set of images, and of what was asked for where that matters.
SetMeasure = Callable[[Sequence[Image.Image], Sequence[str]], float]

#: Images at a time.
BATCH = 64
#: Channels of the spatial features, as many as sFID takes of Inception's.
SPATIAL_CHANNELS = 7
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class FeatureSpace(Protocol):
    """A network in whose features sets of images are compared."""

    @property
    def name(self) -> str:
        """Short, for tables."""
        ...

    def pooled(self, images: Tensor) -> Tensor:
        """Features of uint8 images (n, 3, h, w), one vector each."""
        ...

    def spatial(self, images: Tensor) -> Tensor:
        """Features with their places, flattened."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """Log-probabilities of classes, up to a constant."""
        ...


class SceneSpace:
    """The project's own classifier of scenes, for the embedded models."""

    name = "scenes"

    def __init__(self) -> None:
        self._classifier = load_classifier()

    @torch.no_grad()
    def pooled(self, images: Tensor) -> Tensor:
        """The last stage's maps, averaged over pixels: (n, 128)."""
        return self._maps(images).mean((2, 3))

    @torch.no_grad()
    def spatial(self, images: Tensor) -> Tensor:
        """Seven channels of the squeezed maps: (n, 448)."""
        squeezed = self._classifier.squeeze(self._maps(images))
        return squeezed[:, :SPATIAL_CHANNELS].flatten(1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Of the first object's colour and solid together: (n, 40)."""
        heads = self._classifier(self._scale(images))
        colour, solid = (heads[f"{what}_a"].log_softmax(1) for what in ("colour", "solid"))
        return (colour[:, :, None] + solid[:, None, :]).flatten(1)

    def _maps(self, images: Tensor) -> Tensor:
        return self._classifier.features(self._scale(images))[-1]

    @staticmethod
    def _scale(images: Tensor) -> Tensor:
        return images.float() / 127.5 - 1.0


class InceptionSpace:
    """Inception-v3 as FID takes it, from torch-fidelity, whose weights are fetched when first used.

    Raises
    ------
    ValueError
        If the package is missing or the weights cannot be had.
    """

    name = "Inception-v3"

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ValueError(
                'features inception need torch-fidelity: pip install "tracache[metrics]"'
            ) from error
        try:
            self._network: Any = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=None if weights is None else str(weights),
            )
        except (OSError, RuntimeError) as error:
            raise ValueError(
                "the weights of Inception-v3 cannot be had; they are fetched from GitHub when "
                f"first used, or take --features scenes ({error})"
            ) from error
        self._spatial: list[Tensor] = []
        self._network.Mixed_6d.branch1x1.conv.register_forward_hook(
            lambda module, args, output: self._spatial.append(output)
        )

    @torch.no_grad()
    def pooled(self, images: Tensor) -> Tensor:
        """The last pooling: (n, 2048)."""
        return self._run(images)[0]

    @torch.no_grad()
    def spatial(self, images: Tensor) -> Tensor:
        """Seven channels of a convolution at 17 × 17: (n, 2023)."""
        self._run(images)
        return self._spatial[0][:, :SPATIAL_CHANNELS].flatten(1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Of ImageNet's classes: (n, 1008)."""
        return self._run(images)[1]

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self._spatial.clear()
        return self._network(images)


class _Features(nn.Module):
    """One kind of features, as torchmetrics wants them."""

    def __init__(self, function: Callable[[Tensor], Tensor], count: int) -> None:
        super().__init__()
        self.function = function
        self.num_features = count

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


#: What is kept of a set of features: their sum, the sum of their products, and how many.
Moments = dict[str, Tensor]

KINDS = ("pooled", "spatial")


def moments_of(space: FeatureSpace, images: Sequence[Image.Image]) -> Moments:
    """Return the moments of both kinds of features, as a file of them has it."""
    found: Moments = {}
    for kind in KINDS:
        metric = _metric(getattr(space, kind), images)
        for batch in _batches(images):
            metric.update(batch, real=True)
        found[f"{kind}.sum"] = metric.real_features_sum
        found[f"{kind}.products"] = metric.real_features_cov_sum
        found[f"{kind}.count"] = metric.real_features_num_samples
    return found


class SetMeasures:
    """The three measures in one feature space, towards one set of reference images.

    Parameters
    ----------
    space : FeatureSpace
        The network.
    reference : Moments
        Of what the images should look like: renders, or photographs.
    """

    def __init__(self, space: FeatureSpace, reference: Moments) -> None:
        self._space = space
        self._reference = reference

    def by_name(self) -> dict[str, SetMeasure]:
        """Return the measures by the names that tables give them."""
        suffix = f"({self._space.name})"
        return {
            f"Fréchet {suffix}": self.frechet,
            f"spatial Fréchet {suffix}": self.spatial_frechet,
            f"Inception Score {suffix}": self.score,
        }

    def frechet(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> float:
        """Fréchet distance of pooled features to the reference; lower is nearer."""
        return self._distance("pooled", images)

    def spatial_frechet(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> float:
        """Fréchet distance of features with their places (sFID)."""
        return self._distance("spatial", images)

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> float:
        """Inception Score: how sure of a class, and how evenly; higher is better, no reference."""
        with warnings.catch_warnings():
            # torchmetrics says on every making that it buffers features.
            warnings.simplefilter("ignore", UserWarning)
            metric = InceptionScore(
                feature=_Features(self._space.logits, 0), splits=1, sync_on_compute=False
            )
        for batch in _batches(images):
            metric.update(batch)
        with warnings.catch_warnings():
            # Of one split there is a mean and no deviation.
            warnings.simplefilter("ignore", UserWarning)
            return float(metric.compute()[0])

    def _distance(self, kind: str, images: Sequence[Image.Image]) -> float:
        metric = _metric(getattr(self._space, kind), images)
        metric.real_features_sum = self._reference[f"{kind}.sum"]
        metric.real_features_cov_sum = self._reference[f"{kind}.products"]
        metric.real_features_num_samples = self._reference[f"{kind}.count"]
        for batch in _batches(images):
            metric.update(batch, real=False)
        return float(metric.compute())


def measures_for(
    features: str, spec: ModelSpec, reference: Path | None = None
) -> dict[str, SetMeasure]:
    """Return what sets of a model's images are measured by.

    Parameters
    ----------
    features : {"none", "scenes", "inception"}
        The network.
    spec : ModelSpec
        Of the model.
    reference : Path, optional
        Folder of reference images; the embedded models have renders of their own.

    Raises
    ------
    ValueError
        If there is no such network, or no reference.
    FileNotFoundError
        If the renders are not here; the message says where to get them.
    """
    if features not in FEATURES:
        raise ValueError(f"unknown features {features!r}; choose from {', '.join(FEATURES)}")
    if features == "none":
        return {}
    if features == "scenes" and not spec.embedded:
        raise ValueError("features scenes know nothing but the embedded models' scenes")
    if reference is None and features != "scenes":
        raise ValueError(f"features {features} need --reference, a folder of images to be near to")
    space = _SPACES[features]()
    if reference is not None:
        return SetMeasures(space, moments_of(space, load_folder(reference))).by_name()
    return SetMeasures(space, load_file(require_asset(statistics_file(spec.id), FOLDER))).by_name()


def statistics_file(model_id: str) -> Path:
    """Where the moments of renders are, of what an embedded model was asked to draw."""
    return FOLDER / f"renders-{model_id}.safetensors"


def save_statistics(images: Sequence[Image.Image], model_id: str) -> Path:
    """Write the moments of renders, and return where."""
    file = statistics_file(model_id)
    save_file(moments_of(SceneSpace(), images), file)
    file.chmod(0o644)
    return file


_SPACES: dict[str, Callable[[], FeatureSpace]] = {"scenes": SceneSpace, "inception": InceptionSpace}
FEATURES = ("none", *_SPACES)


def load_folder(folder: Path) -> list[Image.Image]:
    """Return the images of a folder and those below, opened but not read.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in PICTURES]
    if len(files) < 2:
        raise ValueError(f"{folder} holds {len(files)} images; a set needs two at least")
    return [Image.open(file) for file in files]


def _metric(
    features: Callable[[Tensor], Tensor], images: Sequence[Image.Image]
) -> FrechetInceptionDistance:
    count = features(next(_batches(images[:1]))).shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Of processes that share a run, the one that sums up has all the pictures.
        return FrechetInceptionDistance(feature=_Features(features, count), sync_on_compute=False)


def _batches(images: Sequence[Image.Image]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        arrays = [np.array(image.convert("RGB")) for image in images[start : start + BATCH]]
        yield torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
