"""What benchmarks run against full compute: an arm, or another library's cache."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tracache.caching.config import TraCacheConfig
from tracache.caching.pipeline import first_denoiser
from tracache.compare.arm import REFERENCE, Setup
from tracache.compare.arms import ARMS
from tracache.compare.request import Request
from tracache.compare.sampling import Inputs, Sample, sample
from tracache.experiments.grid import spacing_of
from tracache.experiments.peers import PEERS, Peer
from tracache.models.loading import LoadedModel


@dataclass(frozen=True)
class Contender:
    """What is run against full compute.

    Attributes
    ----------
    name : str
        The arm, or the peer.
    stride : int or str
        That it was asked to keep; or how many steps to compute, in words.
    setup : Setup
        What runs.
    peer : (Peer, TraCacheConfig) or None
        Another library's cache, and the settings from which it takes its own.
    """

    name: str
    stride: int | str
    setup: Setup
    peer: tuple[Peer, TraCacheConfig] | None = None

    @property
    def max_order(self) -> int:
        """Highest order that it was asked to take; 0 where it knows none."""
        config = self.setup.cache if self.peer is None else self.peer[1]
        return 0 if config is None else config.highest_order


def contenders_of(requests: Sequence[Request], peers: Sequence[str], steps: int) -> list[Contender]:
    """Return what runs at a number of steps, each thing once however many settings lead to it."""
    found: dict[Contender, None] = {}
    for request in (r for r in requests if r.steps == steps):
        stride = spacing_of(request)
        for arm in request.arms:
            if arm != REFERENCE and not ARMS[arm].matches and not request.waits(arm):
                found[Contender(arm, stride, request.set_up(arm))] = None
        for name in peers:
            found[Contender(name, stride, Setup(steps), (PEERS[name], request.cache))] = None
    return list(found)


def run_contender(model: LoadedModel, inputs: Inputs, contender: Contender) -> Sample:
    """Run the denoising loop once."""
    with ExitStack() as stack:
        if contender.peer is not None:
            put, config = contender.peer
            stack.enter_context(put(first_denoiser(model.pipe), config, contender.setup.num_steps))
        return sample(model, inputs, contender.setup)
