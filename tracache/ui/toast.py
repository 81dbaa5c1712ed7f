"""Messages for people, which Gradio shows as HTML: what they quote is escaped, and cut short."""

from __future__ import annotations

import re
from html import escape

import gradio as gr

#: Characters that a message quotes of what somebody sent.
MAX_QUOTED = 80

#: Characters in a row, as of a number or an address, and of a whole message.
MAX_WORD = 240
MAX_MESSAGE = 1200

_QUOTED = [
    re.compile(rf"(?<!\w){quote}((?:\\.|[^\\{quote}]){{{MAX_QUOTED}}})(?:\\.|[^\\{quote}])+{quote}")
    for quote in "'\""
]
_WORD = re.compile(rf"(\S{{{MAX_QUOTED}}})\S{{{MAX_WORD - MAX_QUOTED},}}")


def plain(message: str, *sent: str) -> str:
    """Return a message as a toast may show it.

    Gradio renders toasts as HTML, with forms, styles and pictures, and messages quote what was
    sent, which may have come by somebody else's link.

    Parameters
    ----------
    message : str
        For people; it may quote anything.
    sent : str
        Texts that it may hold without quotation marks.

    Returns
    -------
    str
        Beginning with a capital, its markup as text, what it quotes no longer than
        :data:`MAX_QUOTED` characters.
    """
    for text in sent:
        if len(text) > MAX_QUOTED:
            message = message.replace(text, f"{text[:MAX_QUOTED]}…")
    for quoted in _QUOTED:
        message = quoted.sub(r"“\1…”", message)
    message = _WORD.sub(r"\1…", message)
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]} …"
    # Between tags, quotation marks are harmless, and programs read these messages too.
    return escape(message[:1].upper() + message[1:], quote=False)


def fail(message: str) -> gr.Error:
    """Return an error that shows a message."""
    return gr.Error(plain(message), print_exception=False)


def tell(error: Exception) -> gr.Error:
    """Turn a refusal into a message, with its first word, a field's name, as the page has it."""
    first, _, rest = str(error).partition(" ")
    return fail(f"{first.replace('_', ' ')} {rest}")
