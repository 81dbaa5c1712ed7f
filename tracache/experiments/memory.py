"""Memory: the peak of a run, arm by arm, beside full compute's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracache.compare.arm import Setup
from tracache.compare.sampling import prepare
from tracache.experiments.contenders import Contender, run_contender
from tracache.metrics.memory import peak_memory
from tracache.models.loading import LoadedModel


@dataclass(frozen=True)
class MemoryRow:
    """The peak of one contender's run.

    Attributes
    ----------
    arm : str
        The arm, or the peer.
    stride : int or str
        That it was asked to keep.
    max_order : int
        Likewise.
    steps, batch : int
        Of the run; images at once.
    kind : str
        What memory was measured.
    bytes : int
        Its peak, weights included.
    ratio : float
        Over full compute's.
    """

    arm: str
    stride: int | str
    max_order: int
    steps: int
    batch: int
    kind: str
    bytes: int
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return asdict(self)


def measure_memory(
    model: LoadedModel,
    prompt: str | int,
    contenders: Sequence[Contender],
    *,
    scheduler: str,
    guidance_scale: float,
    batch: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[MemoryRow]:
    """Run each contender once and note its peak, after full compute of as many steps.

    On CUDA the figures are the allocator's own. Elsewhere they are samples of the whole process,
    which keeps what it once had: there, a difference of a few per cent says nothing.
    """
    (steps,) = {c.setup.num_steps for c in contenders}
    inputs = prepare(model, [prompt] * batch, range(batch), guidance_scale, scheduler)
    full = Contender("full", 1, Setup(steps))
    # What libraries take once is not any contender's.
    run_contender(model, inputs, full)
    reference = 0
    for contender in (full, *contenders):
        with peak_memory(model.device) as peak:
            run_contender(model, inputs, contender)
        reference = reference or peak.bytes
        yield MemoryRow(
            arm=contender.name,
            stride=contender.stride,
            max_order=contender.max_order,
            steps=steps,
            batch=batch,
            kind=peak.kind,
            bytes=peak.bytes,
            ratio=peak.bytes / reference,
        )
        progress()
