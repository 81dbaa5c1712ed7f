"""Train the judge of clips, and score clips against their captions.

It learns from rendered frames only, as they are and after a trip through the autoencoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracache.metrics.judges.clips import FOLDER, ClipJudge, Found, judge_loss, load_judge
from tracache.metrics.judges.tracks import Motion, Track, motion
from tracache.training.clips.codec import load_video_vae, roundtrip
from tracache.training.clips.data import fresh_clips, load_clips
from tracache.training.data import kept_array, load_captions, rendered
from tracache.training.fit import Effort, fit
from tracache.training.images.vae import to_tensor
from tracache.training.judging import augment, save_judge, save_report
from tracache.training.machine import pick_device
from tracache.training.render.clips import COLOURS, SOLIDS, Clip
from tracache.training.render.motion import FRAMES, centres, layout, spin

LEAST_TRAVEL, LEAST_DEGREES = 0.15, 90.0
"""Less than this, in widths or around the centre, is not what a caption asks for."""
LARGEST_JUMP = 0.2
"""Objects move; from one frame to the next they do not leap by more than this."""


def truth(clip: Clip, seed: int) -> Found:
    """The right reading of every frame of a clip rendered with ``seed``."""
    rows = layout(clip, seed)
    where, turns = centres(clip, rows), spin(rows)
    present = np.zeros((FRAMES, len(COLOURS)))
    places = np.zeros((FRAMES, len(COLOURS), 2))
    solids = np.zeros((FRAMES, len(COLOURS), 1))
    stripes = np.zeros((FRAMES, len(COLOURS), 2))
    for i, thing in enumerate(clip.things):
        k = COLOURS.index(thing.colour)
        present[:, k], places[:, k] = 1.0, where[:, i]
        solids[:, k] = SOLIDS.index(thing.solid)
        if not np.isnan(turns[0, i]):
            stripes[:, k] = np.stack([np.cos(2 * turns[:, i]), np.sin(2 * turns[:, i])], -1)
    if clip.centre is not None:
        near = np.abs(where[:, 0, 0] - where[:, 1, 0]) < 0.09
        behind = rows[:, 0, 3] > rows[:, 1, 3]
        present[near & behind, COLOURS.index(clip.mover.colour)] = np.nan
        present[near & ~behind, COLOURS.index(clip.centre.colour)] = np.nan
    return Found(
        *(torch.tensor(v, dtype=torch.float32) for v in (present, places, solids, stripes))
    )


def truths(captions: list[str], seed: int = 0) -> Found:
    """The right readings of clips, the first rendered with ``seed``: (clips, frames, ...) each."""
    parts = [truth(Clip.from_caption(caption), seed + i) for i, caption in enumerate(captions)]
    return Found(*(torch.stack(values) for values in zip(*parts, strict=True)))


def _through(work: Path, count: int) -> np.ndarray:
    """The first ``count`` clips after the autoencoder, kept in ``work``."""
    return kept_array(
        work / "roundtrip.npy", lambda: roundtrip(load_video_vae(work), load_clips(work)[:count])
    )


def train_judge(work: Path, effort: Effort, through: int = 512, folder: Path = FOLDER) -> None:
    """Train on single frames, half of them through the autoencoder; save weights and report.

    Parameters
    ----------
    work : Path
        Work folder with the rendered clips and the finished autoencoder.
    effort : Effort
        How long, and from where; 96 frames a step.
    through : int, default 512
        How many clips take the trip through the autoencoder.
    folder : Path
        Where weights and report go, by default to the committed ones.
    """
    torch.manual_seed(effort.seed)
    device, batch = pick_device(), effort.batch or 96
    clips, count, half = load_clips(work), rendered(work), batch // 2
    passed = _through(work, min(through, count))
    answers = truths(load_captions(work)[:count])
    model = (load_judge() if effort.from_assets else ClipJudge(COLOURS, SOLIDS)).to(device)

    def loss(generator: torch.Generator, progress: float) -> Tensor:
        which = torch.randint(count, (batch,), generator=generator)
        which[:half] %= len(passed)
        when = torch.randint(FRAMES, (batch,), generator=generator)
        parts = [passed[which[:half], when[:half]], clips[which[half:], when[half:]]]
        x, moved = augment(to_tensor(np.concatenate(parts), device), 0.08, generator)
        wanted = Found(*(value[which, when].to(device) for value in answers))
        shift = torch.tensor(moved, device=device) / x.shape[-1]
        return judge_loss(model(x), wanted._replace(places=wanted.places + shift))

    adamw = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    fit(model, [adamw], loss, effort, work / "judge.pt", batch=batch, decay=0.98)
    config = {key: list(getattr(model, key)) for key in ("colours", "solids", "widths")}
    save_judge(model, config, folder)
    save_report(evaluate_judge(load_judge(folder), load_video_vae(work)), folder)


def moves_as_told(clip: Clip, found: Motion) -> bool:
    """Whether the right thing does the right motion the right way, far enough, without leaps."""
    far = found.degrees >= LEAST_DEGREES if clip.verb == "orbits" else found.travel >= LEAST_TRAVEL
    told = (clip.mover.colour, clip.verb, clip.direction)
    return (found.colour, found.verb, found.direction) == told and far and found.jump < LARGEST_JUMP


def verdict(clip: Clip, tracks: list[Track]) -> dict[str, bool]:
    """What a clip got right: colours, solids, both, motion, everything."""
    wanted = {thing.colour: thing.solid for thing in clip.things}
    seen = {track.colour: track.solid for track in tracks}
    colours = set(seen) == set(wanted)
    solids = sorted(seen.values()) == sorted(wanted.values())
    moves = bool(tracks) and moves_as_told(clip, motion(tracks))
    return {
        "colour": colours,
        "solid": solids,
        "colour_and_solid": seen == wanted,
        "motion": moves,
        "all": seen == wanted and moves,
    }


def score(clips: list[Clip], frames: np.ndarray, judge: ClipJudge) -> dict[str, dict[str, float]]:
    """Percentages right: of all clips, and per kind of motion and direction.

    Parameters
    ----------
    clips : list of Clip
        What was asked for.
    frames : numpy.ndarray
        What came: uint8, shape (len(clips), 17, 64, 64, 3).
    judge : ClipJudge
        Who reads it.
    """
    verdicts = [verdict(clip, judge.follow(f)) for clip, f in zip(clips, frames, strict=True)]
    groups: dict[str, list[dict[str, bool]]] = {"all": verdicts}
    for clip, one in zip(clips, verdicts, strict=True):
        groups.setdefault(clip.verb, []).append(one)
        groups.setdefault(f"{clip.verb} {clip.direction}", []).append(one)
    return {
        name: {
            key: round(100.0 * float(np.mean([one[key] for one in group])), 2) for key in group[0]
        }
        for name, group in groups.items()
    }


def evaluate_judge(judge: ClipJudge, vae: Any, count: int = 256) -> dict[str, Any]:
    """Percentages right on renders that no training saw: as they are and through the VAE."""
    clips, frames = fresh_clips(count)
    return {
        "unseen_clips": count,
        "percent_right_through_autoencoder": score(clips, roundtrip(vae, frames), judge),
        "percent_right_as_rendered": score(clips, frames, judge),
    }
