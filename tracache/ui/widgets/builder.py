"""Drop-downs that write a prompt from a model's vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.models.vocabulary import ClipWords, SceneWords, Vocabulary
from tracache.ui.toast import fail

_STATIC = files("tracache.ui.widgets")

ALONE = "nothing else"


#: Another drop-down and its words, with one of which something is offered.
_With = tuple[str, Sequence[str]]


@dataclass(frozen=True)
class _Choice:
    """A drop-down: its label, its words, which of them is chosen at first, and what some need."""

    label: str
    words: Sequence[str]
    start: int = 0
    needs: Mapping[str, _With] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    """Drop-downs side by side, and what they need to be shown."""

    choices: Sequence[_Choice]
    needs: _With | None = None


def add_builder(vocabulary: Vocabulary, prompt: gr.Textbox, visible: bool) -> gr.Accordion:
    """Add the drop-downs; choosing in any of them writes the whole prompt."""
    rows, write = _grammar(vocabulary)
    choices = [choice for row in rows for choice in row.choices]
    with gr.Accordion("Build a prompt", open=False, visible=visible) as accordion:
        # One component, since a browser pays for each of Gradio's, seen or not.
        drawn = gr.HTML(
            "",
            html_template=f'<div class="tco">{"".join(map(_draw_row, rows))}</div>',
            js_on_load=(_STATIC / "builder.js").read_text("utf-8"),
            apply_default_css=False,
            padding=False,
            elem_classes="tco-place",
        )

    def written(words: Any) -> Any:
        if not isinstance(words, list) or len(words) != len(choices):
            return gr.skip()
        if any(word not in c.words for word, c in zip(words, choices, strict=True)):
            return gr.skip()
        return write(*words)

    drawn.input(
        written,
        drawn,
        prompt,
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="always_last",
    )
    return accordion


def _grammar(vocabulary: Vocabulary) -> tuple[list[_Row], Callable[..., str]]:
    """Return the drop-downs of a vocabulary, and what writes a prompt of what they hold."""
    if isinstance(vocabulary, SceneWords):
        v = vocabulary
        rows = [
            _Row(_object("First", v)),
            _Row([_Choice("Beside it", [ALONE, *v.relations])]),
            _Row(_object("Second", v, start=4), ("Beside it", v.relations)),
            _Row([_Choice("On", v.grounds), _Choice("When", v.times)]),
        ]
        return rows, partial(write_scene, vocabulary)
    assert isinstance(vocabulary, ClipWords)
    return _clip_rows(vocabulary), partial(write_clip, vocabulary)


def _clip_rows(v: ClipWords) -> list[_Row]:
    motions = [" ".join(motion) for motion in v.motions]
    # What cannot roll is not offered to roll.
    movers = {
        solid: ("Motion", [" ".join(m) for m in v.motions if solid in v.movers[m[0]]])
        for solid in v.solids
    }
    around = [_Choice("Around colour", v.colours, 1), _Choice("Around solid", v.centres)]
    return [
        _Row([_Choice("Colour", v.colours), _Choice("Solid", v.solids, needs=movers)]),
        _Row([_Choice("Motion", motions)]),
        _Row(around, ("Motion", [word for word in motions if word.startswith("orbits")])),
        _Row([_Choice("On", v.grounds)]),
    ]


def _object(name: str, v: SceneWords, start: int = 0) -> list[_Choice]:
    kinds = (("finish", v.finishes), ("colour", v.colours), ("solid", v.solids))
    return [_Choice(f"{name} {kind}", words, start) for kind, words in kinds]


def _draw_row(row: _Row) -> str:
    choices = "".join(map(_draw, row.choices))
    return f"<fieldset data-side{_needs(row.needs)}>{choices}</fieldset>"


def _draw(choice: _Choice) -> str:
    first = choice.words[choice.start % len(choice.words)]
    options = "".join(
        f"<option{' selected' if word == first else ''}{_needs(choice.needs.get(word))}>"
        f"{escape(word)}</option>"
        for word in choice.words
    )
    label = escape(choice.label)
    return f'<label><span>{label}</span><select name="{label}">{options}</select></label>'


def _needs(other: _With | None) -> str:
    if other is None:
        return ""
    label, words = other
    return f' data-with="{escape(label)}" data-words="{escape("|".join(words))}"'


def write_scene(vocabulary: SceneWords, *words: str) -> str:
    """Return the prompt of (first's three words, relation, second's three, ground, time).

    Raises
    ------
    gr.Error
        If something would stand on a solid without a flat top.
    """
    first, relation, second, (ground, time) = words[:3], words[3], words[4:7], words[7:]
    if relation == ALONE:
        return vocabulary.compose(first, ground, time)
    return _told(lambda: vocabulary.compose(first, ground, time, relation, second))


def write_clip(vocabulary: ClipWords, *words: str) -> str:
    """Return the prompt of (colour, solid, motion, colour and solid of the centre, ground).

    Raises
    ------
    gr.Error
        If the words do not go together.
    """
    colour, solid, text, other, centre, ground = words
    motion = next(motion for motion in vocabulary.motions if " ".join(motion) == text)
    return _told(lambda: vocabulary.compose(colour, solid, motion, ground, (other, centre)))


def _told(write: Callable[[], str]) -> str:
    try:
        return write()
    except ValueError as error:
        raise fail(str(error)) from error
