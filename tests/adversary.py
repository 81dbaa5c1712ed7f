"""What a hostile visitor would try, again and again: ``python -m tests.adversary --minutes 30``.

Starts the app by itself with two worker processes. In each round thirty clients begin a run and
vanish, at any point of it; requests that are too large, too deep, of another website, of another
name and without sense are sent; a worker is killed now and then. Between them, honest clients ask
for what is known, and what they get is compared with that, byte by byte. At the end: how much was
refused, what came out wrong (nothing may), and what the server holds more than before.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.app import Server, start_app

CLIENTS = 30
HONEST = 4
PROMPTS = ("a shiny red sphere on water at sunset", "a matte blue cube on snow in daylight")

#: Rounds after which the server's memory is taken for what it is; and by how much it may grow then.
WARM_ROUNDS = 10
MOST_GROWTH = 0.05


def main() -> None:
    """Attack until the time is up, print what was seen, and fail where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        # It may have runs to finish, on a machine that is busy.
        start_app(Path(folder), patience=90, TRACACHE_WORKERS="2", TRACACHE_TIMING="0") as server,
    ):
        found = Attack(server).go_on(args.minutes * 60)
        log = (Path(folder) / "log.txt").read_text()
    errors = re.findall(r"^(\w[\w.]*(?:Error|Exception|Lost)\b.{0,80})", log, re.MULTILINE)
    found["errors_in_the_log"] = dict(Counter(errors))
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if found["wrong"] or found["unanswered"]:
        sys.exit(f"{found['wrong']} wrong, {found['unanswered']} unanswered")
    if found["growth_after_warming_up"] > MOST_GROWTH:
        sys.exit(f"memory grew by {found['growth_after_warming_up']:.1%}")


class Attack:
    """One server, and what is done to it.

    Parameters
    ----------
    server : Server
        Running.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process = psutil.Process(server.pid)
        self._draw = random.Random(0)
        self._client = Client(server, verbose=False, httpx_kwargs={"timeout": 60})
        self._known: dict[tuple[str, int], bytes] = {}
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        api = self._client.view_api(return_format="dict", print_info=False)
        info = api["named_endpoints"]["/compare"]
        self._defaults = {p["parameter_name"]: p["parameter_default"] for p in info["parameters"]}
        self._number = next(
            d["id"] for d in self._client.config["dependencies"] if d["api_name"] == "compare"
        )

    def go_on(self, seconds: float) -> dict[str, Any]:
        """Do one round after the other; return what was seen."""
        self._honest()
        seen = [self._look()]
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            with ThreadPoolExecutor(CLIENTS + HONEST) as crowd:
                for i in range(CLIENTS):
                    crowd.submit(self._vanish, f"10.{len(seen) % 250}.0.{i}", self._draw.random())
                for _ in range(HONEST):
                    crowd.submit(self._honest)
                self._nonsense()
                if len(seen) % 5 == 0:
                    self._kill_a_worker()
            self._honest()
            seen.append(self._look())
        return self._sum_up(seen, seconds)

    def _sum_up(self, seen: list[dict[str, int]], seconds: float) -> dict[str, Any]:
        warm = seen[min(WARM_ROUNDS, len(seen) // 2) :]
        third = max(1, len(warm) // 3)
        first, last = (
            statistics.median(s["rss"] for s in part) for part in (warm[:third], warm[-third:])
        )
        return {
            "minutes": round(seconds / 60, 1),
            "rounds": len(seen) - 1,
            **{name: self._counts[name] for name in sorted(self._counts)},
            "wrong": self._counts["wrong"],
            "unanswered": self._counts["unanswered"],
            "answers_to_nonsense": {str(k): v for k, v in sorted(self._statuses.items())},
            "before": seen[0],
            "after": seen[-1],
            "rss_by_round_mib": [round(s["rss"] / 2**20) for s in seen],
            "growth_after_warming_up": round(last / first - 1, 4),
        }

    def _look(self) -> dict[str, int]:
        return {
            "rss": self._process.memory_info().rss,
            "threads": self._process.num_threads(),
            "files": self._process.num_fds(),
            "runs": sum(p.is_dir() for own in self._server.runs.iterdir() for p in own.glob("*")),
        }

    def _honest(self) -> None:
        """Ask for what is known, and compare."""
        prompt, seed = self._draw.choice(PROMPTS), self._draw.randrange(2)
        for _ in range(240):
            try:
                done = self._client.predict(
                    prompt=prompt, seed=seed, steps=8, compute=4, api_name="/compare"
                )
                break
            except AppError as error:
                # A full queue, or a worker that was killed: what a visitor is told to do.
                self._counts["told_to_try_again"] += 1
                if "again" not in str(error) and "waiting" not in str(error):
                    self._counts["unanswered"] += 1
                    print(error, file=sys.stderr)
                    return
                time.sleep(0.5)
            except Exception as error:
                self._counts["told_to_try_again"] += 1
                if "503" not in str(error) and "full" not in str(error):
                    print(repr(error), file=sys.stderr)
                time.sleep(0.5)
        else:
            self._counts["unanswered"] += 1
            return
        picture = urllib.request.urlopen(f"{self._server}{done['files']['tracache']}").read()
        pixels = picture.partition(b"IDAT")[2]
        self._counts["honest"] += 1
        if self._known.setdefault((prompt, seed), pixels) != pixels:
            self._counts["wrong"] += 1

    def _vanish(self, address: str, when: float) -> None:
        """Begin a run as the page does, look on for a while, and go without a word."""
        session = f"gone-{address}-{when}"
        given = {"prompt": self._draw.choice(PROMPTS), "steps": 12, "seed": 5}
        body = {
            "data": [given.get(name, default) for name, default in self._defaults.items()],
            "fn_index": self._number,
            "session_hash": session,
        }
        status = self._send("/gradio_api/queue/join", body, X_Forwarded_For=address)
        self._counts["vanished" if status == 200 else "refused"] += 1
        if status != 200 or when < 0.2:
            return
        line = socket.create_connection(("127.0.0.1", int(self._server.rpartition(":")[2])))
        path = f"/gradio_api/queue/data?session_hash={session}"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        line.settimeout(3 * when)
        try:
            while line.recv(65536):
                pass
        except OSError:
            pass
        line.close()

    def _nonsense(self) -> None:
        """Send what no page sends."""
        deep = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
        for path, body, headers in (
            ("/gradio_api/queue/join", b"x" * 2_000_000, {}),
            ("/gradio_api/queue/join", b'{"data": ["' + b"x" * 900_000 + b'"]}', {}),
            ("/gradio_api/mcp/", deep, {"Accept": "application/json, text/event-stream"}),
            ("/gradio_api/cancel", b"{}", {}),
            ("/gradio_api/upload", b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
            ("/config", None, {"Origin": "https://evil.example"}),
            ("/", None, {"Host": "evil.example"}),
            ("/gradio_api/file=/etc/passwd", None, {}),
            ("/gradio_api/queue/data?session_hash=nobody", None, {}),
            ("/?run=nobody&prompt=%00", None, {}),
        ):
            self._statuses[self._send(path, body, **headers)] += 1

    def _kill_a_worker(self) -> None:
        workers = [c for c in self._process.children() if c.memory_info().rss > 2e8]
        if workers:
            self._draw.choice(workers).kill()
            self._counts["workers_killed"] += 1

    def _send(self, path: str, body: Any = None, **headers: str) -> int:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self._server}{path}", data, named)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read(1000)
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, HTTPException):
            # Refused in the middle of what was sent, or a stream that ends without a word.
            return 0


if __name__ == "__main__":
    main()
