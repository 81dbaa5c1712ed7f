"""The last results of full compute, so that the same one need not be made again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import Tensor

from tracache.compare.course import Estimates
from tracache.compare.report import ArmResult
from tracache.models.loading import LoadedModel

#: Results kept for each model: pictures and latents, no features.
KEPT = 4


@dataclass(frozen=True)
class Baseline:
    """Full compute's result, with its own time, its latents, and what it took the picture for."""

    result: ArmResult
    latents: Tensor
    estimates: Estimates | None = None


class Baselines:
    """The last few baselines of one model, by all that makes them what they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Baseline] = OrderedDict()

    def get(self, key: Hashable) -> Baseline | None:
        """Return the baseline of that key, if it is still there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, baseline: Baseline) -> None:
        """Keep a baseline; the one not wanted for longest goes."""
        with self._lock:
            self._kept[key] = baseline
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


#: Of every model in memory; they go with it.
_OF: WeakKeyDictionary[LoadedModel, Baselines] = WeakKeyDictionary()
_LOCK = threading.Lock()


def baselines_of(model: LoadedModel) -> Baselines:
    """Return the baselines of a model, the same object as long as the model is in memory."""
    with _LOCK:
        return _OF.setdefault(model, Baselines())
