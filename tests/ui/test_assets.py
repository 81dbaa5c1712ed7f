"""The files of the frontend from memory, and all of it compressed."""

import base64
import gzip
import re
import urllib.error
import urllib.request

import brotli
import pytest

from tests.app import start_app


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    with start_app(folder, TRACACHE_AUTH="me:secret") as server:
        yield server


def get(server, path, encoding="identity", password="secret", **headers):
    """Status, headers and plain body of an answer."""
    right = base64.b64encode(f"me:{password}".encode()).decode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"Authorization": f"Basic {right}", "Accept-Encoding": encoding, **named}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{server}/{path}", headers=named)
        ) as got:
            body, said, status = got.read(), got.headers, got.status
    except urllib.error.HTTPError as error:
        body, said, status = error.read(), error.headers, error.code
    how = said.get("Content-Encoding")
    plain = {"br": brotli.decompress, "gzip": gzip.decompress}.get(how, bytes)(body)
    return status, said, plain


def test_a_file_is_the_same_in_every_encoding_and_every_time(server):
    entry = re.search(r"assets/index-[\w-]+\.js", get(server, "")[2].decode())[0]
    answers = [get(server, entry, encoding) for encoding in ("identity", "br", "gzip", "br", "")]
    assert len({body for _, _, body in answers}) == 1
    # Whoever comes first may take it compressed, which is not how it is kept.
    script = answers[0][2].decode()
    other = "assets/" + re.search(r'"\./?(?:assets/)?([\w-]+\.js)"', script)[1]
    assert len({get(server, other, encoding)[2] for encoding in ("br", "br", "identity")}) == 1
    assert answers[1][1]["Content-Encoding"] == "br"
    assert int(answers[1][1]["Content-Length"]) < len(answers[0][2]) / 2
    assert {said["Content-Type"] for _, said, _ in answers} == {"application/javascript"}
    # Its name says what it holds.
    assert {"immutable" in said["Cache-Control"] for _, said, _ in answers} == {True}
    # Only part of it: as ever.
    status, _, part = get(server, entry, Range="bytes=2-5")
    assert (status, part) == (206, answers[0][2][2:6])


def test_what_is_kept_is_behind_the_password_too(server):
    entry = re.search(r"assets/index-[\w-]+\.js", get(server, "")[2].decode())[0]
    assert get(server, entry)[0] == 200
    assert get(server, entry, password="wrong")[0] == 401
    assert get(server, "assets/none.js")[0] == 404


def test_a_page_is_compressed_for_whoever_takes_it(server):
    _, plain, page = get(server, "")
    _, small, same = get(server, "", "gzip, br")
    assert small["Content-Encoding"] == "br"
    assert same == page
    assert int(small["Content-Length"]) < int(plain["Content-Length"]) / 4
    assert "Cache-Control" not in small
    # Its scripts are named in the policy, as without.
    assert small["Content-Security-Policy"] == plain["Content-Security-Policy"]
