"""Puts a function around a method of one object, and takes it away again."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any


class _Wrapped:
    """A method with a function around it, as long as that is wanted.

    A copy of the object is another object: there the method goes without the function, or with
    the one that is meant for copies.
    """

    def __init__(
        self,
        inner: Callable[..., Any],
        own: bool,
        around: Callable[..., Any],
        copied: Callable[..., Any] | None,
    ) -> None:
        # Pipelines read off a signature what a scheduler takes: generators, timesteps, sigmas.
        functools.update_wrapper(self, inner, updated=())
        self.inner, self.own, self.around, self.copied = inner, own, around, copied
        self.active = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.active:
            return self.around(self.inner, *args, **kwargs)
        return self.inner(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # A bound method's deep copy is bound to the copy of its object.
        inner = copy.deepcopy(self.inner, memo)
        if self.copied is None or not self.active:
            return inner
        return _Wrapped(inner, True, self.copied, self.copied)


def wrap_method(
    owner: Any,
    name: str,
    around: Callable[..., Any],
    copied: Callable[..., Any] | None = None,
) -> Callable[[], None]:
    """Put a function around a method of one object, never of its class.

    Parameters
    ----------
    owner : object
        Whose method it is.
    name : str
        The method's name.
    around : callable
        ``around(inner, *args, **kwargs)`` answers for it.
    copied : callable, optional
        Answers in the same way for the method of deep copies of the object, which have it plain
        otherwise; it stays there.

    Returns
    -------
    callable
        Takes it away. Where somebody has put another function around it meanwhile, that one
        stays, and what was wrapped here hands everything through from then on.
    """
    wrapped = _Wrapped(getattr(owner, name), name in vars(owner), around, copied)

    def undo() -> None:
        wrapped.active = False
        # Down to the topmost that is still wanted, or to what was there before all of them.
        while isinstance(top := vars(owner).get(name), _Wrapped) and not top.active:
            if top.own:
                setattr(owner, name, top.inner)
            else:
                delattr(owner, name)

    setattr(owner, name, wrapped)
    return undo
