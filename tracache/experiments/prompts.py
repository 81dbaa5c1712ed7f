"""Prompts that others report on, from the Hub, or anybody's own, from a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import huggingface_hub

#: Names of the column that has the prompts, in small letters.
COLUMNS = ("prompt", "prompts", "caption", "text")

#: Of a set, one prompt in so many is for tuning.
TUNING_SHARE = 10

#: What --prompts takes, for a command's help.
ABOUT = "drawbench, parti, or a file: one a line, or a CSV or TSV with a column Prompt"


@dataclass(frozen=True)
class PromptSet:
    """A set of prompts on the Hub.

    Attributes
    ----------
    title : str
        For people.
    repo, file : str
        A dataset's repository, and the file of it that has the prompts.
    """

    title: str
    repo: str
    file: str


#: Names, and where they are: nothing of them comes with this project.
SETS: dict[str, PromptSet] = {
    "drawbench": PromptSet("DrawBench", "sayakpaul/drawbench", "DrawBench Prompts - Sheet1.csv"),
    "parti": PromptSet("PartiPrompts", "nateraw/parti-prompts", "PartiPrompts.tsv"),
}


def read_prompts(source: str) -> list[str]:
    """Return the prompts of a set or a file, in its order.

    Parameters
    ----------
    source : str
        A name in :data:`SETS`, or a file.

    Raises
    ------
    ValueError
        If the set cannot be had, or the file is none of prompts; the message says what to do.
    FileNotFoundError
        If there is no such file.
    """
    file = _fetch(SETS[source]) if source in SETS else Path(source)
    if not file.is_file():
        raise FileNotFoundError(f"--prompts {source}: there is no such file; {ABOUT}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"--prompts {source} is no text in UTF-8") from None
    kind = file.suffix.lower()
    lines = _column(source, text, kind) if kind in (".csv", ".tsv") else text.splitlines()
    found = [line for line in map(str.strip, lines) if line]
    if not found:
        raise ValueError(f"--prompts {source} holds no prompt")
    return found


def _column(source: str, text: str, kind: str) -> list[str]:
    """Return the column of prompts; marks in a TSV are marks, as PartiPrompts has them."""
    if kind == ".tsv":
        rows = csv.DictReader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.DictReader(io.StringIO(text, newline=""))
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    column = next((names[name] for name in COLUMNS if name in names), None)
    if column is None:
        there = ", ".join(filter(None, names)) or "none"
        raise ValueError(f"--prompts {source} has no column Prompt; there are: {there}")
    return [" ".join((row[column] or "").split()) for row in rows]


def _fetch(wanted: PromptSet) -> Path:
    try:
        return Path(huggingface_hub.hf_hub_download(wanted.repo, wanted.file, repo_type="dataset"))
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"{wanted.title} cannot be had from the Hub: connect to the network and unset "
            f"HF_HUB_OFFLINE, or bring '{wanted.file}' of its dataset {wanted.repo} here and name "
            f"that file with --prompts ({reason})"
        ) from error


def split_prompts(prompts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the prompts that are reported on, and those that settings are chosen on.

    Which they are follows from the words alone, neither from their order nor from chance: a tenth,
    those whose SHA-256 come first. The same prompt twice is on one side.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    every = sorted(set(prompts), key=lambda prompt: sha256(prompt.encode()).digest())
    if len(every) < 2:
        raise ValueError(
            "one prompt cannot be told apart from those that settings are chosen on: give two "
            "different ones at least, or --tuning-prompts"
        )
    apart = set(every[: max(1, len(every) // TUNING_SHARE)])
    return [p for p in prompts if p not in apart], [p for p in prompts if p in apart]


def digest_of_prompts(prompts: Sequence[str | int]) -> str:
    """Return twelve letters that say which prompts they are, and in which order."""
    return sha256("\n".join(map(str, prompts)).encode()).hexdigest()[:12]
