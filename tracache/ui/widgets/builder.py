"""Drop-downs that write a prompt from a model's vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from tracache.models.vocabulary import ClipWords, SceneWords, Vocabulary
from tracache.ui.toast import fail

ALONE = "nothing else"


def add_builder(vocabulary: Vocabulary, prompt: gr.Textbox, visible: bool) -> gr.Accordion:
    """Add the drop-downs; choosing in any of them writes the whole prompt."""
    with gr.Accordion("Build a prompt", open=False, visible=visible) as accordion:
        if isinstance(vocabulary, ClipWords):
            _add_clip(vocabulary, prompt)
        elif isinstance(vocabulary, SceneWords):
            _add_scene(vocabulary, prompt)
    return accordion


def _add_scene(v: SceneWords, prompt: gr.Textbox) -> None:
    first = _object("First", v)
    relation = _choice([ALONE, *v.relations], "Beside it")
    with gr.Group(visible=False) as more:
        second = _object("Second", v, start=4)
    with gr.Row():
        ground = _choice(v.grounds, "On")
        time = _choice(v.times, "When")
    _show_if(relation, more, lambda word: word != ALONE)
    parts = [*first, relation, *second, ground, time]
    _write(parts, prompt, lambda *words: write_scene(v, *words), parts)


def _add_clip(v: ClipWords, prompt: gr.Textbox) -> None:
    with gr.Row():
        colour = _choice(v.colours, "Colour")
        solid = _choice(v.movers[v.motions[0][0]], "Solid")
    motion = _choice([" ".join(motion) for motion in v.motions], "Motion")
    with gr.Group(visible=False) as more, gr.Row():
        other = _choice(v.colours, "Around colour", start=1)
        centre = _choice(v.centres, "Around solid")
    ground = _choice(v.grounds, "On")
    _show_if(motion, more, lambda word: word.startswith("orbits"))

    def follow(word: str, chosen: str) -> Any:
        can = v.movers[word.split(" ")[0]]
        return gr.update(choices=list(can), value=chosen if chosen in can else can[0])

    # What cannot roll is not offered to roll.
    followed = motion.input(
        follow, [motion, solid], solid, show_progress="hidden", api_visibility="private"
    )
    parts = [colour, solid, motion, other, centre, ground]
    chosen = [part for part in parts if part is not motion]
    _write(parts, prompt, lambda *words: write_clip(v, *words), chosen, followed)


def _choice(words: Sequence[str], label: str, start: int = 0) -> gr.Dropdown:
    return gr.Dropdown(
        list(words),
        value=words[start % len(words)],
        label=label,
        interactive=True,
        min_width=90,
    )


def _object(name: str, v: SceneWords, start: int = 0) -> list[gr.Dropdown]:
    with gr.Row():
        return [
            _choice(words, f"{name} {kind}", start)
            for kind, words in (("finish", v.finishes), ("colour", v.colours), ("solid", v.solids))
        ]


def _show_if(chooser: gr.Dropdown, group: gr.Group, when: Callable[[str], bool]) -> None:
    chooser.input(
        lambda word: gr.update(visible=when(word)),
        chooser,
        group,
        show_progress="hidden",
        api_visibility="private",
    )


def _write(
    parts: Sequence[gr.Dropdown],
    prompt: gr.Textbox,
    write: Callable[..., str],
    chosen: Sequence[gr.Dropdown],
    *after: Any,
) -> None:
    """Write the prompt when something is chosen, or after other events.

    One event for all, since a browser holds each of a page's events to each of its components.
    """
    how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([part.input for part in chosen], write, list(parts), prompt, **how)
    for event in after:
        event.then(write, list(parts), prompt, **how)


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
