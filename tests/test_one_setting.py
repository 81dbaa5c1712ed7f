"""A setting is declared on one line, and is then everywhere."""

import os
import shutil
import subprocess
import sys

from tests.app import ROOT

#: The line, and where it goes: the last of TraCache's fields.
PLACE = "    def check(self) -> None:\n"
LINE = (
    "    patience: int = setting("
    '3, low=1, high=9, label="Endurance", help="How long it waits.", group=SCHEDULE)\n\n'
)

PROOF = """
import shlex
from tracache import TraCacheConfig
from tracache.cli.arguments import build_parser
from tracache.cli.main import RUNS
from tracache.compare.request import make_request
from tracache.compare.serialise import from_query, given_of, from_given
from tracache.compare.serialise import to_command, to_python, to_query
from tracache.docs import tables
from tracache.serving.backend import Here
from tracache.settings import Settings
from tracache.ui.form import fill_controls, read_request
from tracache.ui.page import build_page

# Validation.
try:
    TraCacheConfig(patience=10)
except ValueError as error:
    assert "patience must be a whole number from 1 to 9, got 10" in str(error)
else:
    raise AssertionError
# Link, script, command.
request = make_request("scenes-t2i", "a red cube on sand", seed=0, patience=5)
given = given_of(request)
assert "patience=5" in to_query(given)
assert from_given(from_query(to_query(given))) == request
assert "patience=5" in to_python(given)
words = shlex.split(to_command(given))
args = build_parser(RUNS).parse_args(words[3:])
assert args.patience == 5
# The page's control, its value, and the endpoint's parameter.
values = fill_controls(request)
assert read_request(values) == request
assert read_request({**values, "patience": 7.0}).cache.patience == 7
settings = Settings.from_environment()
page = build_page(settings, Here(settings, "scenes-t2i"))
(control,) = [b for b in page.blocks.values() if getattr(b, "label", "") == "Endurance"]
assert (control.minimum, control.maximum, control.value) == (1, 9, 3)
(compare,) = [f.fn for f in page.fns.values() if f.api_name == "compare"]
assert "patience (1 to 9): How long it waits." in compare.__doc__
# The manual.
manual = tables.fill(tables.PAGE.read_text("utf-8"))
assert "| `patience` | `3` | 1 to 9 | How long it waits. |" in manual
print("everywhere")
"""


def test_one_line_adds_a_setting_everywhere(tmp_path):
    shutil.copytree(ROOT / "tracache", tmp_path / "tracache")
    config = tmp_path / "tracache" / "caching" / "config.py"
    before, after = config.read_text("utf-8").rsplit(PLACE, 1)
    config.write_text(before + LINE + PLACE + after, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROOF],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "TRACACHE_ASSETS": str(ROOT / "demo_assets"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "everywhere", done.stderr
