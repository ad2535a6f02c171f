"""Shared fixtures: the folder of published models, and repeatable Hypothesis runs."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run and every day, and no deadline: the first call of a kernel compiles it.
settings.register_profile("calipers", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("calipers")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published instances (`uai/MANIFEST.tsv`, `ising/`, `spin_glass/` …): $CALIPERS_SHARED, else ../shared/data."""
    folder = Path(os.environ.get("CALIPERS_SHARED", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no published instances at {folder}; set CALIPERS_SHARED to a folder with uai/MANIFEST.tsv")
    return folder
