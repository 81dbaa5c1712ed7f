"""Examples made beforehand, each labelled with where and when it was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from tracache.compare.cards import CARDS
from tracache.compare.comparison import run
from tracache.compare.output import write_json
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import make_request
from tracache.media import Video
from tracache.models.loading import LoadedModel
from tracache.models.registry import MODELS, takes_class
from tracache.models.spec import ModelSpec

#: Where they are, within the assets, and the list of them.
FOLDER = "examples"
INDEX = "index.json"


@dataclass(frozen=True)
class Example:
    """One recorded comparison.

    Attributes
    ----------
    model, subject : str
        What made it, from which prompt or class.
    full, fast : str
        Names of the pictures' files: full compute's and the arm's.
    speed_up, psnr : float
        As it was measured when it was recorded.
    device, recorded : str
        Where, and on which day.
    arm : str
        What made the second.
    """

    model: str
    subject: str
    full: str
    fast: str
    speed_up: float
    psnr: float
    device: str
    recorded: str
    arm: str

    @property
    def label(self) -> str:
        """Where its figures come from, for people."""
        return f"recorded on {self.device}, {self.recorded}"


def record_examples(
    folder: Path, load: Callable[[str], LoadedModel], say: Callable[[str], None] = print
) -> list[Example]:
    """Make every example of the embedded models with their default settings, and write all down.

    Parameters
    ----------
    folder : Path
        For the pictures and their list.
    load : callable
        Loads a model by its id.
    say : callable, optional
        Told of each example made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for spec in (entry for entry in MODELS.values() if entry.embedded):
        for number, subject in enumerate(spec.example_prompts, start=1):
            what: dict[str, Any] = {"class_label" if takes_class(spec.id) else "prompt": subject}
            request = make_request(spec.id, **what, seed=0, trace=False)
            report = run(load(spec.id), request)
            found.append(_keep(spec, subject, report, folder, f"{spec.id}-{number}"))
            say(f"{spec.id}: {subject}: {found[-1].speed_up:.2f}×, {found[-1].psnr:.1f} dB")
    write_json(folder / INDEX, [asdict(example) for example in found])
    return found


def record_cards(
    folder: Path, load: Callable[[str], LoadedModel], say: Callable[[str], None] = print
) -> None:
    """Make the comparison of every card, and write the pictures that it shows.

    Parameters
    ----------
    folder, load, say
        As for :func:`record_examples`.

    Raises
    ------
    ValueError
        If a comparison does not show what its card promises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for card in CARDS.values():
        report = run(load(card.given["model"]), card.request())
        if not card.holds(report.arms):
            raise ValueError(f"the card {card.id} does not show what it promises")
        for result in report.arms:
            if result.arm in card.pictures:
                _save_image(result, folder / card.file(result.arm))
        say(f"{card.title}: {card.verdict(report.arms)}")


def _save_image(result: ArmResult, file: Path) -> None:
    """Write without loss: what is compared must not show the format's own faults."""
    assert isinstance(result.image, Image.Image)
    result.image.save(file, format="webp", lossless=True, method=6)


def _keep(spec: ModelSpec, subject: str, report: Report, folder: Path, stem: str) -> Example:
    full, fast = report.arms
    kind = "mp4" if isinstance(full.image, Video) else "webp"
    names = {"full": f"{stem}-full.{kind}", "fast": f"{stem}.{kind}"}
    for arm, name in ((full, names["full"]), (fast, names["fast"])):
        if isinstance(arm.image, Video):
            arm.image.save(folder / name)
        else:
            _save_image(arm, folder / name)
    return Example(
        spec.id,
        subject,
        **names,
        # Both were made and timed anew just now.
        speed_up=round(fast.speed_up or 0.0, 2),
        psnr=round(fast.psnr, 1),
        device=report.device,
        recorded=date.today().isoformat(),
        arm=fast.arm,
    )


def load_examples(assets: Path) -> list[Example]:
    """Read the recorded examples; none if there are none."""
    file = assets / FOLDER / INDEX
    if not file.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return [Example(**entry) for entry in entries]
