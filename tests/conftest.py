"""What every test runs under: no network, one thread; and the app, served once for all."""

import os

# Set before anything imports the libraries that read them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Sums depend on the number of threads, and torch.set_num_threads sets that of the calling thread
# alone. Tiny models gain nothing from threads, and lose much where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from tests.app import ROOT, start_app

#: Longest first, so that no process is left with one of them at the end.
LONGEST = ("browser", "server", "tests/serving/test_cluster.py", "tests/caching/test_methods.py")


# Before xdist looks at the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep together, in one of several processes, what shares a server, a model or a file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _rank(_group(item)))


def _group(item):
    if item.get_closest_marker("browser"):
        return "browser"
    return "server" if "server" in item.fixturenames else item.nodeid.partition("::")[0]


def _rank(group):
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The app, served once for all."""
    folder = tmp_path_factory.mktemp("server")
    with start_app(folder, TRACACHE_ASSETS=str(_assets(folder / "assets"))) as server:
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
