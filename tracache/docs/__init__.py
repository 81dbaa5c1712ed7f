"""The manual: pages in plain Markdown, which the app shows too."""

from __future__ import annotations

from importlib.resources import files

#: File and title of each page, in the order of the manual.
PAGES = {
    "getting-started.md": "Getting started",
    "settings.md": "Settings",
    "methods.md": "Methods",
    "models.md": "Models",
    "command-line.md": "Command line",
    "hosting.md": "Hosting",
    "programs.md": "Programs and agents",
    "results.md": "Results",
    "glossary.md": "Glossary",
}


def read_page(name: str) -> str:
    """Return the Markdown of a page, by its file's name."""
    return (files("tracache.docs") / name).read_text("utf-8")
