"""Mixed requests for as long as wanted: ``python -m tests.soak --minutes 30 --json soak.json``.

Starts the app by itself and watches its memory, open files, threads and run folders. After the
first five minutes its resident memory may grow by 5 % at most.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.app import Server, start_app

WARM_S = 300.0
MOST_GROWTH = 0.05

PROMPTS = ("a shiny red sphere on water at sunset", "a matte blue cube on snow in daylight")
CLASSES = ("red cube", "blue ring", "12")
CLIP = "a red cube slides to the right on grass"
ARMS = ("tracache", "reuse", "taylorseer", "pab", "teacache", "fewer-steps", "adacache")


def main() -> None:
    """Run until the time is up, print what was seen, and fail where something grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        start_app(Path(folder), HF_HUB_OFFLINE="1") as server,
    ):
        found = soak(server, args.minutes * 60)
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if found["growth"] > MOST_GROWTH:
        sys.exit(f"memory grew by {found['growth']:.1%}")


def soak(server: Server, seconds: float) -> dict[str, object]:
    """Send requests and watch the process; returns what was seen."""
    client, draw = Client(server, verbose=False), random.Random(0)
    process = psutil.Process(server.pid)
    seen: list[dict[str, float]] = []
    counts = {"done": 0, "refused": 0}
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        try:
            client.predict(**request(draw), api_name="/compare")
            counts["done"] += 1
        except AppError:
            counts["refused"] += 1
        seen.append(
            {
                "s": passed,
                "rss": process.memory_info().rss,
                "threads": process.num_threads(),
                "files": process.num_fds(),
            }
        )
    warm = [s for s in seen if s["s"] >= min(WARM_S, seconds / 4)]
    tenth = max(1, len(warm) // 10)
    first, last = (
        {key: statistics.median(s[key] for s in part) for key in ("rss", "threads", "files")}
        for part in (warm[:tenth], warm[-tenth:])
    )
    return {
        "minutes": round(seconds / 60, 1),
        **counts,
        "rss_mb": [round(first["rss"] / 1e6), round(last["rss"] / 1e6)],
        "growth": last["rss"] / first["rss"] - 1,
        "threads": [first["threads"], last["threads"]],
        "files": [first["files"], last["files"]],
        "run_folders": len(list(server.runs.iterdir())),
    }


def request(draw: random.Random) -> dict[str, object]:
    """One of many kinds of request, now and then one that is refused."""
    kind = draw.random()
    common = {"seed": draw.randrange(1000), "steps": draw.choice((2, 4, 8, 12))}
    arms = draw.sample(ARMS, draw.choice((1, 1, 2)))
    if kind < 0.1:
        return {**common, "prompt": "", "stride": draw.choice((0, 3))}
    if kind < 0.25:
        return {**common, "model": "scenes-class", "class_label": draw.choice(CLASSES)}
    if kind < 0.35:
        return {**common, "model": "scenes-t2v", "prompt": CLIP, "steps": 3, "arms": arms[:1]}
    return {**common, "prompt": draw.choice(PROMPTS), "arms": arms, "stride": draw.randint(2, 4)}


if __name__ == "__main__":
    main()
