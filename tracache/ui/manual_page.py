"""The route with the manual: the pages of :mod:`tracache.docs`, one a tab."""

from __future__ import annotations

import re

import gradio as gr

from tracache.docs import PAGES, read_page


def add_manual() -> None:
    """Lay out the route."""
    with gr.Tabs():
        for name, title in PAGES.items():
            with gr.Tab(title, id=name.removesuffix(".md")), gr.Column(elem_classes="tc-prose"):
                gr.Markdown(page_text(name))


def page_text(name: str) -> str:
    """Return a page as the app shows it.

    Where files of the repository are linked or shown, the app has no such address: a picture goes,
    and of a link the words stay.
    """
    text = re.sub(r"!\[[^]]*\]\([^)]*\)\n+", "", read_page(name))
    text = re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return re.sub(r"<!--.*?-->\n*", "", text)
