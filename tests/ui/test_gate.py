"""What stands between the network and the page, tried as a stranger tries it."""

import asyncio
import base64
import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from tests.app import start_app
from tracache.ui.gate.bodies import MAX_DEPTH, depth
from tracache.ui.gate.logins import GUESSES
from tracache.ui.gate.origins import Origins
from tracache.ui.gate.streams import MAX_STREAMS
from tracache.ui.gate.unheard import Unheard

BASIC = "Basic " + base64.b64encode(b"me:secret").decode()
MCP = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-03-26",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The app with a password."""
    with start_app(tmp_path_factory.mktemp("guarded"), TRACACHE_AUTH="me:secret") as server:
        yield server


def send(address, body=None, method=None, **headers):
    """Status, text and headers of an answer; ``body`` is sent as JSON unless it is bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        address, data, {"Content-Type": "application/json", **named}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def in_a_loop(coroutine):
    """Run a coroutine in a thread of its own: this one may have a browser's loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def log_in(server, password, address="127.0.0.1"):
    form = urllib.parse.urlencode({"username": "me", "password": password}).encode()
    kind = {"Content_Type": "application/x-www-form-urlencoded", "X_Forwarded_For": address}
    return send(f"{server}/login", form, **kind)


@pytest.mark.parametrize(
    "path", ["mcp/schema", "mcp/", "heartbeat/x", "info", "queue/data?session_hash=x", "cancel"]
)
def test_nothing_is_told_to_those_who_have_not_logged_in(guarded, path):
    status, text, _ = send(f"{guarded}/gradio_api/{path}", **MCP)
    assert status == 401
    assert "log in" in text


def test_who_has_asked_for_nothing_has_nothing_to_hear(server):
    status, text, _ = send(f"{server}/gradio_api/queue/data?session_hash=nobody")
    assert status == 404
    assert "Nothing was asked for" in text


def test_an_agent_is_asked_before_anything_else(guarded):
    for method in ("initialize", "tools/list"):
        body = {**INITIALIZE, "method": method}
        status, _, headers = send(f"{guarded}/gradio_api/mcp/", body, **MCP)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic")


async def call(server, count, **headers):
    """What so many calls at once of one agent come to."""
    address = f"{server}/gradio_api/mcp/"
    async with (
        streamablehttp_client(address, headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        asked = {"model": "scenes-t2i", "prompt": "a red cube on grass", "steps": 2}
        calls = [session.call_tool("compare", {**asked, "seed": i}) for i in range(count)]
        return tools, await asyncio.gather(*calls)


def test_an_agent_with_the_password_is_served(guarded):
    tools, answers = in_a_loop(call(guarded, 8, Authorization=BASIC))
    assert tools >= {"compare", "estimate", "list_models", "list_arms"}
    assert [answer.isError for answer in answers] == [False] * 8


def test_programs_send_the_password_along(guarded):
    client = Client(guarded, verbose=False, headers={"Authorization": BASIC})
    result = client.predict(prompt="a red cube on grass", steps=2, api_name="/compare")
    address = f"{guarded}{result['files']['full']}"
    assert send(address)[0] == 401
    assert urllib.request.urlopen(
        urllib.request.Request(address, headers={"Authorization": BASIC})
    ).status == 200  # fmt: skip


def test_a_log_in_stays_with_this_page(guarded):
    status, _, headers = log_in(guarded, "secret")
    assert status == 200
    cookies = headers.get_all("Set-Cookie")
    assert len(cookies) == 2
    assert not any("samesite=none" in cookie.lower() for cookie in cookies)
    said = "; ".join(cookie.partition(";")[0] for cookie in cookies)
    assert send(f"{guarded}/config", Cookie=said)[0] == 200
    assert send(f"{guarded}/gradio_api/info", Cookie=said)[0] == 200
    assert send(f"{guarded}/gradio_api/info", Cookie="access-token-x=y")[0] == 401


def test_whoever_guesses_is_made_to_wait(guarded):
    guesses = [log_in(guarded, f"guess {i}", "10.0.0.7")[0] for i in range(GUESSES)]
    assert set(guesses) == {400}
    status, text, headers = log_in(guarded, "secret", "10.0.0.7")
    assert status == 429
    assert "wait" in text
    assert 0 < int(headers["Retry-After"]) <= 60
    wrong = {"Authorization": "Basic d3Jvbmc=", "X-Forwarded-For": "10.0.0.8"}
    codes = [send(f"{guarded}/config", **wrong)[0] for _ in range(GUESSES + 1)]
    assert codes == [401] * GUESSES + [429]
    # Others need not.
    assert log_in(guarded, "secret", "10.0.0.9")[0] == 200


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "login"])
def test_other_websites_are_refused(guarded, path):
    body = b"" if path == "login" else None
    for origin in ("https://evil.example", "null", "http://localhost:1", "http://[", "//"):
        status, text, _ = send(f"{guarded}/{path}", body, Origin=origin, Authorization=BASIC)
        assert status == 403
        assert "TRACACHE_HOSTS" in text
    assert send(f"{guarded}/config", Origin=str(guarded), Authorization=BASIC)[0] == 200


def test_other_names_are_refused(server):
    status, text, _ = send(f"{server}/", Host="evil.example")
    assert status == 421
    assert "TRACACHE_HOSTS=evil.example" in text
    port = server.rpartition(":")[2]
    assert send(f"{server}/", Host=f"localhost:{port}")[0] == 200


