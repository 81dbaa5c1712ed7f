"""TraCache on any denoiser: trajectories of those tensors that its output is proved to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods.base import Call, Stack, Watch
from tracache.caching.methods.tracache import Forecast
from tracache.caching.proof import prove_tail
from tracache.caching.rules.trajectory import Trajectory
from tracache.caching.tail import (
    Answers,
    Differs,
    Key,
    Player,
    Recorder,
    Tail,
    copied,
    is_feature,
)


class LiveForecast(Forecast):
    """Every tensor of a block that reaches the output has a trajectory.

    The first forward of its kind that computes is watched, and shows what each block returns and
    what of it is live, see :func:`~tracache.caching.proof.prove_tail`. At a skipped step no block
    runs: live tensors are extrapolated, the others are zeros that take no memory. Where that
    cannot be had, the denoiser's output is extrapolated as a whole.
    """

    needs = ""

    def __init__(self, config: TraCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        self._player: Player | None = None
        self._rows: tuple[int, ...] = ()
        super().__init__(config, stack, watch)
        if watch == "last":
            # Which block that is, is found; it may not be the last by name.
            self.asked = ()

    def _share_out(self, rows: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # Nothing is known before a forward was watched.
        return (), ()

    def clear(self) -> None:
        super().clear()
        self.trajectories: list[Trajectory] = []
        self._tail: Tail | None = None

    def _choose_orders(self) -> Any:
        if not self.trajectories:
            self.skipping = False
            return 0
        return super()._choose_orders()

    def block(self, index: int, call: Call) -> Any:
        return call() if self._player is None else self._player.answer(index, call)

    def feeder(self, index: int, call: Call) -> Any:
        # To a proof it is one more block, which rests unless it is found to be read.
        return self.block(self.stack.depth + index, call)

    def denoiser(self, args: tuple, kwargs: dict, compute: Callable[..., Any]) -> Any:
        def run(player: Player, given: tuple[tuple, dict] = (args, kwargs)) -> Any:
            self._player = player
            try:
                return compute(*given[0], **given[1])
            finally:
                self._player = None

        given = args, kwargs
        if self.skipping:
            # A forward may use up lists that it is given, and then take another way.
            given = pytree.tree_map(lambda x: x, given)
            try:
                return self._skip(run)
            except Differs:
                # It took another way than the one that was watched: this step computes.
                self._forget_history()
                self.skipping = False
        c = self.config
        if c.stride == 1 and c.compute is None and c.full_steps is None:
            return compute(*given[0], **given[1])
        arguments = self.stack.arguments
        latents = arguments.named(args, kwargs).get(arguments.latents)
        self._batch = len(latents) if isinstance(latents, Tensor) and latents.dim() else None
        return self._compute(arguments.signature(args, kwargs), run, given)

    # Computed steps

    def _compute(self, signature: Any, run: Callable[..., Any], given: tuple[tuple, dict]) -> Any:
        tail = self.stack.tails.get(signature)
        # Nor may it be run again with what it has used up, or written into.
        kept = copied(given) if tail is None else None
        known = tail is not None
        live_calls = {call for call, _ in tail.live} if tail is not None else set()
        recorder = Recorder(
            lambda call, block: call in live_calls or block in self.asked,
            tail.always if tail is not None else (),
            copies=tail is None or tail.copied,
            newest=tail is None,
        )
        output = run(recorder, given)
        values: dict[Key, Tensor]
        if tail is None:
            blocks = (*self.stack.found, *self.stack.feeders)
            tail, values = prove_tail(
                recorder.notes,
                blocks,
                output,
                recorder.kept,
                recorder.written,
                lambda player: run(player, copied(kept)),
            )
            self.stack.tails[signature] = tail
        elif tail.live:
            if [n.block for n in recorder.notes] != [n.block for n in tail.notes]:
                del self.stack.tails[signature]
                self._forget_history()
                return output
            values = {(call, i): recorder.kept[call][i] for call, i in tail.live}
        if tail.never:
            self._forget_history()
            return output
        if not tail.live:
            values = {(0, i): x.clone() for i, x in enumerate(_leaves(output)) if is_feature(x)}
            if not values:
                raise TypeError(
                    f"{type(self.stack.denoiser).__name__} returns {type(output).__name__}, in "
                    "which no tensors are found, and of its blocks none can be answered for: "
                    f"{tail.reason}"
                )
        self._take(tail, values, recorder, output)
        if known and tail.live and not tail.copied and recorder.written:
            # The history holds what somebody has written into: from now on, copies.
            self.stack.tails[signature] = replace(tail, copied=True)
            self._forget_history()
        return output

    def _take(self, tail: Tail, values: dict[Key, Tensor], recorder: Recorder, output: Any) -> None:
        """Add a computed point to every trajectory."""
        watched = self._watched_values(tail, recorder)
        if self._tail is not tail or set(self._keys) != set(values):
            self._forget_history()
            self._begin_history(tail, values, watched, output)
        features = [*(watched[row] for row in self._rows), *(values[key] for key in self._keys)]
        for trajectory, feature in zip(self.trajectories, features, strict=True):
            self._observe(trajectory, feature)
        self._gather_spreads()

    def _begin_history(
        self, tail: Tail, values: dict[Key, Tensor], watched: dict[int, Tensor], output: Any
    ) -> None:
        self._tail = tail
        self._keys = tuple(values)
        self._output = _leaves(output), pytree.tree_structure(output)
        main = tail.notes[self._keys[-1][0]].block if tail.live else self._last_called(tail)
        others = tuple(sorted(row for row in watched if row != main))
        # Where no order is chosen block by block, what the last one does all others do.
        self._rows = others if self.config.chooses else ()
        self.watched = (*others, main)
        lengths = {len(value) if value.dim() else 1 for value in values.values()}
        if self.config.spread != "batch" and lengths != {self._batch}:
            raise ValueError(
                f"spread={self.config.spread!r} needs the batch on the first axis of what has a "
                f"trajectory, and {type(self.stack.denoiser).__name__} has {sorted(lengths)} there "
                f"for a batch of {self._batch}: use spread='batch'"
            )
        self.trajectories = [self._new_trajectory() for _ in (*self._rows, *self._keys)]

    def _last_called(self, tail: Tail) -> int:
        return len(self.stack.found) - 1

    def _watched_values(self, tail: Tail, recorder: Recorder) -> dict[int, Tensor]:
        """What watched blocks returned: of several tensors, that in the live one's place."""
        place = tail.live[-1][1] if tail.live else 0
        found: dict[int, Tensor] = {}
        for call, note in enumerate(recorder.notes):
            if note.block in self.asked and note.features and note.block not in tail.always:
                kept = recorder.kept.get(call)
                i = place if place in note.features else note.features[-1]
                if kept is not None:
                    found[note.block] = kept[i]
        return found

    def _forget_history(self) -> None:
        self.trajectories, self._tail, self._spreads, self._relative = [], None, [], None

    # Skipped steps

    def _skip(self, run: Callable[[Player], Any]) -> Any:
        tail = self._tail
        assert tail is not None
        first = len(self._rows)
        values = {key: self._own(first + place) for place, key in enumerate(self._keys)}
        if not tail.live:
            leaves, spec = self._output
            filled = [values.get((0, i), leaf) for i, leaf in enumerate(leaves)]
            return pytree.tree_unflatten(filled, spec)
        answers = Answers(tail, values)
        output = run(answers)
        answers.finish()
        return output

    def _own(self, unit: int) -> Tensor:
        """Return a prediction that may be written into: never the history itself."""
        predicted = self._predict(unit)
        return predicted.clone() if predicted is self.trajectories[unit].newest else predicted

    def _judged(self) -> list[Trajectory]:
        return self.trajectories[len(self._rows) :]

    def row(self) -> Any:
        if not self.skipping:
            return None
        return self._orders if isinstance(self._orders, int) else self._of_rows(self._orders, 0)

    def candidates(self) -> Any:
        found = super().candidates()
        return None if found is None else self._of_rows(found, 1)

    def _of_rows(self, by_unit: Tensor, axis: int) -> Tensor:
        """Values of the watched rows among those of all trajectories."""
        others = by_unit.narrow(axis, 0, len(self._rows))
        return torch.cat([others, by_unit.narrow(axis, by_unit.shape[axis] - 1, 1)], dim=axis)


def _leaves(output: Any) -> list[Any]:
    return pytree.tree_leaves(output)
