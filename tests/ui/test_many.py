"""Many at once: what each of them gets is what they would have got alone."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracache.compare.comparison import compare
from tracache.compare.request import make_request
from tracache.models.loading import load_model
from tracache.ui.jobs import Jobs

PROMPTS = ("a shiny red sphere on water at sunset", "a matte blue cube on snow in daylight")
SESSIONS = 8


def work(request):
    yield from compare(load_model(request.model), request)


def draw_request(draw):
    """Short jobs of every kind of arm, two models, many settings."""
    common = {"seed": draw.randrange(3), "steps": draw.choice((2, 3, 4)), "trace": False}
    arm = draw.choice(("tracache", "reuse", "taylorseer", "tracache-fixed", "teacache", "pab"))
    if draw.random() < 0.2:
        number = draw.randrange(40)
        return make_request("scenes-class", class_label=number, arms=[arm], **common)
    stride, order = draw.choice((2, 3)), draw.choice((0, 1, 2))
    prompt = draw.choice(PROMPTS)
    return make_request("scenes-t2i", prompt, arms=[arm], stride=stride, max_order=order, **common)


def outcome(job):
    end = list(job.follow(every_s=0))[-1]
    assert end.state == "done", end.error
    return [(arm.arm, arm.full_steps, arm.image.tobytes()) for arm in end.results]


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_interleaved_requests_each_equal_their_solo_run(count, tmp_path):
    draw = random.Random(7)
    distinct = [draw_request(draw) for _ in range(count // 5)]
    jobs = Jobs(tmp_path, deadline_s=600)
    solo = [outcome(jobs.start(request, "", work)) for request in distinct]
    order = [i % len(distinct) for i in range(count)]
    draw.shuffle(order)
    with ThreadPoolExecutor(SESSIONS) as sessions:
        found = list(sessions.map(lambda i: outcome(jobs.start(distinct[i], "", work)), order))
    assert len(found) == count
    assert all(result == solo[i] for i, result in zip(order, found, strict=True))
