"""Cards that set the controls and run, one click each."""

from __future__ import annotations

from html import escape
from importlib.resources import files

import gradio as gr

from tracache.compare.cards import CARDS, Card
from tracache.compare.examples import FOLDER
from tracache.settings import Settings
from tracache.ui.offer import offered
from tracache.ui.widgets.viewer import file_url

_STATIC = files("tracache.ui.widgets")

ABOUT = "Each was chosen by measurement to show its point, good or bad. One click runs it."


def add_cards(settings: Settings) -> gr.HTML:
    """Add the cards; nothing is shown where the page does not offer their model."""
    return gr.HTML(
        show_cards(settings),
        js_on_load=(_STATIC / "cards.js").read_text("utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="cards",
    )


def show_cards(settings: Settings) -> str:
    """Draw the cards whose model is offered, as HTML."""
    there = {spec.id for spec in offered(settings)}
    items = "".join(
        _item(card, settings) for card in CARDS.values() if card.given["model"] in there
    )
    if not items:
        return ""
    return (
        f'<h2 class="tck-title">Try this <small>{escape(ABOUT)}</small></h2>'
        f'<ul class="tck">{items}</ul>'
    )


def _item(card: Card, settings: Settings) -> str:
    recorded = [
        (words, settings.assets / FOLDER / card.file(arm)) for arm, words in card.pictures.items()
    ]
    pictures = "".join(
        f'<span><img src="{escape(file_url(file))}" alt="" loading="lazy" width="128" height="128">'
        f"<small>{escape(words)}</small></span>"
        for words, file in recorded
        if file.is_file()
    )
    return (
        f'<li><button type="button" data-card="{escape(card.id)}">'
        f'<span class="tck-pair">{pictures}</span><b>{escape(card.title)}</b>'
        f"<span>{escape(card.about)}</span></button></li>"
    )


def chosen_card(data: object) -> Card:
    """Return the card that was pressed.

    Raises
    ------
    ValueError
        If there is no such card.
    """
    name = data.get("card") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in CARDS:
        raise ValueError(f"there is no such card; choose from {', '.join(CARDS)}")
    return CARDS[name]
