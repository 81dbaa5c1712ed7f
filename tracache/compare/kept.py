"""What is kept of each model that is in memory, so that the same work need not be done again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from tracache.models.loading import LoadedModel

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The last few values by all that makes them what they are; from many threads.

    Parameters
    ----------
    most : int
        How many are kept; the one not wanted for longest goes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return the value of that key, if it is still there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)


class KeptByModel(Generic[Value]):
    """What is kept of every model in memory; it goes with the model.

    Parameters
    ----------
    most : int
        How many values are kept of one model.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._models: WeakKeyDictionary[LoadedModel, Kept[Value]] = WeakKeyDictionary()

    def of(self, model: LoadedModel) -> Kept[Value]:
        """Return what is kept of a model, the same object as long as the model is in memory."""
        with self._lock:
            return self._models.setdefault(model, Kept(self._most))
