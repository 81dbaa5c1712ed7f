"""The page's endpoints, called as a program calls them, and as an agent does."""

import asyncio
import io
import json
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

GOOD = {
    "model": "scenes-t2i",
    "prompt": "a matte blue cube on snow in daylight",
    "seed": 3,
    "steps": 6,
    "stride": 3,
    "max_order": 2,
}


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


def ask(client, **changes):
    return client.predict(**{**GOOD, **changes}, api_name="/compare")


def fetch(server, address):
    with urllib.request.urlopen(f"{server}{address}") as answer:
        return answer.read()


def test_a_run(client, server):
    result = ask(client)
    full, fast = result["report"]["arms"]
    assert (full["arm"], full["full_steps"]) == ("full", 6)
    assert (fast["arm"], fast["full_steps"], fast["skipped_steps"]) == ("tracache", 3, 3)
    assert fast["psnr"] > 20
    assert len(result["report"]["trace"]["orders"]) == 6
    for address in result["files"].values():
        image = Image.open(io.BytesIO(fetch(server, address)))
        assert (image.format, image.size) == ("PNG", (128, 128))
    archive = zipfile.ZipFile(io.BytesIO(fetch(server, result["archive"])))
    names = sorted(name.split("/")[1] for name in archive.namelist())
    assert names == [
        "full.png",
        "orders.html",
        "report.json",
        "steps-full.webp",
        "steps-tracache.webp",
        "tracache.png",
    ]
    assert "seed=3" in result["link"]
    assert result["run"] in result["link"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"stride": 0}, "0"),
        ({"stride": 2.5}, "Stride must be a whole number from 1 to 50, got 2.5"),
        ({"stride": True}, "Stride must be a whole number from 1 to 50, got True"),
        ({"max_order": 9}, "9"),
        ({"seed": -1}, "-1"),
        ({"seed": 1.5}, "Seed must be a whole number"),
        ({"prompt": ""}, "The prompt is empty: describe what the image should show"),
        ({"prompt": "x" * 10_000}, "The prompt has 10,000 characters; shorten it to 300"),
        ({"prompt": 7}, "The prompt is empty"),
        ({"model": "sdxxl"}, "sdxxl"),
        ({"model": "../../etc/passwd"}, "Unknown model"),
        ({"arms": ["magic"]}, "magic"),
        ({"arms": "tracache"}, "Arms must be a list"),
        ({"arms": ["gates"]}, "not for programs"),
        ({"arms": ["tracache", "reuse", "pab", "toca"]}, "at most 3"),
        ({"arms": ["toca"], "options": {"toca": {"ratio": 7}}}, "ratio"),
        ({"options": ["toca"]}, "Options must be a mapping"),
        ({"settings": {"criterion": "power", "exponent": 0}}, "Exponent must be 0.2 to 1 in size"),
        ({"settings": {"file": "/etc/passwd"}}, "Settings has 'file'"),
        ({"preset": "best"}, "best"),
        ({"frames": 9}, "makes one size only"),
        ({"class_label": "red cube"}, "takes a prompt, not a class"),
    ],
)
def test_bad_input_gets_a_message(client, change, words):
    with pytest.raises(AppError) as error:
        ask(client, **change)
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
    info = json.loads(fetch(server, "/gradio_api/info"))["named_endpoints"]["/compare"]
    given = {**GOOD, field: float("nan")}
    data = [given.get(p["parameter_name"], p["parameter_default"]) for p in info["parameters"]]
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


def test_a_class(client):
    asked = {"model": "scenes-class", "prompt": "", "steps": 8}
    result = ask(client, **asked, class_label="White  Ring")
    assert result["report"]["request"]["prompt"] == "white ring"
    for label, words in (("white rind", "did you mean white ring"), ("40", "there is no class 40")):
        with pytest.raises(AppError) as error:
            ask(client, **asked, class_label=label)
        assert words in str(error.value)
    with pytest.raises(AppError) as error:
        ask(client, **asked)
    assert "choose a class" in str(error.value)


