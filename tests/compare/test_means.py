"""Means that were measured beforehand, and for which requests they hold."""

import json
from dataclasses import replace

import pytest

from tracache.compare.means import FOLDER, NAME, means_for
from tracache.compare.request import make_request
from tracache.models.registry import takes_class
from tracache.settings import Settings

PROMPT = "a matte blue cube on snow in daylight"
ARMS = ["tracache", "fewer-steps"]


def ask(**changes):
    return make_request("scenes-t2i", PROMPT, seed=3, **{"arms": ARMS, **changes})


@pytest.fixture
def assets(tmp_path):
    """Figures of eight computed steps, as a sweep writes them."""
    cache = ask().cache.to_dict()
    rows = [
        {"arm": arm, "steps": 20, "stride": "8 computed", "psnr": psnr}
        for arm, psnr in (("full", "inf"), ("tracache", 44.7), ("published", 40.1))
    ]
    found = {
        "model": "scenes-t2i",
        "scheduler": "dpm-solver++",
        "guidance_scale": 2.5,
        "settings": {k: v for k, v in cache.items() if k not in ("compute", "stride")},
        "images": 32,
        "rows": rows,
    }
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NAME.format("scenes-t2i")).write_text(json.dumps(found))
    return tmp_path


def test_they_are_of_the_arms_that_are_asked_for(assets):
    assert means_for(ask(), assets).psnr == {"tracache": 44.7}
    assert means_for(ask(arms=["published"]), assets).psnr == {"published": 40.1}
    assert means_for(ask(), assets).count == 32


@pytest.mark.parametrize(
    "change",
    [
        {"compute": 7},
        {"steps": 30, "compute": 8},
        {"scheduler": "ddim"},
        {"guidance_scale": 3.0},
        {"stride": 3},
        {"rule": "taylor"},
        {"options": {"tracache": {"correct": False}}},
        {"preset": "20-8"},
        {"arms": ["reuse"]},
    ],
)
def test_of_other_settings_nothing_is_known(assets, change):
    assert means_for(ask(**change), assets) is None


def test_of_other_models_nothing_is_known(assets):
    request = make_request("scenes-class", class_label=1, seed=3)
    assert means_for(request, assets) is None
    assert means_for(replace(ask(), size=64), assets) is None


@pytest.mark.parametrize("model", ["scenes-t2i", "scenes-class", "scenes-t2v"])
def test_what_the_page_asks_for_at_first_is_measured(model):
    """Those that come with the project are of the settings as they are today."""
    what = {"class_label": 1} if takes_class(model) else {"prompt": PROMPT}
    request = make_request(model, **what, seed=3, arms=ARMS)
    found = means_for(request, Settings.from_environment().assets)
    assert list(found.psnr) == ARMS
    assert found.count >= 8
    assert 20 < min(found.psnr.values()) < 80
