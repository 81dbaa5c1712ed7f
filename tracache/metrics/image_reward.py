"""ImageReward: how much people would like an image that was made for a prompt (Xu et al., 2023).

Its package, ``image-reward`` (github.com/THUDM/ImageReward), is written for an older transformers
than this project's, and imports ``clip`` besides. Where it cannot be imported beside the project,
this very file, which knows nothing of it, scores a folder of a league's records from an environment
of the package's own, and the league then finds the scores there:

    python tracache/metrics/image_reward.py FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

NAME = "ImageReward"

#: Weights, by the package's own name for them; it fetches them from the Hub when first used.
WEIGHTS = "ImageReward-v1.0"

#: Of a folder of records: what the pictures are of, by their index.
SUBJECTS = "subjects.json"

#: Begins the setting of a score's record; then come what it is and what it is of.
SCORE = "score, "


class ImageRewardMeasure:
    """Mean ImageReward of images and their prompts; 0 is the mean of its training's images.

    Parameters
    ----------
    source : str, optional
        Weights: a file, or a name that the package knows.

    Raises
    ------
    ValueError
        If the package or the weights cannot be had; the message says what to do.
    """

    name = NAME

    def __init__(self, source: str = "") -> None:
        try:
            package = import_module("ImageReward")
        except Exception as error:
            # What an old package raises beside new libraries is not only ImportError.
            raise ValueError(
                f"ImageReward cannot be imported here ({_short(error)}): pip install image-reward "
                "openai-clip in an environment of its own, with transformers 4, run there "
                f"python {Path(__file__).name} FOLDER, this file, on the folder of the league's "
                "records, and sum up again without imagereward"
            ) from error
        try:
            self._model = package.load(source or WEIGHTS, device="cpu")
        except Exception as error:
            raise ValueError(
                f"the weights of ImageReward cannot be had; they are fetched from the Hub's "
                f"THUDM/ImageReward when first used, or name a file: imagereward=FILE "
                f"({_short(error)})"
            ) from error

    def to(self, device: Any) -> None:
        """Compute there from now on."""
        self._model = self._model.to(device)
        # Where it puts what it reads.
        self._model.device = device

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> float:
        """Return the mean over all pairs."""
        pairs = zip(images, prompts, strict=True)
        scores = [self._model.score(prompt, image.convert("RGB")) for image, prompt in pairs]
        return float(sum(scores) / len(scores))


def score_folder(folder: Path, measure: ImageRewardMeasure) -> int:
    """Score whatever picture in a folder of a league's records has no score, and return how many.

    Raises
    ------
    ValueError
        If the folder has no records of a league.
    """
    file = folder / SUBJECTS
    if not file.is_file():
        raise ValueError(f"{folder} holds no league's records: it has no {file.name}")
    about = json.loads(file.read_text(encoding="utf-8"))
    prompts = about["subjects"]
    if about["of"] != "prompts" or about["frames"] != 1:
        raise ValueError(f"{folder} holds no images of prompts, which ImageReward is of")
    records, scored = [], set()
    for one in sorted(folder.glob("records-*.jsonl")):
        for line in one.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "image" in record:
                records.append(record)
            elif isinstance(record, dict):
                scored.add((record.get("setting"), record.get("index")))
    count = 0
    with (folder / "records-imagereward.jsonl").open("a", encoding="utf-8") as out:
        # What a killed run left of a line stays a line of its own.
        out.write("\n")
        for record in records:
            setting, index = f"{SCORE}{NAME}, {record['setting']}", record["index"]
            if (setting, index) in scored:
                continue
            with Image.open(folder / record["image"]) as image:
                value = measure([image], [prompts[index]])
            out.write(json.dumps({"setting": setting, "index": index, "value": value}) + "\n")
            out.flush()
            scored.add((setting, index))
            count += 1
    return count


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def main(argv: Sequence[str]) -> int:
    """Score the folders that are named; return the exit status."""
    if not argv:
        print(f"usage: python {Path(__file__).name} FOLDER…", file=sys.stderr)
        return 2
    try:
        measure = ImageRewardMeasure()
        for name in argv:
            print(f"{name}: {score_folder(Path(name), measure)} scored")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    # Other measures beside this file have names that packages have too, such as lpips.
    sys.path = [folder for folder in sys.path if Path(folder or ".") != Path(__file__).parent]
    sys.exit(main(sys.argv[1:]))