def test_a_video(client, server):
    result = ask(
        client, model="scenes-t2v", prompt="a red cube slides to the right on grass", steps=3
    )
    fast = result["report"]["arms"][1]
    assert len(fast["frame_psnr"]) == 17
    assert fetch(server, result["files"]["tracache"])[4:8] == b"ftyp"
    names = zipfile.ZipFile(io.BytesIO(fetch(server, result["archive"]))).namelist()
    assert {name.split("/")[1] for name in names} >= {"full.mp4", "tracache.mp4", "strip.png"}


def test_arms_of_every_kind(client):
    """A module-wise, an adaptive, a token-wise arm, and another scheduler."""
    for change in (
        {"settings": {"space": "modules"}, "arms": ["published"]},
        {"settings": {"tolerance": 0.05}, "stride": "auto", "arms": ["published", "tracache"]},
        {"compute": 2, "options": {"tracache": {"space": "data", "correct": False}}},
        {"arms": ["toca"], "options": {"toca": {"interval": 2}}},
        {"arms": ["teacache", "ddpm"], "options": {"teacache": {"threshold": 0.9}}},
    ):
        report = ask(client, **change)["report"]
        assert [arm["arm"] for arm in report["arms"]][1:] == change.get("arms", ["tracache"])


def test_what_will_compute_is_known_before(client):
    """And nothing has run: the answer's plan is the run's."""
    given = {"compute": 3, "arms": ["tracache", "published", "fewer-steps"]}
    given = {name: value for name, value in {**GOOD, **given}.items() if name != "stride"}
    expected = client.predict(**given, api_name="/estimate")
    assert "compute=3" in expected["link"]
    assert [arm["computed"] for arm in expected["arms"]] == [6, 3, 3, 3]
    assert expected["arms"][2]["plan"] == [0, 3, 5]
    assert expected["arms"][1]["share"] == 0.5
    report = client.predict(**given, api_name="/compare")["report"]
    assert [arm["full_steps"] for arm in report["arms"]] == [6, 3, 3, 3]
    ran = [i for i, row in enumerate(report["trace"]["orders"]) if row[-1] == -1]
    assert ran == expected["arms"][1]["plan"]
    with pytest.raises(AppError, match="Tracache has no option 'stride'"):
        client.predict(**{**given, "options": {"tracache": {"stride": 3}}}, api_name="/estimate")


def test_what_there_is(client):
    models = {entry["model"]: entry for entry in client.predict(api_name="/list_models")}
    assert models["scenes-t2i"]["unavailable"] == ""
    assert "not downloaded" in models["dit-xl-2-256"]["unavailable"]
    assert "red sphere" in models["scenes-class"]["examples"]
    arms = {entry["arm"]: entry for entry in client.predict(api_name="/list_arms")}
    assert arms["toca"]["options"]["ratio"]["high"] == 1
    assert arms["published"]["options"] == {}
    own = arms["tracache"]["options"]
    assert own["placement"]["allowed"].startswith("planned")
    assert not {"compute", "stride", "full_steps"} & set(own)
    assert models["scenes-t2i"]["compute"] == 8
    assert "gates" not in arms


def test_endpoints_are_documented(server):
    info = json.loads(fetch(server, "/gradio_api/info"))["named_endpoints"]
    assert set(info) == {"/compare", "/estimate", "/list_models", "/list_arms"}
    names = [p["parameter_name"] for p in info["/compare"]["parameters"]]
    assert set(GOOD) | {"compute"} < set(names)
    assert [p["parameter_name"] for p in info["/estimate"]["parameters"]] == names
    assert info["/compare"]["description"].startswith("Make the same image or video")
    assert all(entry["description"] for entry in info.values())


def test_an_agent_finds_and_uses_the_tools(server):
    """Over the Model Context Protocol, as an assistant does."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk():
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("compare"))
            answer = await session.call_tool(name, GOOD)
            return tools, name, answer

    # In a thread of its own: the browser's tests leave a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        tools, name, answer = thread.submit(asyncio.run, talk()).result()
    assert {t.split("_", 1)[-1] for t in tools} >= {"compare"} or "compare" in tools
    described = tools[name].inputSchema["properties"]
    assert described["stride"]["description"].startswith("Every so many steps, one computes")
    assert described["compute"]["description"].startswith("Exactly so many of the steps compute")
    assert not answer.isError
    assert "'tracache'" in answer.content[0].text
