"""What visitors ask for stays out of the log."""

from __future__ import annotations

import logging

#: Libraries that repeat a prompt when they warn of it, as where it is longer than what is read.
_TALKATIVE = ("diffusers", "transformers")


def keep_prompts_out() -> None:
    """Let those libraries say in the log what is broken, and nothing else."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
