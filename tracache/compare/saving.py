"""A comparison as files: pictures, figures, and the heatmap."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from tracache.compare.heatmap import order_heatmap
from tracache.compare.output import write_json
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.serialise import given_of, to_query
from tracache.media import Video, filmstrip


def arm_file(arm: ArmResult) -> str:
    """Name of the file that an arm's picture goes to."""
    return f"{arm.arm}.{'mp4' if isinstance(arm.image, Video) else 'png'}"


def course_file(arm: str) -> str:
    """Name of the file that the pictures of an arm's steps go to."""
    return f"steps-{arm}.webp"


def save_arm(arm: ArmResult, request: Request, folder: Path) -> Path:
    """Write an arm's picture; a PNG says in its metadata what made it.

    Returns
    -------
    Path
        The file. It is there whole or not at all.
    """
    file = folder / arm_file(arm)
    part = file.with_name(f".part-{file.name}")
    if isinstance(arm.image, Video):
        arm.image.save(part)
    else:
        about = PngInfo()
        about.add_text("Software", "TraCache")
        about.add_text("Title", f"{arm.title}: {request.prompt}")
        about.add_text("tracache-recipe", to_query(given_of(request)))
        about.add_text("tracache-figures", json.dumps(arm.to_dict()))
        arm.image.save(part, format="png", pnginfo=about)
    part.replace(file)
    return file


def save_report(report: Report, folder: Path) -> list[Path]:
    """Write every picture, ``report.json``, ``orders.html`` and, of videos, ``strip.png``.

    What the arms took the picture for at every step goes to ``steps-….webp``.
    """
    files = [save_arm(arm, report.request, folder) for arm in report.arms]
    videos = [arm.image for arm in report.arms if isinstance(arm.image, Video)]
    if videos:
        files.append(folder / "strip.png")
        filmstrip(videos).save(files[-1])
    for course in report.courses:
        files.append(folder / course_file(course.arm))
        course.sheet.save(files[-1], quality=80)
    if report.trace is not None:
        files.append(folder / "orders.html")
        order_heatmap(report.trace).write_html(files[-1], include_plotlyjs=True)
    files.append(folder / "report.json")
    write_json(files[-1], report.to_dict())
    return files


def zip_report(report: Report, folder: Path, name: str) -> Path:
    """Write everything into a folder, and all of it into one archive beside."""
    files = save_report(report, folder)
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in files:
            out.write(file, f"{name}/{file.name}")
    # A copy of plotly is in it, and it is in the archive.
    (folder / "orders.html").unlink(missing_ok=True)
    return archive
