"""What stands beside the controls: of models, arms, presets and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tracache.compare.arms import ARMS
from tracache.models.spec import ModelSpec
from tracache.models.vocabulary import Vocabulary

#: Unknown words that the note names; a pasted page would fill the screen.
MAX_WORDS_NAMED = 5

EMPTY_HEATMAP = (
    "Rows are blocks, columns are timesteps. Drawn after a run, from a second one that is not "
    "timed."
)


def said(text: str) -> str:
    """Return plain words as a paragraph."""
    return f"<p>{escape(text)}</p>"


def arm_note(arm: str, spec: ModelSpec, not_here: Sequence[str] = ()) -> str:
    """Say what an arm does, what to know about it, and why it cannot run where it cannot.

    Parameters
    ----------
    arm : str
        Name of the arm.
    spec : ModelSpec
        The model.
    not_here : sequence of str
        Arms that the page does not run; their caveat says why.
    """
    method = ARMS[arm]
    refusal = method.refusal(spec) or (method.caveat if arm in not_here else "")
    if refusal:
        return (
            f'<div class="tc-words tc-warn"><p>{escape(method.summary)}</p>'
            f'<p role="alert">Not available here. {escape(refusal)}</p></div>'
        )
    caveat = f"<p>{escape(method.caveat)}</p>" if method.caveat else ""
    if method.triple is not None:
        caveat = f"<p>Space × rule × placement: {method.triple}.</p>{caveat}"
    return f'<div class="tc-words tc-quiet"><p>{escape(method.summary)}</p>{caveat}</div>'


def model_note(spec: ModelSpec, reason: str) -> str:
    """Say what a model is, what to know of its defaults, and why it cannot run where it cannot."""
    about = " ".join(text for text in (spec.summary, spec.note, _licence(spec)) if text)
    if reason:
        return (
            f'<div class="tc-words tc-warn"><p>{escape(spec.summary)}</p>'
            f'<p role="alert">Not available here. {escape(reason)}</p></div>'
        )
    return f'<div class="tc-words tc-quiet"><p>{escape(about)}</p></div>'


def _licence(spec: ModelSpec) -> str:
    return f"Licence: {spec.licence}." if spec.licence else ""


def absent_note(reasons: Sequence[tuple[ModelSpec, str]]) -> str:
    """Say of each model that cannot run here what it is, and why it cannot."""

    def row(spec: ModelSpec, reason: str) -> str:
        about = " ".join(text for text in (spec.summary, _licence(spec), reason) if text)
        return f"<dt>{escape(spec.title)}</dt><dd>{escape(about)}</dd>"

    rows = "".join(row(spec, reason) for spec, reason in reasons)
    return f'<dl class="tc-words tc-absent">{rows}</dl>'


def preset_note(preset: str, spec: ModelSpec) -> str:
    """Say what a preset does; empty where the visitor sets everything."""
    if preset not in spec.presets:
        return ""
    return f'<div class="tc-words tc-quiet"><p>{escape(spec.presets[preset].about)}</p></div>'


def vocabulary_note(prompt: str, vocabulary: Vocabulary | None, asked: str = "") -> str:
    """Say how a prompt is read, which words the model does not know, and what to try for them.

    Parameters
    ----------
    prompt : str
        As it was written, or as the model reads it.
    vocabulary : Vocabulary or None
        The model's, if it has one.
    asked : str, default ""
        As it was written, where ``prompt`` is not that.
    """
    if vocabulary is None:
        return ""
    read = vocabulary.understand(prompt)
    understood = ""
    if read != (asked or prompt):
        understood = f'<p class="tc-words tc-quiet">Understood as “{escape(read)}”.</p>'
    known, unknown = vocabulary.split(read)
    if not known and not unknown:
        return '<p class="tc-words tc-quiet">Describe a scene, or build one below.</p>'
    if not unknown:
        return understood
    by_tip: dict[tuple[str, ...], list[str]] = {}
    for word in unknown[:MAX_WORDS_NAMED]:
        by_tip.setdefault(vocabulary.suggest(word), []).append(f"“{escape(word[:30])}”")
    lines = [
        f"{' and '.join(words)} {'is not a word' if len(words) == 1 else 'are not words'} "
        f"of this model; try {escape(', '.join(tips))}."
        for tips, words in by_tip.items()
    ]
    if len(unknown) > MAX_WORDS_NAMED:
        lines.append(f"{len(unknown) - MAX_WORDS_NAMED} more words are not known either.")
    shown = ", ".join(known[:16]) + (" …" if len(known) > 16 else "")
    lines.append(f"Known: {escape(shown)}." if known else "It knows none of these words.")
    words = "".join(f"<p>{line}</p>" for line in lines)
    return f'{understood}<div class="tc-words tc-warn">{words}</div>'
