"""What a league does with one model at one number of steps, in shares that any process may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracache.experiments.league.entrants import Field
from tracache.experiments.league.making import make, plays
from tracache.experiments.league.scoring import score
from tracache.experiments.league.tuning import Chosen, Heard, searched, tune
from tracache.experiments.records import FRAMES, AnyRecords
from tracache.experiments.workers import ALONE, Worker, batches
from tracache.media import VideoSize
from tracache.metrics.named import PromptMeasure
from tracache.models.loading import LoadedModel
from tracache.models.spec import ModelSpec

#: What is done, one after the other: each needs what all have recorded of those before it.
PHASES = ("tuning", "runs", "scores")


@dataclass(frozen=True)
class Leg:
    """One model at one number of steps.

    Attributes
    ----------
    whole : Field
        Who takes part.
    subjects, tuning : sequence of str or int
        Held-out prompts or classes, and those that settings are chosen on.
    budgets : sequence of int
        Numbers of computed steps.
    batch : int
        Prompts per run.
    """

    whole: Field
    subjects: Sequence[str | int]
    tuning: Sequence[str | int]
    budgets: Sequence[int]
    batch: int

    @property
    def frames(self) -> int:
        """How many frames are side by side in a recorded picture."""
        return frames_kept(self.whole.spec)

    def shares(self, phase: str) -> int:
        """In how many pieces a phase can be handed out."""
        if phase == "tuning":
            return len(searched(self.whole))
        return len(batches(len(self.subjects), self.batch))

    def runs(self, worker: Worker) -> int:
        """How often a worker's share of the runs says that one is done."""
        mine = worker.share(batches(len(self.subjects), self.batch))
        return len(mine) * len(list(plays(self.whole, self.budgets)))

    def do(
        self,
        phase: str,
        model: LoadedModel,
        records: AnyRecords,
        measures: Sequence[PromptMeasure] = (),
        worker: Worker = ALONE,
        progress: Heard = lambda: None,
    ) -> None:
        """Do a worker's share of a phase; what is recorded is not done again.

        Parameters
        ----------
        phase : str
            One of :data:`PHASES`.
        model : LoadedModel
            What runs.
        records : Records
            What was done before, by whomever, and where all goes.
        measures : sequence of PromptMeasure
            What scores pictures.
        worker : Worker, optional
            Whose share.
        progress : callable, optional
            Called after each arm, run or picture.
        """
        if phase == "tuning":
            self.settle(records, model, worker, progress)
        elif phase == "runs":
            whole, chosen = self.settle(records, model)
            make(
                model,
                whole,
                self.subjects,
                self.budgets,
                chosen,
                records,
                batch=self.batch,
                worker=worker,
                progress=progress,
            )
        else:
            score(
                measures,
                self.subjects,
                records,
                frames=self.frames,
                device=model.device,
                worker=worker,
                progress=progress,
            )

    def settle(
        self,
        records: AnyRecords,
        model: LoadedModel | None = None,
        worker: Worker = ALONE,
        progress: Heard = lambda: None,
    ) -> tuple[Field, Chosen]:
        """Return everybody with their settings; without a model, all must have been tried."""
        return tune(
            model,
            self.whole,
            self.tuning,
            self.budgets,
            records,
            progress,
            batch=self.batch,
            worker=worker,
        )


def frames_kept(spec: ModelSpec) -> int:
    """How many frames of a model's videos are kept as a picture; 1 of its images."""
    return min(spec.size.frames, FRAMES) if isinstance(spec.size, VideoSize) else 1
