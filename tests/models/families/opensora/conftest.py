"""Conformance cases: random weights, inputs, and what the published code made of them."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

DATA = Path(__file__).resolve().parents[3] / "data" / "opensora"


def case(name):
    """Tensors of a case, from one file or two."""
    files = sorted(DATA.glob(f"{name}*.safetensors"))
    return {key: value for file in files for key, value in load_file(file).items()}


def about(name):
    return json.loads((DATA / f"{name}.json").read_text())


def weights(tensors):
    return {key[2:]: value for key, value in tensors.items() if key.startswith("w/")}


@pytest.fixture(scope="session")
def stdit3_case():
    return case("stdit3_tiny")


@pytest.fixture(scope="session")
def vae_case():
    return case("vae_tiny")
