"""The page's endpoint, called as a program calls it."""

import json
import urllib.request

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from tracache.ui.controls import arm_options, option_name

GOOD = {
    "model": "scenes-t2i",
    "prompt": "a matte blue cube on snow in daylight",
    "seed": 3,
    "randomise": False,
    "steps": 6,
    "guidance_scale": 3.5,
    "scheduler": "dpm-solver++",
    "stride": 3,
    "adaptive": False,
    "tolerance": 0.02,
    "max_order": 2,
    "last_step": False,
    "arm": "tracache",
    "preset": "custom",
    "granularity": "block",
    "local_extrapolation": False,
    "criterion": "std",
    "exponent": 0.5,
    "window": 1,
    "spread": "batch",
    "abscissa": "timestep",
    **{option_name(arm, name): field.default for arm, name, field in arm_options()},
    "fewer_steps": False,
    "class_label": None,
}


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


def test_a_run(client):
    results = client.predict(*GOOD.values(), api_name="/compare")
    status, headline, full, fast, _, slider, table, _, orders, seed = results
    assert "Done." in status
    assert headline.startswith("**TraCache**")
    assert "2 of 6 steps computed" in headline
    images = [Image.open(path) for path in (full, fast, *slider)]
    assert [(image.format, image.size) for image in images] == [("PNG", (128, 128))] * 4
    assert "TraCache" in table
    assert orders.startswith("2 of 6 steps computed all")
    assert seed == 3


@pytest.mark.parametrize(
    "change, words",
    [
        ({"stride": 0}, "0"),
        ({"stride": 2.5}, "Stride must be a whole number from 1 to 50, got 2.5"),
        ({"max_order": 9}, "9"),
        ({"stride": True}, "Stride must be a whole number from 1 to 50, got True"),
        ({"seed": None}, "Seed is empty: enter a number, or randomise it"),
        ({"seed": -1}, "-1"),
        ({"seed": 1.5}, "Seed must be a whole number"),
        ({"prompt": ""}, "The prompt is empty: describe what the image should show"),
        ({"prompt": "x" * 10_000}, "The prompt has 10,000 characters; shorten it to 300"),
        ({"model": "sdxl"}, "sdxl"),
        ({"arm": "magic"}, "magic"),
        ({"arm": "gates"}, "not on the page"),
        ({"arm": "toca", "toca_ratio": 7}, "7 is greater than maximum value 1"),
        ({"criterion": "power", "exponent": 0}, "Exponent must be 0.2 to 1 in size"),
        ({"preset": "best"}, "best"),
    ],
)
def test_bad_input_gets_a_message(client, change, words):
    with pytest.raises(AppError) as error:
        client.predict(*{**GOOD, **change}.values(), api_name="/compare")
    assert words in str(error.value)


def test_a_class(client):
    """Also without ever choosing a model on the page."""
    asked = {**GOOD, "model": "scenes-class", "scheduler": "ddim", "steps": 8, "max_order": 3}
    status, headline, *_ = client.predict(
        *{**asked, "class_label": "White  Ring"}.values(), api_name="/compare"
    )
    assert "Done." in status
    assert headline.startswith("**TraCache**")
    for label, words in (("white rind", "did you mean white ring"), (40, "there is no class 40")):
        with pytest.raises(AppError) as error:
            client.predict(*{**asked, "class_label": label}.values(), api_name="/compare")
        assert words in str(error.value)


@pytest.mark.parametrize(
    "field, words",
    [
        ("steps", "Steps must be a whole number from 1 to 100, got nan"),
        ("guidance_scale", "Guidance scale must be a number from 0 to 20, got nan"),
        ("seed", "Seed must be a whole number"),
    ],
)
def test_nan_gets_a_message(client, server, field, words):
    """No client sends NaN by itself, but raw JSON may hold it."""
    endpoint = next(d for d in client.config["dependencies"] if d["api_name"] == "compare")
    data = list({**GOOD, field: float("nan")}.values())
    session = f"nan-{field}"
    body = {"data": data, "fn_index": endpoint["id"], "session_hash": session}
    post = urllib.request.Request(
        f"{server}/gradio_api/queue/join",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(post).close()
    with urllib.request.urlopen(
        f"{server}/gradio_api/queue/data?session_hash={session}", timeout=60
    ) as stream:
        done = next(line for line in stream if b"process_completed" in line)
    assert words in json.loads(done.removeprefix(b"data: "))["output"]["error"]


def test_the_endpoint_is_documented(server):
    with urllib.request.urlopen(f"{server}/gradio_api/info") as answer:
        info = json.load(answer)
    assert set(info["named_endpoints"]) == {"/compare"}
    names = [p["parameter_name"] for p in info["named_endpoints"]["/compare"]["parameters"]]
    assert names == list(GOOD)
    described = info["named_endpoints"]["/compare"]["description"]
    assert described.startswith("Compare full compute with an accelerated arm")


def test_every_arm_runs_from_the_page(client):
    """A module-wise, an adaptive and a token-wise arm, each with settings of its own."""
    changes = [
        {"granularity": "module"},
        {"adaptive": True, "tolerance": 0.05},
        {"arm": "toca", "toca_interval": 2, "toca_ratio": None},
        {"arm": "teacache", "teacache_threshold": 0.9},
        {"arm": "ddpm"},
    ]
    for change in changes:
        status, headline, *_, orders, _ = client.predict(
            *{**GOOD, **change}.values(), api_name="/compare"
        )
        assert "Done." in status
        assert headline.startswith("**")
        assert orders
