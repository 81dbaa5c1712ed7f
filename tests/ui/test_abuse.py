"""Whatever is sent: no 500, nothing of the server's inside shown, no file given away, no growth."""

import json
import math
import random
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

HOSTILE = (
    None,
    True,
    math.nan,
    math.inf,
    -1,
    2.5,
    1e308,
    10**30,
    "",
    "x" * 50_000,
    "../../../../etc/passwd",
    "/etc/passwd",
    "<script>alert(1)</script>",
    "\u0000\u202e",
    "{{7*7}}${7*7}",
    "scenes-t2i",
    [],
    ["gates"],
    [[["x"]]],
    {},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": "x"},
    {"toca": {"file": "/etc/passwd"}},
)


def send(address, body=None, visitor="127.0.0.1"):
    """Return (status, text) whatever the answer is; a visitor is an address behind a proxy."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "X-Forwarded-For": visitor}
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def outcome(server, session):
    """The last message of a session's stream."""
    address = f"{server}/gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(address, timeout=60) as stream:
        for line in stream:
            if b"process_completed" in line or b"unexpected_error" in line:
                return line.decode(errors="replace")
    return ""


@pytest.fixture(scope="module")
def config(server):
    return json.loads(send(f"{server}/config")[1])


def throw(server, config, draw, rounds):
    """Send every endpoint something hostile, round after round; return how many were sent."""
    endpoints = [d for d in config["dependencies"] if d["backend_fn"]]
    assert len(endpoints) > 15
    for endpoint in endpoints * rounds:
        session = f"fuzz-{draw.random()}"
        count = max(0, len(endpoint["inputs"]) + draw.choice((0, 0, 0, 0, -1, 3)))
        count = count or draw.randrange(15)
        body = {
            "data": [draw.choice(HOSTILE) for _ in range(count)],
            "fn_index": endpoint["id"],
            "session_hash": session,
        }
        status, text = send(f"{server}/gradio_api/queue/join", body)
        assert status < 500, (endpoint["api_name"], body)
        assert "Traceback" not in text
        if status == 200:
            end = outcome(server, session)
            assert "Traceback" not in end
            assert "site-packages" not in end
            assert "root:x:0" not in end
    assert send(f"{server}/gradio_api/info")[0] == 200
    return rounds * len(endpoints)


def test_every_endpoint_survives_hostile_payloads(server, config):
    throw(server, config, random.Random(10), rounds=2)


@pytest.mark.slow
def test_a_thousand_of_them_leave_nothing_behind(server, config):
    draw, process = random.Random(11), psutil.Process(server.pid)
    sent = throw(server, config, draw, rounds=13)
    before = process.memory_info().rss
    sent += throw(server, config, draw, rounds=21)
    assert sent >= 1000
    # Sessions come and go: so many are remembered and no more.
    assert process.memory_info().rss < before * 1.1


def test_events_that_do_not_exist_are_refused(server):
    for fn_index in (-1, 9999, "x", None, 1e9, {"a": 1}):
        body = {"data": [], "fn_index": fn_index, "session_hash": "none"}
        status, text = send(f"{server}/gradio_api/queue/join", body)
        assert 400 <= status < 500
        assert "Traceback" not in text


def test_no_way_around_the_queue(server):
    for name in ("compare", "list_models", "generate"):
        status, _ = send(f"{server}/gradio_api/run/{name}", {"data": []})
        assert status in (404, 405, 422)


def test_no_way_around_the_queue_by_number(server, config):
    """What does not wait there is called by its number; whatever works on the device waits."""
    for endpoint in config["dependencies"]:
        if endpoint["queue"] and endpoint["backend_fn"]:
            body = {"data": [], "fn_index": endpoint["id"], "session_hash": "around"}
            status, text = send(f"{server}/gradio_api/run/predict", body)
            assert status in (401, 403, 404, 422), (endpoint["api_name"], text)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "app.py",
        "../../etc/passwd",
        "demo_assets/scenes-t2i/model_index.json",
        "{runs}/../../etc/passwd",
        "{runs}/%2e%2e/%2e%2e/etc/passwd",
        "{runs}",
        "{runs}/",
    ],
)
def test_no_file_is_given_away(server, path):
    address = f"{server}/gradio_api/file={path.format(runs=server.runs)}"
    status, text = send(address)
    assert 400 <= status < 500
    assert "root:x:0" not in text


