"""What every method answers: for a step, a block, a module of a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tracache.caching.checks import require_choice
from tracache.caching.discover import Arguments, Block, discover_blocks
from tracache.caching.layouts import (
    LAYOUTS,
    UNKNOWN,
    Layout,
    find_blocks,
    find_text_feeders,
    known_layout,
)
from tracache.caching.tail import Tail

#: Which rows of the trace are watched: the last, all, or these by number or label.
Watch = str | Sequence[int | str]
WATCHES = ("last", "all")


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    index : int
        0 is the noisiest.
    timestep : float
        What the scheduler handed to the model.
    num_steps : int or None
        Steps of the run, if known.
    next_timestep : float or None
        That of the step after, if known; None at the last too.
    done : int
        Steps of the schedule that went by before the run's first, by other denoisers.
    """

    index: int
    timestep: float
    num_steps: int | None
    next_timestep: float | None = None
    done: int = 0

    @property
    def is_last(self) -> bool:
        """Whether this is known to be the last step."""
        return self.num_steps is not None and self.index == self.num_steps - 1


@dataclass(frozen=True)
class Stack:
    """What a method may know of the denoiser that it is attached to."""

    blocks: tuple[nn.Module, ...]
    layout: Layout
    scheduler: Any = None
    denoiser: nn.Module | None = None
    #: How its calls are read.
    arguments: Any = None
    #: Where its blocks are, and what only feeds their cross-attention.
    found: tuple[Block, ...] = ()
    feeders: tuple[Block, ...] = ()
    #: What was proved of its calls, by kind of call.
    tails: dict[Any, Tail] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, denoiser: nn.Module, scheduler: Any = None) -> Stack:
        """Read a denoiser."""
        layout = known_layout(denoiser)
        blocks = tuple(find_blocks(denoiser))
        by_module = {block.module: block for block in discover_blocks(denoiser)}
        found = tuple(by_module[block] for block in blocks)
        feeders = tuple(Block(path, 0, m) for path, m in find_text_feeders(denoiser).items())
        return cls(blocks, layout, scheduler, denoiser, Arguments(denoiser), found, feeders)

    @property
    def declared(self) -> bool:
        """Whether the parts of its blocks are known, and not just where they are."""
        return self.layout is not UNKNOWN

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def kind(self, index: int) -> str:
        """Kind of a block, where there are several; else empty."""
        return self.layout.kinds[index % len(self.layout.kinds)]

    @property
    def block_labels(self) -> tuple[str, ...]:
        """Names of the blocks, for people."""
        if not self.declared:
            return tuple(block.path for block in self.found)
        return tuple(self.layout.label(index) for index in range(self.depth))

    @property
    def module_labels(self) -> tuple[str, ...]:
        """Names of the blocks' parts, in the order they run."""
        return tuple(self.layout.label(i, p) for i in range(self.depth) for p in self.layout.parts)


@dataclass(frozen=True)
class Call:
    """One call of a module, not made yet: ``call()`` makes it.

    ``call(x)`` makes it with another first argument.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def hidden_states(self) -> Tensor:
        """The first argument."""
        return self.args[0] if self.args else self.kwargs["hidden_states"]

    def __call__(self, hidden_states: Tensor | None = None) -> Any:
        if hidden_states is None:
            return self.function(*self.args, **self.kwargs)
        if self.args:
            return self.function(hidden_states, *self.args[1:], **self.kwargs)
        return self.function(**{**self.kwargs, "hidden_states": hidden_states})


class Method:
    """One run's decisions and what it keeps. This one computes everything.

    Attributes
    ----------
    takes_modules : bool
        Whether :meth:`module` is to be asked, besides :meth:`block`.
    needs : str
        What has to be known of a denoiser's blocks beside where they are; empty if nothing has.
    labels : tuple of str
        Rows of the trace: what decisions are about.
    asked, watched : tuple of int
        Rows that decisions are asked about, and known of; rising.
    """

    takes_modules = False
    needs = "that a block returns its hidden states alone"

    def __init__(self, config: Any, stack: Stack, watch: Watch = "all") -> None:
        if self.needs and not stack.declared:
            raise TypeError(
                f"{type(self).__name__} needs to know {self.needs}; that is known of "
                f"{', '.join(LAYOUTS)}, not of {type(stack.denoiser).__name__}: "
                "use TraCacheConfig with space='blocks', which takes any denoiser"
            )
        self.config = config
        self.stack = stack
        self.labels = stack.module_labels if self.takes_modules else stack.block_labels
        self.asked = find_rows(watch, self.labels)
        # Whatever is decided is known without a history of its own: watching all costs nothing.
        self.watched = tuple(range(len(self.labels)))

    def clear(self) -> None:
        """Forget everything: another run begins, or none."""

    def begin(self, step: Step) -> None:
        """Take note of the coming step."""

    def denoiser(self, args: tuple, kwargs: dict, compute: Callable[..., Any]) -> Any:
        """Answer for the whole forward."""
        return compute(*args, **kwargs)

    def feeder(self, index: int, call: Call) -> Any:
        """Answer for a module whose output only the cross-attention of blocks reads."""
        return call()

    def block(self, index: int, call: Call) -> Tensor:
        """Answer for a block."""
        return call()

    def module(self, index: int, part: str, call: Call) -> Tensor:
        """Answer for an attention or MLP of a block."""
        return call()

    def row(self) -> Any:
        """Return what was decided at the step just done.

        None where everything computed; else a code per watched row, or one for all of them: an
        order, or one of the codes of :mod:`tracache.caching.trace`.
        """
        return None

    def candidates(self) -> Any:
        """Return what each order that was in question was judged by at the step just done.

        None where nothing was chosen, or nobody watches; else [candidates, rows, …], for
        n = 1, 2, … the spread of φ_n − φ_{n−1} (Eq. 7).
        """
        return None


def find_rows(watch: Watch, labels: Sequence[str]) -> tuple[int, ...]:
    """Return the rows to watch, rising; the last, which makes the image, is always one.

    Raises
    ------
    ValueError
        If ``watch`` is neither ``"last"`` nor ``"all"`` nor a sequence of rows that there are.
    """
    last = len(labels) - 1
    if isinstance(watch, str):
        require_choice("trace", watch, WATCHES)
        return (last,) if watch == "last" else tuple(range(len(labels)))
    if not isinstance(watch, Sequence):
        raise ValueError(f"trace must be 'last', 'all' or a sequence of rows, got {watch!r}")
    return tuple(sorted({last, *(_find_row(row, labels) for row in watch)}))


def _find_row(row: Any, labels: Sequence[str]) -> int:
    if isinstance(row, str) and row in labels:
        return list(labels).index(row)
    whole = isinstance(row, int) and not isinstance(row, bool)
    if not whole or not -len(labels) <= row < len(labels):
        raise ValueError(
            f"trace: no row {row!r}; there are {len(labels)}, from 0 to {len(labels) - 1} or "
            f"{labels[0]!r} to {labels[-1]!r}"
        )
    return row % len(labels)
