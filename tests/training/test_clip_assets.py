"""The committed model of clips: it loads, it is small, its report is its own and good enough."""

import json

from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.sources import weights_digest
from tracache.training.clips.evaluate import evaluate, generate_clips
from tracache.training.pipelines import load_pipeline
from tracache.training.render.clips import MOTIONS, PROMPT_LISTS, grammar
from tracache.training.render.scenes import ASSETS, read_prompts

FOLDER, JUDGE = ASSETS / "scenes-t2v", ASSETS / "clips-judge"


def test_judge_is_small_and_good_enough():
    assert (JUDGE / "model.safetensors").stat().st_size < 2_000_000
    report = json.loads((JUDGE / "evaluation.json").read_text())
    for how in ("percent_right_as_rendered", "percent_right_through_autoencoder"):
        assert report[how]["all"]["all"] >= 98.0


def test_report_belongs_to_the_committed_weights():
    report = json.loads((FOLDER / "evaluation.json").read_text())
    assert report["transformer_sha256"] == weights_digest(FOLDER)
    assert report["count"] == len(read_prompts(PROMPT_LISTS[0])) >= 64
    assert report["autoencoder_psnr_db"] >= 32.0
    right = report["percent_right"]["all"]
    assert right["motion"] >= 85.0
    assert right["colour_and_solid"] >= 90.0
    assert {" ".join(told) for told in MOTIONS} < set(report["percent_right"])


def test_pipeline_loads_offline_and_moves_what_it_is_told_to(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipe = load_pipeline(FOLDER, OpenSoraPipeline)
    captions = [
        "a red cube slides to the left on grass",
        "a yellow sphere orbits clockwise around a blue cone on sand",
    ]
    clips = generate_clips(pipe, captions, steps=12)
    assert evaluate(captions, clips)["all"]["motion"] == 100.0


def test_grammar_is_there_for_the_page():
    assert json.loads((FOLDER / "grammar.json").read_text()) == grammar()
