"""Puts a function around a method of one object, and takes it away again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

#: Functions that answer, and what each was put around, with whether that was the object's own.
_ACTIVE: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
_BELOW: WeakKeyDictionary[Any, tuple[Any, bool]] = WeakKeyDictionary()


def wrap_method(owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Put a function around a method of one object, never of its class.

    Parameters
    ----------
    owner : object
        Whose method it is.
    name : str
        The method's name.
    around : callable
        ``around(inner, *args, **kwargs)`` answers for it.

    Returns
    -------
    callable
        Takes it away. Where somebody has put another function around it meanwhile, that one
        stays, and what was wrapped here hands everything through from then on.
    """
    inner, own = getattr(owner, name), name in vars(owner)

    # Pipelines read off a signature what a scheduler takes: generators, timesteps, sigmas.
    @functools.wraps(inner)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(inner, *args, **kwargs) if wrapped in _ACTIVE else inner(*args, **kwargs)

    def undo() -> None:
        _ACTIVE.pop(wrapped, None)
        # Down to the topmost that is still wanted, or to what was there before all of them.
        while (top := vars(owner).get(name)) in _BELOW and top not in _ACTIVE:
            below, kept = _BELOW.pop(top)
            if kept:
                setattr(owner, name, below)
            else:
                delattr(owner, name)

    _ACTIVE[wrapped], _BELOW[wrapped] = True, (inner, own)
    setattr(owner, name, wrapped)
    return undo
