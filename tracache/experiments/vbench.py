"""Clips laid out for VBench, whose own command measures them.

It needs other versions of numpy and transformers than this project does, and so an environment of
its own. There it takes any folder of clips (``--mode custom_input``), each named by its prompt and
a number, or with a file that says the prompts (Huang et al., 2024; github.com/Vchitect/VBench).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

#: Of a records' folder: a folder of clips for each setting, and what they were to show.
CLIPS, PROMPTS = "videos", "prompts.json"

#: Bytes of a prompt that a file's name has room for.
MOST_BYTES = 180

ABOUT = (
    "for VBench's own evaluator, a folder of videos/ each: vbench evaluate --mode custom_input "
    "--videos_path FOLDER --prompt_file videos/prompts.json --dimension motion_smoothness"
)


def clip_title(subjects: Sequence[str | int], index: int) -> str:
    """Return the name under which VBench looks for a clip: its prompt, numbered from 0."""
    prompt = str(subjects[index]).replace("/", " ")
    number = list(subjects[:index]).count(subjects[index])
    short = prompt.encode()[:MOST_BYTES].decode(errors="ignore")
    return f"{short}-{number}"


def write_prompts(folder: Path, subjects: Sequence[str | int]) -> None:
    """Write which clip is of which prompt, where names have no room for it; if there are clips."""
    if (folder / CLIPS).is_dir():
        said = {f"{clip_title(subjects, i)}.mp4": str(s) for i, s in enumerate(subjects)}
        file = folder / CLIPS / PROMPTS
        file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