def answer_of(listens, allowed, **headers):
    """The status of an answer to somebody who sends these."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def go():
        sent = []

        async def keep(message):
            sent.append(message)

        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": named}
        await Origins(app, listens, allowed)(scope, None, keep)
        return sent[0]["status"]

    return in_a_loop(go())


@pytest.mark.parametrize(
    "listens, allowed, host, origin, status",
    [
        ("127.0.0.1", (), "127.0.0.1:7860", None, 200),
        ("127.0.0.1", (), "localhost:7860", "http://localhost:7860", 200),
        ("127.0.0.1", (), "[::1]:7860", None, 200),
        ("127.0.0.1", (), "demo.example", None, 421),
        ("127.0.0.1", (), "", None, 421),
        ("0.0.0.0", (), "demo.example", "https://demo.example", 200),
        ("0.0.0.0", (), "demo.example", "https://evil.example", 403),
        ("0.0.0.0", (), "demo.example:7860", "http://demo.example", 403),
        ("0.0.0.0", ("demo.example",), "127.0.0.1:7860", "https://demo.example", 200),
        ("0.0.0.0", ("demo.example",), "DEMO.example", "https://demo.example", 200),
        ("0.0.0.0", ("demo.example",), "evil.example", None, 421),
    ],
)
def test_names_and_origins(listens, allowed, host, origin, status):
    more = {"origin": origin} if origin else {}
    assert answer_of(listens, allowed, host=host, **more) == status


@pytest.mark.parametrize(
    "path",
    ["upload", "upload_progress?upload_id=x", "vibe-edit", "vibe-code", "proxy=http://x.hf.space/",
     "run/compare", "process_recording", "deep_link", "dev/reload", "stream/x", "runs"],
)  # fmt: skip
def test_what_the_page_does_not_use_is_closed(server, path):
    for method in ("GET", "POST"):
        status, text, _ = send(f"{server}/gradio_api/{path}", b"{}", method)
        assert (status, json.loads(text)["detail"]) == (404, "There is no such thing here.")
    assert send(f"{server}/monitoring")[0] == 404


def test_size_is_judged_before_anything_is_read(server):
    """The head of a request says 200 MB: the answer comes at once, and the connection can go."""
    line = http.client.HTTPConnection(server.removeprefix("http://"), timeout=10)
    line.putrequest("POST", "/gradio_api/cancel")
    line.putheader("Content-Type", "application/json")
    line.putheader("Content-Length", str(200_000_000))
    line.endheaders(b"{")
    assert line.getresponse().status == 413
    line.close()


def test_what_is_too_deep_is_refused(server):
    deep = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + deep + b"}"
    for path in ("mcp/", "queue/join", "call/compare", "cancel"):
        status, text, _ = send(f"{server}/gradio_api/{path}", body, **MCP)
        assert status == 400
        assert "levels deep" in text


def test_depth():
    assert depth(b"") == depth(b'"[[["') == depth(b'"\\"[["') == 0
    assert depth(b'[{"a": "]"}, []]') == 2
    assert depth(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) == MAX_DEPTH


def test_an_address_holds_so_many_streams_and_no_more(server):
    lines = []
    mine = {"X-Forwarded-For": "10.1.1.1"}
    try:
        for i in range(MAX_STREAMS + 1):
            line = http.client.HTTPConnection(server.removeprefix("http://"), timeout=30)
            line.request("GET", f"/gradio_api/heartbeat/h{i}", headers=mine)
            lines.append(line)
            status = line.getresponse().status
            assert status == (429 if i == MAX_STREAMS else 200)
        assert send(f"{server}/config")[0] == 200
    finally:
        for line in lines:
            line.close()


def test_every_answer_has_its_number(server):
    first, second = (send(f"{server}/config")[2]["X-Request-ID"] for _ in range(2))
    assert first != second
    assert len(first) == 12


def test_one_address_holds_half_the_queue_whatever_it_calls_itself(server):
    """Thirty names from one address; another address still finds a place."""
    info = json.loads(send(f"{server}/gradio_api/info")[1])["named_endpoints"]["/compare"]
    config = json.loads(send(f"{server}/config")[1])
    number = next(d["id"] for d in config["dependencies"] if d["api_name"] == "compare")
    given = {"prompt": "a red cube on grass", "steps": 2}
    data = [given.get(p["parameter_name"], p["parameter_default"]) for p in info["parameters"]]

    def join(session, address):
        body = {"data": data, "fn_index": number, "session_hash": session}
        return send(f"{server}/gradio_api/queue/join", body, X_Forwarded_For=address)

    codes = []
    threads = [
        threading.Thread(target=lambda i=i: codes.append(join(f"name-{i}", "10.2.2.2")[0]))
        for i in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {200, 503}
    # Eight may wait; a few were done meanwhile.
    assert 8 <= codes.count(200) <= 12
    assert join("somebody", "10.3.3.3")[0] == 200


def test_what_nobody_comes_to_hear_is_dropped(monkeypatch):
    with gr.Blocks() as page:
        gr.Textbox()
    queue = page.queue()._queue
    for session in ("gone", "running", "listening"):
        queue.pending_messages_per_session[session] = object()
        queue.pending_event_ids_session[session] = {f"event of {session}"}
    queue.event_ids_to_events["event of running"] = object()
    unheard = Unheard(page)
    clock = iter((0.0, 30.0, 59.0, 61.0))
    monkeypatch.setattr("tracache.ui.gate.unheard.time.monotonic", lambda: next(clock))
    assert unheard.drop() == 0
    # Begins another meanwhile, and is not idle.
    queue.event_ids_to_events["event of listening"] = object()
    assert unheard.drop() == 0
    del queue.event_ids_to_events["event of listening"]
    assert unheard.drop() == 0
    assert unheard.drop() == 1
    assert set(queue.pending_messages_per_session) == {"running", "listening"}
    assert set(queue.pending_event_ids_session) == {"running", "listening"}
