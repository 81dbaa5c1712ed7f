"""Looks over a denoiser's shoulder: what each call costs and gives; and what it is handed."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from tracache.caching.discover import Arguments
from tracache.caching.wrapping import wrap_method
from tracache.metrics.macs import Macs, count_macs


@dataclass
class Call:
    """One call of a denoiser from outside, whatever a cache does with it.

    Attributes
    ----------
    who : tuple of int
        Which denoiser, and which of its calls at one time: mostly which half of guidance.
    index : int
        How many calls of the same kind there were before.
    time : float
        What it was told.
    work : Macs or None
        Multiply–accumulates that it took, if they were counted.
    outputs : list of Tensor
        What it returned, copied, if that was kept.
    moved : float
        How far a drift had taken its latents.
    """

    who: tuple[int, int]
    index: int
    time: float
    work: Macs | None = None
    outputs: list[Tensor] = field(default_factory=list)
    moved: float = 0.0

    @property
    def macs(self) -> int:
        """Its work; 0 where that was not counted."""
        return 0 if self.work is None else self.work.total


class Watched:
    """The calls of a run so far; made by :func:`watch`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._seen: Counter[tuple[int, int]] = Counter()
        self._last: dict[int, tuple[float, int]] = {}

    def begin(self, denoiser: int, time: float) -> Call:
        """Note that a call begins."""
        before, ordinal = self._last.get(denoiser, (None, -1))
        who = denoiser, ordinal + 1 if before == time else 0
        self._last[denoiser] = time, who[1]
        call = Call(who, self._seen[who], time)
        self._seen[who] += 1
        self.calls.append(call)
        return call


@contextmanager
def watch(
    denoisers: Sequence[nn.Module], *, counted: bool = False, kept: bool = False
) -> Iterator[Watched]:
    """Watch every call of denoisers, caches or no caches.

    Parameters
    ----------
    denoisers : sequence of nn.Module
        Which.
    counted, kept : bool, default False
        Whether to count the work of each, and to keep what it returns.
    """
    watched, inside = Watched(), ExitStack()
    hooks = []

    def put_on(number: int, denoiser: nn.Module) -> None:
        reads = reads_of(denoiser)

        def before(_: Any, args: tuple, kwargs: dict) -> None:
            call = watched.begin(number, time_of(reads.named(args, kwargs).get(reads.time)))
            if counted:
                call.work = inside.enter_context(count_macs())

        def after(_: Any, args: tuple, output: Any) -> None:
            inside.close()
            if kept:
                watched.calls[-1].outputs = [leaf.detach().clone() for leaf in _floats(output)]

        hooks.append(denoiser.register_forward_pre_hook(before, with_kwargs=True))
        hooks.append(denoiser.register_forward_hook(after))

    try:
        for number, denoiser in enumerate(denoisers):
            put_on(number, denoiser)
        yield watched
    finally:
        inside.close()
        for hook in hooks:
            hook.remove()


@contextmanager
def watch_scheduler(scheduler: Any) -> Iterator[list[list[Tensor]]]:
    """Note what a scheduler is handed at each step, beneath what acts there."""
    handed: list[list[Tensor]] = []

    def step(inner: Callable[..., Any], output: Any, *args: Any, **kwargs: Any) -> Any:
        handed.append([leaf.detach().clone() for leaf in _floats(output)])
        return inner(output, *args, **kwargs)

    undo = wrap_method(scheduler, "step", step)
    try:
        yield handed
    finally:
        undo()


#: How denoisers are called: read before a cache is on, which may stand in for the forward.
_READS: WeakKeyDictionary[nn.Module, Arguments] = WeakKeyDictionary()


def reads_of(denoiser: nn.Module) -> Arguments:
    """Return how a denoiser is called, as it was when it was first seen."""
    if denoiser not in _READS:
        _READS[denoiser] = Arguments(denoiser)
    return _READS[denoiser]


def time_of(value: Any) -> float:
    """Return the time that a call was told; the mean where its tokens have several."""
    if value is None:
        return 0.0
    return float(torch.as_tensor(value).float().mean())


