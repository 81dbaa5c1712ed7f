"""Which control is to blame for a refusal."""

from __future__ import annotations

import re
from collections.abc import Collection

from tracache.compare.arms import ARMS
from tracache.ui.widgets.options import option_name, own_options

#: Refusals that do not begin with the name of a setting, by words they all hold.
_WORDS = (
    (r"^the prompt\b", "prompt"),
    (r"^compare with\b|is chosen already", "also"),
    (r"^the arm\b|^unknown arm|runs with .* only|needs attention scores|cannot run", "arm"),
)


def field_at_fault(message: str, fields: Collection[str]) -> str:
    """Return the name of the control that a refusal is about; empty where that is not clear.

    Parameters
    ----------
    message : str
        Of the error. Those of settings begin with the setting's name, those of an arm's own with
        the arm's title before it.
    fields : collection of str
        Names of the controls.
    """
    first = message.partition(" ")[0].rstrip(":")
    if first in fields:
        return first
    own = {option_name(owner, setting.name) for owner, setting in own_options()}
    for arm in ARMS.values():
        start = f"{arm.title}: "
        if message.startswith(start):
            option = option_name(arm.id, message.removeprefix(start).partition(" ")[0])
            return option if option in own else "arm"
    found = (name for words, name in _WORDS if re.search(words, message, re.IGNORECASE))
    return next((name for name in found if name in fields), "")
