"""TraCache and its kin: every ``stride``-th step computes, the others follow trajectories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tracache.caching.abscissa import make_abscissa, noise_over_signal, step_weight
from tracache.caching.config import TraCacheConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch
from tracache.caching.placements import PLACEMENTS
from tracache.caching.rules.registry import SERIES, share_of_run
from tracache.caching.rules.trajectory import (
    Order,
    Trajectory,
    choose_order,
    power_order,
    spread_of,
    weighted_sum,
)
from tracache.caching.spaces import levels_of
from tracache.caching.steps import computes, remaining_steps

#: What the relative error of repeating features is taken to be before two computed steps can tell.
UNKNOWN_ERROR = 0.1


class Forecast(Method):
    """The schedule and the choice of orders, whatever it is that has trajectories."""

    def __init__(self, config: TraCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self.config: TraCacheConfig = config
        self._shows = watch != "last"
        self.watched, kept = self._share_out(self.asked)
        self.trajectories = [self._new_trajectory() for _ in kept]
        #: Row → its trajectory's place.
        self._places = {row: place for place, row in enumerate(kept)}
        self.clear()

    def _new_trajectory(self) -> Trajectory:
        config = self.config
        if config.rule in SERIES:
            return SERIES[config.rule](config.max_order)
        return Trajectory(
            0 if config.rule == "reuse" else config.max_order,
            # Fitted weights are coefficients of the divided differences.
            "lagrange" if config.rule == "learned" else config.rule,
            criterion="mean" if config.criterion == "mean" else "std",
            over=config.spread,
            window=config.window,
        )

    def _share_out(self, rows: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return which rows are watched and which have a history, given those asked for."""
        raise NotImplementedError

    @property
    def _needs_spreads(self) -> bool:
        c = self.config
        return c.chooses or (c.decides_as_it_runs and c.rule != "reuse")

    def clear(self) -> None:
        for trajectory in self.trajectories:
            trajectory.clear()
        self.skipping = False
        self._spreads: list[Tensor] = []
        self._orders: Order = 0
        self._point = 0.0
        self._start: float | None = None
        self._skips = 0
        self._relative: Any = None
        self._along: Any = None
        self._sigma: Any = None
        self._added = 0.0
        self._plan: tuple[int, ...] | None = None

    def begin(self, step: Step) -> None:
        if self._along is None:
            self._along = make_abscissa(self.config.abscissa, self.stack.scheduler)
        self.step = step
        self._point = self._along(step.timestep, step.index)
        if self.config.rule == "chebyshev":
            if step.num_steps is None:
                raise ValueError("rule='chebyshev' needs the number of steps: pass num_steps")
            self._point = share_of_run(self._point, step.num_steps)
        self._start = step.timestep if self._start is None else self._start
        self.skipping = not self._is_full(step)
        self._skips = self._skips + 1 if self.skipping else 0
        if self.skipping:
            self._orders = self._choose_orders()

    def row(self) -> Any:
        return self._orders if self.skipping else None

    def candidates(self) -> Any:
        if not (self._shows and self.config.chooses and self.skipping and self._spreads):
            return None
        factors = self.trajectories[-1].factors(self._point)
        return torch.stack([s * abs(f) for s, f in zip(self._spreads, factors, strict=True)])

    def _is_full(self, step: Step) -> bool:
        c = self.config
        if c.compute is not None and c.full_steps is None:
            if step.num_steps is None:
                raise ValueError(f"compute={c.compute} needs the number of steps: pass num_steps")
            if c.placement == "even":
                return step.index in remaining_steps(step.num_steps, c.compute, step.done)
            if self._plan is None:
                self._plan = self._place(step.num_steps, step.done)
            return step.index in self._plan
        if c.full_steps is not None and step.done:
            # They are of the whole run, and a history begins with a computed step.
            return step.index == 0 or step.done + step.index in c.full_steps
        if not c.decides_as_it_runs:
            stride = c.stride if isinstance(c.stride, int) else 1
            return computes(step.index, stride, c.warmup, c.last_step, step.num_steps, c.full_steps)
        # Features turn sharply at the end, which no history foretells: two steps, not one.
        ending = step.num_steps is not None and step.index >= step.num_steps - 2
        if step.index >= c.warmup and not (c.last_step and ending):
            added = self._added + self._weigh(step) * self._estimate()
            if added <= c.tolerance and self._skips < c.max_skips:
                self._added = added
                return False
        self._added = 0.0
        return True

    def _place(self, steps: int, done: int) -> tuple[int, ...]:
        """Return which of a run's ``steps`` last ones compute, counted from the first of them."""
        c, whole = self.config, steps + done
        log_snr = [0.0] * whole
        if not PLACEMENTS[c.placement].by_count:
            if self.stack.scheduler is None:
                raise ValueError(
                    f"placement={c.placement!r} needs the noise schedule: pass scheduler=…, or use "
                    "tracache.accelerate(pipe, …), which takes the pipeline's"
                )
            log_snr = [level.log_snr for level in levels_of(self.stack.scheduler)][-whole:]
        rest = [step - done for step in c.place(log_snr) or () if step >= done]
        # A history begins with a computed step.
        return (0, *rest[1:])

    def _weigh(self, step: Step) -> float:
        """How much a relative error at this step moves the final latents."""
        if self._sigma is None:
            self._sigma = noise_over_signal(self.stack.scheduler, "stride='auto'")
        after = 0.0 if step.next_timestep is None else self._sigma(step.next_timestep)
        config = self.stack.scheduler.config
        predicted = config.get("prediction_type", "flow")
        return step_weight(self._sigma(step.timestep), after, predicted)

    def _estimate(self) -> float:
        """Predicted error at the coming step, relative to the features' own spread."""
        if self._relative is None:
            return UNKNOWN_ERROR
        if not isinstance(self._relative, list):
            # The one reading of a device in a run: a handful of scalars per computed step.
            self._relative = self._relative.tolist()
        factors = self.trajectories[-1].factors(self._point)
        return min(s * abs(f) for s, f in zip(self._relative, factors, strict=True))

    def _choose_orders(self) -> Order:
        c, last = self.config, self.trajectories[-1]
        if c.rule == "learned":
            return len(self._learned_row()) - 1
        if c.order == "fixed":
            return last.order
        if c.criterion == "power":
            start = self._start or 0.0
            return min(power_order(self.step.timestep, start, c.max_order, c.exponent), last.order)
        return choose_order(self._spreads, last.factors(self._point), c.local_extrapolation)

    def _learned_row(self) -> tuple[float, ...]:
        weights = self.config.weights
        if self.step.index >= len(weights) or not weights[self.step.index]:
            raise RuntimeError(
                f"the weights were fitted for runs of {len(weights)} steps that compute step "
                f"{self.step.index}; fit them for this schedule"
            )
        row = weights[self.step.index]
        return row[: self.trajectories[-1].order + 1]

    def _observe(self, trajectory: Trajectory, features: Tensor) -> None:
        trajectory.observe(self._point, features, spreads=self._needs_spreads)

    def _gather_spreads(self) -> None:
        """Line the spreads up by degree, once everything of a computed step is observed."""
        if not self._needs_spreads:
            return
        by_unit = zip(*(t.spreads for t in self.trajectories), strict=True)
        self._spreads = [torch.stack(spreads) for spreads in by_unit]
        if self.config.decides_as_it_runs and self._spreads:
            judged = self._judged()
            scale = torch.stack([spread_of(t.newest.float(), over=t.over) for t in judged])
            relative = torch.stack(self._spreads)[:, -len(judged) :] / scale
            self._relative = relative.flatten(1).mean(1)

    def _judged(self) -> list[Trajectory]:
        """Trajectories whose prediction reaches the output."""
        return self.trajectories[-1:]

    def _predict(self, unit: int) -> Tensor:
        trajectory, orders = self.trajectories[unit], self._orders
        if self.config.rule == "learned":
            row = self._learned_row()
            used = trajectory.differences[: len(row)]
            return weighted_sum(used, row[1:], len(row) - 1, base=row[0])
        order = orders if isinstance(orders, int) else orders[unit]
        return trajectory.predict(self._point, order)


class ModuleForecast(Forecast):
    """Each attention's and MLP's output has a trajectory (Table 7)."""

    takes_modules = True
    needs = "the attentions and MLPs of its blocks"

    def _share_out(self, rows: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # Every module is predicted, and so has a history in any case.
        every = tuple(range(len(self.labels)))
        return every, every

    def feeder(self, index: int, call: Call) -> Any:
        # At a skipped step its output goes unread; the newest features stand in for it, since
        # they have the dtype that the code between it and the blocks expects.
        return self.trajectories[-1].newest if self.skipping else call()

    def module(self, index: int, part: str, call: Call) -> Tensor:
        parts = list(self.stack.layout.parts)
        unit = index * len(parts) + parts.index(part)
        if self.skipping:
            return self._predict(unit)
        output = call()
        self._observe(self.trajectories[unit], output)
        if unit == len(self.trajectories) - 1:
            self._gather_spreads()
        return output

    def _judged(self) -> list[Trajectory]:
        return self.trajectories
