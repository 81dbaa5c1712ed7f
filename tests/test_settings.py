"""What the environment may set."""

import subprocess
import sys
from pathlib import Path

import pytest

from tracache.settings import Settings
from tracache.ui.offer import offered, require_offered

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_needs_to_be_set():
    settings = Settings.from_environment({})
    assert (settings.host, settings.port, settings.queue) == ("127.0.0.1", 7860, 16)
    assert settings.auth is None
    assert settings.api
    assert settings.proxies == "127.0.0.1"
    believed = Settings.from_environment({"TRACACHE_PROXIES": "10.0.0.1, 10.0.0.2"}).proxies
    assert believed == "127.0.0.1,10.0.0.1,10.0.0.2"
    assert next(spec.id for spec in offered(settings)) == "scenes-t2i"


def test_everything_can_be_set(tmp_path):
    settings = Settings.from_environment(
        {
            "TRACACHE_ASSETS": str(tmp_path),
            "TRACACHE_DEVICE": "cpu",
            "TRACACHE_MODELS": "/models",
            "TRACACHE_RUNS": "/runs",
            "TRACACHE_DEADLINE": "30",
            "TRACACHE_TIMING": "0.5",
            "TRACACHE_OFFER": "scenes-class, scenes-t2i",
            "TRACACHE_QUEUE": "4",
            "TRACACHE_AUTH": "ada:love:lace",
            "TRACACHE_HOSTS": "demo.example, a.example",
            "TRACACHE_PROXIES": "10.0.0.1",
            "TRACACHE_DRAIN": "0",
            "TRACACHE_API": "off",
            "TRACACHE_LOG_PROMPTS": "1",
            "TRACACHE_DTYPE": "bfloat16",
            "TRACACHE_CEILING": "0.5",
            "TRACACHE_WORKERS": "0",
            "SPACE_ID": "ada/tracache",
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": "80",
        }
    )
    assert settings == Settings(
        assets=tmp_path,
        device="cpu",
        host="0.0.0.0",
        port=80,
        deadline_s=30,
        timing_s=0.5,
        models=Path("/models"),
        runs=Path("/runs"),
        offered=("scenes-class", "scenes-t2i"),
        queue=4,
        auth=("ada", "love:lace"),
        hosts=("demo.example", "a.example"),
        # A Space's own proxy, whatever else is said.
        proxies="*",
        drain_s=0,
        api=False,
        log_prompts=True,
        dtype="bfloat16",
        ceiling=0.5,
        workers=0,
        space=True,
    )
    assert "lace" not in repr(settings)
    assert [spec.id for spec in offered(settings)] == ["scenes-class", "scenes-t2i"]
    with pytest.raises(ValueError, match="the model scenes-t2v is not offered here"):
        require_offered("scenes-t2v", settings)


@pytest.mark.parametrize(
    "variable, value, words",
    [
        ("TRACACHE_DEADLINE", "soon", "TRACACHE_DEADLINE must be a number, got 'soon'"),
        ("TRACACHE_DEADLINE", "0", "TRACACHE_DEADLINE must be from 1"),
        ("TRACACHE_QUEUE", "nan", "TRACACHE_QUEUE must be from 1 to 1000"),
        ("GRADIO_SERVER_PORT", "70000", "GRADIO_SERVER_PORT must be from 1 to 65535"),
        ("TRACACHE_DTYPE", "half", "TRACACHE_DTYPE must be one of float32, bfloat16, float16"),
        ("TRACACHE_CEILING", "0", "TRACACHE_CEILING must be from 0.01 to 1"),
        ("TRACACHE_WORKERS", "-1", "TRACACHE_WORKERS must be from 0 to 64"),
        ("TRACACHE_API", "perhaps", "TRACACHE_API must be one of 1, true"),
        ("TRACACHE_AUTH", "secret", "TRACACHE_AUTH must be user:password"),
        ("TRACACHE_ASSETS", "/nowhere", "TRACACHE_ASSETS must be a folder"),
    ],
)
def test_what_is_wrong_is_named(variable, value, words):
    with pytest.raises(ValueError) as error:
        Settings.from_environment({variable: value})
    assert words in str(error.value)
    assert "secret" not in str(error.value)


def test_the_app_says_what_is_wrong_and_does_not_start():
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env={"PATH": "/usr/bin", "TRACACHE_OFFER": "sdxxl", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("tracache: TRACACHE_OFFER names 'sdxxl'")
