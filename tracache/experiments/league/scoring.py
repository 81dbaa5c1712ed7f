"""Scores of a league's pictures by measures that know their prompts, each a record of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from tracache.experiments.league.tuning import Heard
from tracache.experiments.records import AnyRecords
from tracache.experiments.workers import ALONE, Worker
from tracache.media import frames_in
from tracache.metrics.image_reward import SCORE, SUBJECTS
from tracache.metrics.named import PromptMeasure


def score(
    measures: Sequence[PromptMeasure],
    subjects: Sequence[str | int],
    records: AnyRecords,
    *,
    frames: int = 1,
    device: torch.device | None = None,
    worker: Worker = ALONE,
    progress: Heard = lambda: None,
) -> None:
    """Score every picture that is recorded and has no score yet.

    Parameters
    ----------
    measures : sequence of PromptMeasure
        What scores them.
    subjects : sequence of str or int
        What they are of, by their index.
    records : Records
        Where they are, and where scores go.
    frames : int, default 1
        Of each picture, side by side: a video's score is the mean of theirs.
    device : torch.device, optional
        Where measures compute.
    worker : Worker, optional
        Whose share of the pictures is scored.
    progress : callable, optional
        Called after each picture.
    """
    if not measures:
        return
    there = records.read()
    known = {(r["setting"], r["index"]) for r in there}
    for measure in measures:
        if device is not None:
            measure.to(device)
    for record in worker.share([r for r in there if "image" in r]):
        for measure in measures:
            setting = f"{SCORE}{measure.name}, {record['setting']}"
            if (setting, record["index"]) not in known:
                pictures = frames_in(records.picture(record), frames)
                value = measure(pictures, [str(subjects[record["index"]])] * len(pictures))
                records.append({"setting": setting, "index": record["index"], "value": value})
        progress()


class Scores:
    """Scores that were recorded, by what they are of.

    Parameters
    ----------
    found : sequence of dict
        All records of a folder.
    """

    def __init__(self, found: Sequence[dict[str, Any]]) -> None:
        self._by_setting: dict[str, dict[str, dict[int, float]]] = {}
        for record in found:
            if record["setting"].startswith(SCORE):
                name, _, setting = record["setting"].removeprefix(SCORE).rpartition(", ")
                there = self._by_setting.setdefault(setting, {}).setdefault(name, {})
                there[record["index"]] = float(record["value"])

    def mean(self, setting: str, indices: Sequence[int]) -> dict[str, float]:
        """Return, by measure, the mean over pictures of a setting, of measures that have all."""
        return {
            name: fmean(values[i] for i in indices)
            for name, values in self._by_setting.get(setting, {}).items()
            if all(i in values for i in indices)
        }


def write_subjects(folder: Path, subjects: Sequence[str], of: str, frames: int) -> None:
    """Note what the pictures are of, for whoever scores them elsewhere."""
    about = {"of": of, "frames": frames, "subjects": list(subjects)}
    (folder / SUBJECTS).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")
