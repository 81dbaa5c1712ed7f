"""What every test runs under: no network, one thread; and the app, served once for all."""

import os

# Set before anything imports the libraries that read them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Sums depend on the number of threads, and torch.set_num_threads sets that of the calling thread
# alone. Tiny models gain nothing from threads, and lose much where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"
# Rounds of timing would take a second of every comparison; tests/compare/test_rounds.py has them.
os.environ["TRACACHE_TIMING"] = "0"

import pytest

from tests.app import ROOT, start_app

#: Files that take longest, or share a browser or a server: first, so that no process is left with
#: one of them at the end. A file stays in one process.
LONGEST = ("tests/browser/", "tests/ui/", "tests/serving/", "tests/caching/test_methods.py")


def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid):
    return next((i for i, start in enumerate(LONGEST) if nodeid.startswith(start)), len(LONGEST))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The app, served once for all."""
    folder = tmp_path_factory.mktemp("server")
    with start_app(folder, TRACACHE_ASSETS=str(_assets(folder / "assets"))) as server:
        yield server


@pytest.fixture(scope="session")
def twins(tmp_path_factory):
    """The app with tiny twins of the Hub's models, which differ from it in their entries alone."""
    from tests.models.twins import write_twins

    folder = tmp_path_factory.mktemp("twins")
    write_twins(folder / "models")
    there = {"TRACACHE_MODELS": str(folder / "models"), "PYTHONPATH": str(ROOT)}
    with start_app(
        folder, script="tests/models/twins.py", TRACACHE_DEVICE="cpu", **there
    ) as server:
        yield server


def _assets(folder):
    """The embedded models, with a tiny twin of the class-conditional one where it is not here."""
    folder.mkdir()
    for entry in (ROOT / "demo_assets").iterdir():
        (folder / entry.name).symlink_to(entry)
    if not (folder / "scenes-class").exists():
        from tests.models.hub import write_model

        write_model(folder, "scenes-class")
    return folder
