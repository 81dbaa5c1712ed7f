"""A league on many machines, with Ray: each phase in pieces, a player with a device for each.

All that players record goes to one keeper, beside whoever began: records and pictures are in its
folder as soon as they are made, and no player needs a disk. A player that is lost is started again,
and does again what nobody has recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from PIL import Image

from tracache.experiments.league.leg import PHASES, Leg
from tracache.experiments.records import Records
from tracache.experiments.workers import Worker
from tracache.media import Picture
from tracache.metrics.named import PromptMeasure, named_measures
from tracache.models.bring import bring, is_brought
from tracache.models.loading import LoadedModel, load_model
from tracache.settings import Settings

#: Processor cores of a player where there are no GPUs.
CORES = 2

#: How often a lost player is started again, and a piece of work given out again.
RESTARTS, TRIES = 100, 3


class Carried:
    """Records that a keeper keeps, with the methods of :class:`Records` that players need.

    Parameters
    ----------
    keeper : str
        Its name in the cluster.
    """

    def __init__(self, keeper: str) -> None:
        import ray

        self._keeper: Any = ray.get_actor(keeper)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, which is on the keeper's disk when this returns."""
        _get(self._keeper.append.remote(record))

    def save(self, setting: str, index: int, picture: Picture, title: str) -> str:
        """Write a picture there, and return its path."""
        return _get(self._keeper.save.remote(setting, index, picture, title))

    def picture(self, record: dict[str, Any]) -> Image.Image:
        """Return the picture of a record."""
        return _get(self._keeper.picture.remote(record))

    def read(self) -> list[dict[str, Any]]:
        """Return the records of all."""
        return _get(self._keeper.read.remote())

    def keys(self) -> set[tuple[str, int]]:
        """Return what need not be done again."""
        return _get(self._keeper.keys.remote())


@dataclass(frozen=True)
class Place:
    """Where players ran, in words."""

    device_name: str
    dtype_name: str


class Player:
    """One device, and what it loaded there.

    Parameters
    ----------
    name : str
        Of the model; one that is brought along must be there too.
    measures : sequence of str
        What scores pictures.
    keeper : str
        Of the records, by its name in the cluster.
    device : str or None
        In place of what the environment there says.
    """

    def __init__(self, name: str, measures: Sequence[str], keeper: str, device: str | None) -> None:
        settings = Settings.from_environment()
        self._settings = settings if device is None else replace(settings, device=device)
        self._name = bring(name, self._settings).id if is_brought(name) else name
        self._words, self._measures = measures, list[PromptMeasure]()
        self._records = Carried(keeper)

    def _model(self) -> LoadedModel:
        return load_model(self._name, self._settings)

    def place(self) -> Place:
        """Say where it runs, once the model is loaded."""
        model = self._model()
        return Place(model.device_name, model.dtype_name)

    def do(self, phase: str, leg: Leg, worker: Worker) -> None:
        """Do a worker's share of a phase."""
        if phase == PHASES[-1] and not self._measures:
            self._measures = named_measures(self._words)
        leg.do(phase, self._model(), self._records, self._measures, worker)


@contextmanager
def players(
    address: str, name: str, measures: Sequence[str], records: Records, device: str | None
) -> Iterator[list[Any]]:
    """Start a player for every GPU of a cluster, or every two cores where it has none.

    Parameters
    ----------
    address : str
        Of a cluster that this machine belongs to: ``auto`` finds it, ``local`` makes one of this
        machine alone.
    name : str
        Of the model.
    measures : sequence of str
        What scores pictures.
    records : Records
        Where all goes.
    device : str or None
        Of each player; the best that there is if not given.

    Raises
    ------
    ValueError
        If Ray is not installed, or there is no such cluster; the message says what to do.
    """
    ray = connect(address)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    count = gpus or max(1, int(there.get("CPU", 1)) // CORES)
    node = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(node, soft=False)
    called = f"tracache-{uuid4().hex}"
    keep = ray.remote(num_cpus=0, name=called, scheduling_strategy=beside)(Records)
    # A file of its own, beside that of whoever began.
    keeper = keep.remote(records.folder.absolute(), records.worker + 1)
    needs = {"num_gpus": 1} if gpus else {"num_cpus": min(CORES, int(there.get("CPU", 1)))}
    made = ray.remote(max_restarts=RESTARTS, max_task_retries=TRIES, **needs)(Player)
    team = [made.remote(name, list(measures), called, device) for _ in range(count)]
    try:
        yield team
    finally:
        for actor in (*team, keeper):
            ray.kill(actor)


def connect(address: str) -> Any:
    """Join a cluster, and return Ray.

    Raises
    ------
    ValueError
        If that cannot be; the message says what to do.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("--ray needs Ray: pip install -e '.[serve]'") from error
    if address.startswith("ray://"):
        raise ValueError(
            f"--ray {address}: run this on a machine of the cluster, with --ray auto; the records "
            "stay there"
        )
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        except Exception as error:
            # Ray has no kind of its own for what it cannot join or start.
            reason = " ".join(str(error).split())[:160]
            what = (
                "Ray did not start here; try again when less else runs"
                if address == "local"
                else "there is no such cluster; start one with ray start --head, and ray start "
                "--address=HOST:6379 on the other machines"
            )
            raise ValueError(f"--ray {address}: {what} ({reason})") from error
    return ray


def play(team: Sequence[Any], phase: str, leg: Leg, heard: Callable[[], Any]) -> None:
    """Hand a phase out piece by piece, and return when all of it is recorded.

    Parameters
    ----------
    team : sequence of actor
        From :func:`players`.
    phase : str
        One of ``PHASES``.
    leg : Leg
        What is done.
    heard : callable
        Called after each piece.
    """
    from ray.util import ActorPool

    count = leg.shares(phase)
    pool = ActorPool(list(team))
    pieces = [Worker(i, count) for i in range(count)]
    for _ in pool.map_unordered(lambda player, piece: player.do.remote(phase, leg, piece), pieces):
        heard()


def place_of(team: Sequence[Any]) -> Place:
    """Have all load the model, and return where the first that has it runs."""
    import ray

    done, _ = ray.wait([player.place.remote() for player in team], num_returns=1)
    return _get(done[0])


def _get(reference: Any) -> Any:
    import ray

    return ray.get(reference)
