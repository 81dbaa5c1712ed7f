"""Conditions on figures: read or refused, and held against what a comparison found."""

from dataclasses import replace

import pytest
from PIL import Image

from tracache.cli.main import main
from tracache.compare.conditions import Condition, broken, read_conditions
from tracache.compare.report import ArmResult

FULL = ArmResult(
    arm="full",
    title="Full compute",
    num_steps=20,
    full_steps=20,
    block_calls=220,
    macs=2_000,
    linear_macs=1_900,
    denoising_s=2.0,
    end_to_end_s=2.25,
    memory_kind="peak process RSS",
    memory_bytes=1,
    speed_up_macs=1.0,
    psnr=float("inf"),
    ssim=1.0,
    latent_error=0.0,
    image=Image.new("RGB", (8, 8)),
)
CACHED = replace(FULL, arm="tracache", title="TraCache", psnr=31.23, speed_up_macs=2.5)
FEWER = replace(CACHED, arm="fewer-steps", title="Fewer steps", psnr=20.0)


def test_conditions_are_read_however_they_are_given():
    expected = (Condition("psnr", ">=", 28.0), Condition("ssim", ">", 0.95))
    assert read_conditions(["psnr>=28 ssim>.95"]) == expected
    assert read_conditions(["psnr >= 28", "ssim>0.95"]) == expected
    assert read_conditions([]) == ()


@pytest.mark.parametrize(
    "text", ["psnr", "psnr>=", "beauty>1", "psnr==3", "psnr>=nan", "", "x psnr>1"]
)
def test_what_is_none_is_refused_with_what_may_be_asked(text):
    with pytest.raises(ValueError, match=r"no condition; write one as psnr>=28"):
        read_conditions([text])


def test_arms_that_leave_something_out_are_judged_and_no_others():
    """Neither full compute nor what is there to be compared with."""
    arms = (FULL, CACHED, FEWER)
    assert broken(read_conditions(["psnr>=31 speed_up_macs>=2"]), arms) == []
    assert broken(read_conditions(["psnr>=35 speed_up_macs>=2 speed_up>1"]), arms) == [
        "TraCache: psnr>=35 does not hold, it is 31.23",
        "TraCache: speed_up>1 does not hold, it is not timed",
    ]


def test_the_command_ends_with_1_where_one_does_not_hold(tmp_path, capsys):
    argv = ["compare", "--prompt", "a red cube", "--steps", "3", "--compute", "2"]
    argv += ["--output", str(tmp_path / "out")]
    assert main([*argv, "--assert", "psnr>=5", "latent_error<1"]) == 0
    assert main([*argv, "--assert", "psnr>=500 ssim>=0.1"]) == 1
    assert "TraCache: psnr>=500 does not hold" in capsys.readouterr().err
    assert main([*argv, "--assert", "beauty>3"]) == 2
