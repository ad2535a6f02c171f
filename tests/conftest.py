"""Shared fixtures: the folder of published models, the one table of methods, and repeatable Hypothesis runs."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

import calipers as cal
from calipers.core.method import AbstractMethod

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


# Every public method, in the sizes and moods in which it is tested; a test that takes `any_method` runs with each.
METHODS: tuple[AbstractMethod, ...] = (
    cal.Enumeration(),
    cal.Elimination(order_seconds=0.05),
    cal.MeanField(),
    cal.MeanField(starts=2, max_sweeps=2),
    cal.Bethe(),
    cal.Bethe(damping=0.0, max_sweeps=3),
    cal.MiniBucket(ibound=0, sweeps=3),
    cal.MiniBucket(ibound=1),
    cal.MiniBucket(ibound=3, sweeps=5, orders=1),
    cal.MiniBucket(),
    cal.Tangent(width=1),
    cal.Tangent(width=2, starts=1),
    cal.Tangent(width=4, seed=5),
    cal.Tangent(),
    cal.Pairs(steps=20),
    cal.Auto(),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_method" in metafunc.fixturenames:
        metafunc.parametrize("any_method", METHODS, ids=repr)
