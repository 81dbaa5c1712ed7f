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