@pytest.mark.parametrize("path", ["/", "/sweep", "/config", "/gradio_api/info", "/nothing/here"])
def test_browsers_are_told_what_the_page_may_do(server, path):
    try:
        answer = urllib.request.urlopen(f"{server}{path}", timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        headers = answer.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == "'self' https://huggingface.co https://*.hf.space"
    sources = {source for value in policy.values() for source in value.split(" ")}
    assert {s for s in sources if "://" in s} == {"https://huggingface.co", "https://*.hf.space"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("door", ["queue/join", "call/compare", "call/v2/compare"])
def test_a_call_that_is_too_large_is_refused(server, door):
    body = {"data": ["x" * 1_000_000], "fn_index": 0, "session_hash": "large"}
    status, text = send(f"{server}/gradio_api/{door}", body)
    assert status == 413
    assert "1,000,000 bytes" in text


def test_an_upload_that_is_too_big_is_refused(server):
    boundary = "x"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    body = head.encode() + b"0" * 2_000_000 + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{server}/gradio_api/upload",
        body,
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    assert error.value.code == 413


@pytest.fixture(scope="module")
def compare_call(server, config):
    """What joins the queue for a short comparison, without a session."""
    endpoint = next(d for d in config["dependencies"] if d["api_name"] == "compare")
    info = json.loads(send(f"{server}/gradio_api/info")[1])["named_endpoints"]["/compare"]
    given = {"prompt": "a shiny red sphere on water at sunset", "steps": 2}
    data = [given.get(p["parameter_name"], p["parameter_default"]) for p in info["parameters"]]
    return {"data": data, "fn_index": endpoint["id"]}


@pytest.mark.slow
def test_a_flood_is_answered_with_a_message(server, compare_call):
    """The queue holds sixteen; whoever comes after hears so, and the page goes on working."""
    answers = [
        send(
            f"{server}/gradio_api/queue/join",
            {**compare_call, "session_hash": f"flood-{i}"},
            f"10.9.0.{i}",
        )
        for i in range(30)
    ]
    codes = [status for status, _ in answers]
    assert set(codes) == {200, 503}
    assert codes.count(503) >= 8
    assert "full" in next(text for status, text in answers if status == 503).lower()
    ends = [outcome(server, f"flood-{i}") for i, code in enumerate(codes) if code == 200]
    assert all('"success": true' in end or '"success":true' in end for end in ends)
    assert send(f"{server}/gradio_api/info")[0] == 200


def test_one_session_holds_no_more_than_its_share(server, compare_call):
    """Two of its requests may wait besides the one that runs; others still find a place."""
    join = f"{server}/gradio_api/queue/join"
    greedy = [send(join, {**compare_call, "session_hash": "greedy"}) for _ in range(10)]
    other = send(join, {**compare_call, "session_hash": "modest"})
    codes = [status for status, _ in greedy]
    assert set(codes) == {200, 503}
    assert 2 <= codes.count(200) <= 4
    assert "waiting already" in next(text for status, text in greedy if status == 503)
    assert other[0] == 200
    end = outcome(server, "modest")
    assert '"success": true' in end or '"success":true' in end
    outcome(server, "greedy")


def test_nobody_gets_more_by_asking_all_at_once(server, compare_call):
    join = f"{server}/gradio_api/queue/join"
    with ThreadPoolExecutor(12) as visitors:
        answers = [
            visitors.submit(send, join, {**compare_call, "session_hash": "burst"})
            for _ in range(24)
        ]
    codes = [answer.result()[0] for answer in answers]
    assert set(codes) == {200, 503}
    assert 2 <= codes.count(200) <= 4
    outcome(server, "burst")


@pytest.mark.slow
def test_programs_without_a_session_leave_half_the_queue_to_others(server, compare_call):
    call = f"{server}/gradio_api/call/compare"
    answers = [send(call, {"data": compare_call["data"]}) for _ in range(16)]
    visitor = {**compare_call, "session_hash": "visitor"}
    other = send(f"{server}/gradio_api/queue/join", visitor, "10.9.1.1")
    codes = [status for status, _ in answers]
    assert set(codes) == {200, 503}
    assert 8 <= codes.count(200) <= 11
    assert "session" in next(text for status, text in answers if status == 503)
    nameless = send(f"{server}/gradio_api/queue/join", {**compare_call, "session_hash": ""})
    assert nameless[0] == 503
    assert other[0] == 200
    end = outcome(server, "visitor")
    assert '"success": true' in end or '"success":true' in end
