"""Drop-downs that write a prompt from a model's vocabulary."""

from __future__ import annotations

import gradio as gr

from tracache.models.vocabulary import Vocabulary

ALONE = "nothing else"


def add_builder(vocabulary: Vocabulary, prompt: gr.Textbox) -> gr.Accordion:
    """Add the drop-downs; choosing in any of them writes the whole prompt."""
    v = vocabulary
    with gr.Accordion("Build a prompt", open=False) as accordion:
        first = _object("First", v)
        relation = gr.Dropdown(
            [ALONE, *v.relations], value=ALONE, label="Beside it", interactive=True
        )
        with gr.Group(visible=False) as more:
            second = _object("Second", v, start=4)
        with gr.Row():
            ground = gr.Dropdown(list(v.grounds), value=v.grounds[0], label="On", min_width=110)
            time = gr.Dropdown(list(v.times), value=v.times[0], label="When", min_width=110)
    relation.input(
        lambda word: gr.update(visible=word != ALONE),
        relation,
        more,
        show_progress="hidden",
        api_visibility="private",
    )
    parts = [*first, relation, *second, ground, time]
    gr.on(
        [part.input for part in parts],
        lambda *words: write_prompt(v, *words),
        parts,
        prompt,
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="always_last",
    )
    return accordion


def _object(name: str, v: Vocabulary, start: int = 0) -> list[gr.Dropdown]:
    with gr.Row():
        return [
            gr.Dropdown(
                list(words),
                value=words[start % len(words)],
                label=f"{name} {kind}",
                interactive=True,
                min_width=90,
            )
            for kind, words in (("finish", v.finishes), ("colour", v.colours), ("solid", v.solids))
        ]


def write_prompt(vocabulary: Vocabulary, *words: str) -> str:
    """Return the prompt of (first's three words, relation, second's three, ground, time).

    Raises
    ------
    gr.Error
        If something would stand on a solid without a flat top.
    """
    first, relation, second, (ground, time) = words[:3], words[3], words[4:7], words[7:]
    if relation == ALONE:
        return vocabulary.compose(first, ground, time)
    try:
        return vocabulary.compose(first, ground, time, relation, second)
    except ValueError as error:
        text = str(error)
        raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from error
