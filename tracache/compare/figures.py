"""Figures of a comparison beside the heatmap, and what they show in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tracache.compare.arms import ARMS
from tracache.compare.colours import GREY, arm_colours
from tracache.compare.report import ArmResult
from tracache.compare.words import join

#: Beside the colour, so that it is not all that tells arms apart.
ARM_MARKERS = ("circle", "square", "diamond", "x", "triangle-up", "cross")


def frame_psnr(arms: Sequence[ArmResult]) -> go.Figure:
    """Draw the PSNR of every frame of videos to full compute's; frames that are the same have none.

    Parameters
    ----------
    arms : sequence of ArmResult
        Full compute first; it is what the others are held against.
    """
    figure = go.Figure()
    colours = arm_colours([arm.arm for arm in arms[1:]])
    for i, (arm, colour) in enumerate(zip(arms[1:], colours, strict=True)):
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(arm.frame_psnr) + 1)),
                y=[value if np.isfinite(value) else None for value in arm.frame_psnr],
                mode="lines+markers",
                name=arm.title,
                line={"color": colour},
                marker={"symbol": ARM_MARKERS[i % len(ARM_MARKERS)], "size": 7},
                hovertemplate="frame %{x}: %{y:.1f} dB<extra></extra>",
            )
        )
    figure.update_layout(
        height=240, xaxis_title="frame", yaxis_title="PSNR to full compute, dB", **_calm()
    )
    return figure


def work_and_fidelity(points: Sequence[tuple[str, float, float, str]]) -> go.Figure:
    """Draw how little work against how near, with the settings that nothing beats in both joined.

    Parameters
    ----------
    points : sequence of (str, float, float, str)
        Name, full compute's MACs over its own, PSNR in dB, and the arm.
    """
    figure = go.Figure()
    finite = [p for p in points if np.isfinite(p[2])]
    best = [p for p in finite if not any(_beats(other, p) for other in finite)]
    best.sort(key=lambda p: p[1])
    figure.add_trace(
        go.Scatter(
            x=[p[1] for p in best],
            y=[p[2] for p in best],
            mode="lines",
            name="nothing is both cheaper and nearer",
            line={"color": GREY, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    arms = list(dict.fromkeys(p[3] for p in points))
    for place, (arm, colour) in enumerate(zip(arms, arm_colours(arms), strict=True)):
        chosen = [p for p in finite if p[3] == arm]
        figure.add_trace(
            go.Scatter(
                x=[p[1] for p in chosen],
                y=[p[2] for p in chosen],
                text=[p[0] for p in chosen],
                mode="markers",
                name=ARMS[arm].title,
                marker={
                    "color": colour,
                    "symbol": ARM_MARKERS[place % len(ARM_MARKERS)],
                    "size": 10,
                },
                hovertemplate="%{text}<br>%{x:.2f}× fewer MACs, %{y:.1f} dB<extra></extra>",
            )
        )
    figure.update_layout(
        height=340,
        xaxis_title="times fewer MACs than full compute",
        yaxis_title="PSNR to full compute, dB",
        **_calm(),
    )
    return figure


def calm_path(figure: go.Figure) -> go.Figure:
    """Dress the figure of a block's path for a light or a dark page."""
    look = _calm()
    axes: dict[str, Any] = {key: look.pop(key) for key in ("xaxis", "yaxis")}
    figure.update_layout(template="none", height=560, width=None, **look)
    figure.update_xaxes(**axes["xaxis"])
    figure.update_yaxes(**axes["yaxis"])
    figure.update_annotations(font={"color": GREY, "size": 13})
    return figure


def describe_path(away: Mapping[str, float]) -> str:
    """Say what the figure of a block's path shows, and how far off each way is.

    Parameters
    ----------
    away : mapping of str to float
        Way → its mean relative error at the steps that it predicts.
    """
    if not away:
        return "Nothing of this block was predicted."
    told = [f"{way} is {error:.1%} off" for way, error in away.items()]
    return (
        "Above: how far each prediction is from what the block puts out, step by step; where a "
        "step computes, nothing is off. Below: the block's path in the plane in which it varies "
        "most, and each prediction joined to where it should have been; reuse stays where it was "
        f"last computed. At the predicted steps, {join(told)} on average."
    )


def _beats(one: tuple[str, float, float, str], other: tuple[str, float, float, str]) -> bool:
    return one[1] >= other[1] and one[2] >= other[2] and one[1:3] != other[1:3]


def _calm() -> dict[str, object]:
    """The look of a small figure on a light or a dark page."""
    axis = {"gridcolor": "rgba(128,134,139,0.3)", "zeroline": False}
    return {
        "margin": {"l": 48, "r": 12, "t": 30, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY, "size": 12},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "showlegend": True,
        "dragmode": False,
        "xaxis": axis,
        "yaxis": axis,
    }
