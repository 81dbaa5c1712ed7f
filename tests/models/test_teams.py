"""Teams of idle threads are let go, since they slow down whoever computes elsewhere."""

import sys
import threading
from pathlib import Path

import pytest
import torch

from tracache.models.teams import release_team


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_a_team_is_let_go_and_comes_back():
    """Three threads in a team of four are OpenMP's; the result is the same with another team."""
    found = []

    def count():
        return len(list(Path("/proc/self/task").iterdir()))

    def work():
        before = torch.get_num_threads()
        torch.set_num_threads(4)
        try:
            for _ in range(2):
                alone = count()
                total = torch.ones(1 << 20).add_(1).sum().item()
                with_team = count()
                found.append((total, with_team - alone, release_team(), count() - alone))
        finally:
            torch.set_num_threads(before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(2.0 * (1 << 20), 3, True, 0)] * 2
