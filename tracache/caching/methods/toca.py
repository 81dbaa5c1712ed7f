"""ToCa (arXiv 2410.05317): at skipped steps some tokens' MLPs still compute, by score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracache.caching.declare import setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch
from tracache.caching.trace import PARTIAL


@dataclass(frozen=True)
class ToCaConfig(MethodConfig):
    """How many steps are skipped and how many tokens compute meanwhile.

    Attributes
    ----------
    interval : int, default 3
        Every ``interval``-th step computes everything (1 … 50).
    ratio : float, default 0.9
        Share of the tokens that are answered from the cache at the other steps (0 … 1).
    staleness : float, default 0.25
        Weight of how long a token has not been computed, beside how much attention it gets.
    spacing : float, default 0.25
        What the best token of every 2 × 2 neighbourhood is given on top, so that the computed
        ones do not crowd.
    """

    interval: int = setting(3, low=1, high=50, label="Interval", tries=(2, 3, 4, 5, 6, 8))
    ratio: float = setting(
        0.9, low=0, high=1, label="Share cached", tries=(0.5, 0.7, 0.8, 0.9, 0.95)
    )
    staleness: float = setting(0.25, low=0, high=10, label="Staleness")
    spacing: float = setting(0.25, low=0, high=10, label="Spacing")

    def plan_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps at which everything computes."""
        return tuple(range(0, num_steps, self.interval))


class ToCa(Method):
    """Keeps every module's output, and per block how much attention each token gets.

    Attentions are repeated as a whole at skipped steps, as in the published code. Scores need the
    attention's probabilities, which fused kernels do not give: self-attention is slower here at
    computed steps than in every other arm.
    """

    takes_modules = True
    needs = "the attentions and MLPs of its blocks, and their maps"

    def __init__(self, config: ToCaConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        if not hasattr(getattr(stack.blocks[0], stack.layout.parts["attn1"]), "processor"):
            raise TypeError(
                "ToCa needs to see attention's probabilities, and the attention of "
                f"{type(stack.blocks[0]).__name__} does not show them"
            )
        self.clear()

    def clear(self) -> None:
        self._outputs: dict[tuple[int, str], Tensor] = {}
        self._influence: dict[int, Tensor] = {}
        self._age: dict[int, Tensor] = {}
        self._skipping = False

    def begin(self, step: Step) -> None:
        self._skipping = step.index % self.config.interval != 0

    def module(self, index: int, part: str, call: Call) -> Tensor:
        key = index, part
        if self._skipping:
            if part == "ff":
                self._outputs[key] = self._refresh(index, call, self._outputs[key])
            return self._outputs[key]
        if part == "attn1" and self.config.interval > 1 and self.config.ratio < 1.0:
            return self._observe_attention(index, call)
        output = call()
        if part == "ff":
            self._age[index] = torch.zeros(output.shape[:2], device=output.device)
        self._outputs[key] = output
        return output

    def _observe_attention(self, index: int, call: Call) -> Tensor:
        """Run a self-attention so that its probabilities can be seen."""
        attention: Any = self.stack.blocks[index].attn1
        own, attention.processor = attention.processor, (scoring := ScoringProcessor())
        try:
            output = call()
        finally:
            attention.processor = own
        assert scoring.received is not None
        self._influence[index] = scoring.received
        self._outputs[index, "attn1"] = output
        return output

    def _refresh(self, index: int, call: Call, cached: Tensor) -> Tensor:
        """Compute the tokens of highest score and put them into the cached output."""
        _, tokens, width = cached.shape
        count = round((1.0 - self.config.ratio) * tokens)
        self._age[index] += 1.0 / self.config.interval
        if count == 0:
            return cached
        score = self._influence[index] + self.config.staleness * self._age[index]
        score = score + self.config.spacing * best_of_neighbours(score)
        chosen = score.topk(count, dim=1).indices
        places = chosen[..., None].expand(-1, -1, width)
        fresh = call(call.hidden_states.gather(1, places))
        self._age[index] = self._age[index].scatter(1, chosen, 0.0)
        return cached.scatter(1, places, fresh)

    def row(self) -> Any:
        if not self._skipping:
            return None
        some = PARTIAL if self.config.ratio < 1.0 else 0
        return [some if part == "ff" else 0 for part in self.stack.layout.parts] * self.stack.depth


class ScoringProcessor:
    """Attention in plain products, which also says how much attention each token gets.

    Attributes
    ----------
    received : Tensor [batch, tokens]
        Mean over heads and over those who attend; the most attended token of an item has 1.
    """

    received: Tensor | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        query, key, value = (
            attn.head_to_batch_dim(project(hidden_states))
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        received = probabilities.float().mean(1).unflatten(0, (hidden_states.shape[0], -1)).mean(1)
        self.received = received / received.amax(1, keepdim=True)
        output = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        output = attn.to_out[1](attn.to_out[0](output))
        if attn.residual_connection:
            output = output + hidden_states
        return output / attn.rescale_output_factor


def best_of_neighbours(score: Tensor) -> Tensor:
    """1 for the best token of each 2 × 2 neighbourhood of a square grid, else 0; like ``score``."""
    batch, tokens = score.shape
    side = int(tokens**0.5)
    if side * side != tokens or side % 2:
        return torch.zeros_like(score)
    cells = score.view(batch, side // 2, 2, side // 2, 2).transpose(2, 3).flatten(3)
    best = torch.zeros_like(cells).scatter(3, cells.argmax(3, keepdim=True), 1.0)
    return best.unflatten(3, (2, 2)).transpose(2, 3).reshape(batch, tokens)
