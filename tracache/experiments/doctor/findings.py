"""What an examination found, in plain sentences and in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEALTHY = "healthy"
WARNING = "warning"
FAULT = "fault"
#: Not examined: the sentence says why.
UNKNOWN = "not examined"

#: From best to worst; what was not examined speaks neither for nor against.
SEVERITY = {UNKNOWN: 0, HEALTHY: 0, WARNING: 1, FAULT: 2}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    about : str
        What was looked at, in a word or two.
    status : {"healthy", "warning", "fault", "not examined"}
        How it stands.
    sentence : str
        What was seen, and what to do where something can be done.
    figures : dict
        The numbers behind it.
    """

    about: str
    status: str
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for strict JSON: numbers that are none are null."""
        return {
            "about": self.about,
            "status": self.status,
            "sentence": self.sentence,
            "figures": {name: _plain(value) for name, value in self.figures.items()},
        }


@dataclass(frozen=True)
class Diagnosis:
    """All that was found of one cache on one subject.

    Attributes
    ----------
    cache, subject : str
        What was attached, and to what.
    steps : int
        Steps of a run.
    findings : tuple of Finding
        In the order they were looked at.
    """

    cache: str
    subject: str
    steps: int
    findings: tuple[Finding, ...]

    @property
    def status(self) -> str:
        """The worst of the findings."""
        worst = max((SEVERITY[finding.status] for finding in self.findings), default=0)
        return (HEALTHY, WARNING, FAULT)[worst]

    def of(self, about: str) -> Finding:
        """Return what was found about one thing.

        Raises
        ------
        KeyError
            If it was not reached.
        """
        return {finding.about: finding for finding in self.findings}[about]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "cache": self.cache,
            "subject": self.subject,
            "steps": self.steps,
            "status": self.status,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def lines(self) -> list[str]:
        """Return it as text: a heading, and a line a finding, in columns."""
        wide = max(len(finding.about) for finding in self.findings)
        states = max(len(finding.status) for finding in self.findings)
        return [
            f"{self.cache} on {self.subject}, {self.steps} steps: {self.status}",
            *(
                f"  {one.status:<{states}}  {one.about:<{wide}}  {one.sentence}"
                for one in self.findings
            ),
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
