"""A small league that was kept, made up: two budgets of one model, with pictures."""

import json

from PIL import Image

from tests.app import ROOT

#: (name, title, kind, error, PSNR), all of budget 5; at 10 errors are half as large.
MADE = (
    ("tracache", "TraCache", "arm", 0.04, 41.0),
    ("fewer-steps", "Fewer steps", "arm", 0.08, 36.0),
    ("teacache", "TeaCache", "arm", 0.12, 45.5),
    ("tracache, data", "TraCache, data", "way", 0.03, 43.0),
)
COLOURS = {"full": "white", "tracache": "red", "fewer-steps": "green", "teacache": "blue"}


def standing(name, title, kind, error, psnr, budget, steps=20):
    """Return a standing as JSON has it."""
    error = error * 5 / budget
    share = error / (0.08 * 5 / budget)
    rank = 1 + sum(e < error * budget / 5 for _, _, k, e, _ in MADE if k == "arm")
    value = {"tracache": "noise", "tracache, data": "data"}.get(name)
    return {
        "steps": steps,
        "budget": budget,
        "entrant": name,
        "title": title,
        "kind": kind,
        "computed": budget,
        "error": [error, error * 0.8, error * 1.2],
        "share": [share, share * 0.8, share * 1.2],
        "rank": [rank, max(1, rank - 1), rank + 1],
        "median": error,
        "psnr": psnr,
        "ssim": 0.97,
        "nearer": 1 if share < 1 else 0,
        "more": {"Fréchet (scenes)": 1.25},
        "options": {"threshold": 0.3} if name == "teacache" else {},
        "axes": [["space", "tracache", value]] if value else [],
    }


def make_league(model="scenes-t2i", steps=20):
    """Return the figures of a league."""
    rows = [standing(*one, budget, steps) for budget in (5, 10) for one in MADE]
    names = ["full", *(f"{row['budget']} {row['entrant']}" for row in rows)]
    return {
        "command": f"python -m tracache league {model} --json FILE",
        "batch": 32,
        "tuning": 16,
        "models": [
            {
                "model": model,
                "device": "an abacus",
                "dtype": "float32",
                "scheduler": "dpm-solver++",
                "guidance_scale": 2.5,
                "steps": [steps],
                "prompts": 64,
                "of": "prompts",
                "rows": rows,
                "out": [
                    {
                        "steps": steps,
                        "budget": 5,
                        "entrant": "pab",
                        "title": "PAB",
                        "why": "none of its settings comes to it on the tuning prompts",
                    }
                ],
                "subjects": ["a red cube on grass", "a <b>blue</b> cone on snow"],
                "seeds": [0, 32],
                "sheets": {str(steps): {"file": "league-20.webp", "rows": names}},
            }
        ],
    }


def write_league(folder):
    """Write the league and its sheet into a folder."""
    made = make_league()
    (folder / "league.json").write_text(json.dumps(made))
    names = made["models"][0]["sheets"]["20"]["rows"]
    sheet = Image.new("RGB", (128, 64 * len(names)), "grey")
    for y, name in enumerate(names):
        colour = COLOURS.get(name.partition(" ")[2] or name, "grey")
        sheet.paste(Image.new("RGB", (128, 64), colour), (0, 64 * y))
    sheet.save(folder / "league-20.webp", lossless=True)


def assets_with(folder, league=True):
    """Make assets like the committed ones but for the leagues: one of ours, or none."""
    folder.mkdir()
    for entry in (ROOT / "demo_assets").iterdir():
        if entry.name != "benchmarks":
            (folder / entry.name).symlink_to(entry)
    (folder / "benchmarks").mkdir()
    if league:
        write_league(folder / "benchmarks")
    return folder
