"""Whether a tokenizer knows any words."""

from __future__ import annotations

from typing import Any

#: A vocabulary smaller than this is none.
FEWEST_PIECES = 8


def require_words(tokenizer: Any) -> None:
    """Refuse a tokenizer that knows nothing: transformers makes one where its file is missing.

    Raises
    ------
    FileNotFoundError
        If there is a tokenizer and it has no vocabulary.
    """
    if tokenizer is None:
        return
    if len(tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()) < FEWEST_PIECES:
        raise FileNotFoundError("no file named spiece.model or tokenizer.json with a vocabulary")