def _floats(output: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(output)
    return [x for x in leaves if isinstance(x, Tensor) and x.is_floating_point()]


@dataclass(frozen=True)
class Drift:
    """A slow straight motion of the latents, in place of what they do.

    Attributes
    ----------
    along : {"step", "time"}
        What it is straight in.
    size : float
        How far it goes in a step, in standard deviations of the latents. So little that what a
        denoiser makes of it is straight too.
    """

    along: str
    size: float


class Motion:
    """Where a drift has taken the latents of each kind of call.

    Its first step is its unit: along the time, longer steps go further.
    """

    def __init__(self, drift: Drift | None) -> None:
        self._drift = drift
        self._start: dict[tuple[int, int], float] = {}
        self._unit: dict[tuple[int, int], float] = {}

    def move(self, call: Call, latents: Any) -> Any:
        """Return the latents of a call, moved."""
        if self._drift is None:
            return latents
        gone = float(call.index)
        if self._drift.along == "time":
            since = self._start.setdefault(call.who, call.time) - call.time
            unit = self._unit.setdefault(call.who, since) if since else 0.0
            gone = since / unit if unit else 0.0
        call.moved = self._drift.size * gone
        return _move(latents, call.moved)


@contextmanager
def frozen(
    denoisers: Sequence[nn.Module], watched: Watched, drift: Drift | None = None
) -> Iterator[None]:
    """Hand a denoiser the inputs of its first call again and again, time and all.

    Beneath whatever is attached inside this context, which still sees the calls as they are. Each
    call of a step keeps inputs of its own. With a drift, its latents move slowly.
    """
    motion = Motion(drift)

    def around(denoiser: nn.Module) -> Any:
        own, reads = denoiser.forward, reads_of(denoiser)
        signature = inspect.signature(own)
        first: dict[Any, tuple[tuple, dict]] = {}

        @wraps(own)
        def forward(*args: Any, **kwargs: Any) -> Any:
            call = watched.calls[-1]
            key = call.who, reads.signature(args, kwargs)
            args, kwargs = first.setdefault(key, (args, kwargs))
            bound = signature.bind(*args, **kwargs)
            latents = motion.move(call, bound.arguments[reads.latents])
            bound.arguments[reads.latents] = latents
            return own(*bound.args, **bound.kwargs)

        return forward

    with ExitStack() as stack:
        for denoiser in denoisers:
            before = vars(denoiser).get("forward")
            denoiser.forward = around(denoiser)
            stack.callback(_put_back, denoiser, before)
        yield


def _put_back(denoiser: nn.Module, forward: Any) -> None:
    if forward is None:
        vars(denoiser).pop("forward", None)
    else:
        denoiser.forward = forward


def _move(latents: Any, by: float) -> Any:
    """Return latents a little further along a direction that is always the same."""
    drawn = torch.Generator().manual_seed(7)

    def further(leaf: Any) -> Any:
        if not (isinstance(leaf, Tensor) and leaf.is_floating_point()):
            return leaf
        way = torch.randn(leaf.shape, generator=drawn).to(leaf)
        return leaf + by * leaf.std() * way

    return pytree.tree_map(further, latents)


@contextmanager
def in_format(denoisers: Sequence[nn.Module], dtype: torch.dtype) -> Iterator[None]:
    """Let denoisers compute in another format, in a loop that stays as it is.

    Their weights come back as they were, to the bit. What a class keeps in single precision, it
    keeps.

    Raises
    ------
    TypeError
        If weights are quantised.
    """
    with ExitStack() as stack:
        for denoiser in denoisers:
            spared = tuple(getattr(denoiser, "_keep_in_fp32_modules", None) or ())
            for name, weight in [*denoiser.named_parameters(), *denoiser.named_buffers()]:
                if weight.is_floating_point() and not set(spared) & set(name.split(".")):
                    stack.callback(setattr, weight, "data", weight.data)
                    weight.data = weight.data.to(dtype)
                elif isinstance(weight, nn.Parameter) and not weight.is_floating_point():
                    raise TypeError("its weights are quantised")
            stack.enter_context(_bordered(denoiser, dtype))
        yield


@contextmanager
def _bordered(denoiser: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Cast what goes into a denoiser, and what comes out of it back to what went in."""
    reads = reads_of(denoiser)
    came: list[torch.dtype] = []
    # What is the same tensor at every call stays so: by that, runs are told apart.
    known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def narrow(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        version, cast = known.get(leaf, (None, leaf))
        if version != leaf._version:
            cast = _cast(leaf, dtype)
            known[leaf] = leaf._version, cast
        return cast

    def before(_: Any, args: tuple, kwargs: dict) -> tuple:
        latents = _floats(reads.named(args, kwargs).get(reads.latents))
        came[:] = [leaf.dtype for leaf in latents[:1]]
        timed = {name: value for name, value in kwargs.items() if "time" in name}
        args, kwargs = pytree.tree_map(narrow, (args, kwargs))
        return args, {**kwargs, **timed}

    def after(_: Any, args: tuple, output: Any) -> Any:
        return pytree.tree_map(lambda leaf: _cast(leaf, came[0]) if came else leaf, output)

    hooks = [
        denoiser.register_forward_pre_hook(before, with_kwargs=True),
        denoiser.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            with suppress(KeyError):
                hook.remove()


def _cast(leaf: Any, dtype: torch.dtype) -> Any:
    floats = isinstance(leaf, Tensor) and leaf.is_floating_point()
    return leaf.to(dtype) if floats else leaf
