"""Pictures are scored with their own prompts, once, by whoever is at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tracache.experiments.league.scoring import Scores, score, write_subjects
from tracache.experiments.records import Records
from tracache.experiments.workers import Worker
from tracache.metrics import image_reward
from tracache.metrics.named import named_measures

SUBJECTS = ["one", "two words"]

#: As the package documents itself: ``load(name, device)`` gives what has ``score(prompt, image)``.
PACKAGE = """
class Model:
    device = "cpu"

    def to(self, device):
        return self

    def score(self, prompt, image):
        return len(prompt) + image.convert("RGB").getpixel((0, 0))[0]


def load(name, device):
    if name == "absent":
        raise RuntimeError("no such weights")
    return Model()
"""


class Brightness:
    """Letters of the prompt and the first pixel's red."""

    name = "Brightness, roughly"

    def __init__(self):
        self.calls = 0

    def to(self, device):
        raise AssertionError("no device was asked for")

    def __call__(self, images, prompts):
        self.calls += 1
        pairs = zip(images, prompts, strict=True)
        found = [len(prompt) + image.getpixel((0, 0))[0] for image, prompt in pairs]
        return sum(found) / len(found)


def record(records, setting, index, *reds):
    """Record a picture of frames side by side, each of one colour."""
    strip = Image.new("RGB", (4 * len(reds), 4))
    for i, red in enumerate(reds):
        strip.paste((red, 0, 0), (4 * i, 0, 4 * i + 4, 4))
    file = records.save(setting, index, strip, "")
    records.append({"setting": setting, "index": index, "image": file})


def test_a_score_is_the_mean_over_frames_with_the_prompt_of_the_picture(tmp_path):
    records, measure = Records(tmp_path), Brightness()
    record(records, "6-full", 0, 10, 20, 60)
    record(records, "6-full", 1, 0, 0, 90)
    record(records, "6-c3-reuse", 1, 3, 3, 3)
    score([measure], SUBJECTS, records, frames=3)
    scores = Scores(records.read())
    assert scores.mean("6-full", [0, 1]) == {measure.name: (33 + 39) / 2}
    assert scores.mean("6-c3-reuse", [1]) == {measure.name: 12}
    # Of a picture that nobody scored there is no mean.
    assert scores.mean("6-c3-reuse", [0, 1]) == scores.mean("6-c9-reuse", [0]) == {}
    assert measure.calls == 3
    score([measure], SUBJECTS, records, frames=3)
    assert measure.calls == 3


def test_two_workers_score_each_picture_once(tmp_path):
    for index in (0, 1):
        record(Records(tmp_path), "6-full", index, 5)
    measures = [Brightness(), Brightness()]
    for i, measure in enumerate(measures):
        score([measure], SUBJECTS, Records(tmp_path, i), worker=Worker(i, 2))
    assert [measure.calls for measure in measures] == [1, 1]
    assert Scores(Records(tmp_path).read()).mean("6-full", [0, 1]) == {measures[0].name: 11}


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "packages" / "ImageReward"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder.parent
    sys.modules.pop("ImageReward", None)


def test_image_reward_is_called_as_it_says(package):
    (measure,) = named_measures(["imagereward"])
    white, black = Image.new("L", (2, 2), 255), Image.new("RGB", (2, 2))
    assert measure([white, black], ["abc", "a"]) == (258 + 1) / 2
    with pytest.raises(ValueError, match=r"weights of ImageReward cannot be had.*imagereward=FILE"):
        named_measures(["imagereward=absent"])


def test_image_reward_scores_a_folder_from_elsewhere(package, tmp_path):
    """The file runs alone, without anything of this project, and the league finds its scores."""
    records = Records(tmp_path / "out")
    record(records, "6-full", 0, 7)
    record(records, "6-full", 1, 9)
    write_subjects(records.folder, SUBJECTS, "prompts", 1)
    argv = [sys.executable, image_reward.__file__, str(records.folder)]
    # Away from the project; its own folder has modules of other names alone.
    options = {"env": {"PYTHONPATH": str(package)}, "cwd": tmp_path, "text": True}
    for said in ("2 scored", "0 scored"):
        done = subprocess.run(argv, capture_output=True, **options)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
    found = Scores(records.read()).mean("6-full", [0, 1])
    assert found == {"ImageReward": (3 + 7 + 9 + 9) / 2}
    # Half a line of a run that was killed spoils nothing.
    file = records.folder / "records-imagereward.jsonl"
    file.write_text(file.read_text().rstrip()[:-5])
    subprocess.run(argv, check=True, capture_output=True, **options)
    assert Scores(records.read()).mean("6-full", [0, 1]) == found


@pytest.mark.parametrize("of, frames", [("classes", 1), ("prompts", 9)])
def test_image_reward_is_of_images_and_prompts(package, tmp_path, capsys, of, frames):
    assert image_reward.main([str(tmp_path)]) == 2
    assert "it has no subjects.json" in capsys.readouterr().err
    write_subjects(tmp_path, SUBJECTS, of, frames)
    assert image_reward.main([str(tmp_path)]) == 2
    assert "holds no images of prompts" in capsys.readouterr().err
    assert image_reward.main([]) == 2
    assert json.loads(Path(tmp_path / "subjects.json").read_text())["of"] == of
