"""The real NIH films, where LUNGAL_NIH_ROOT says; a test that needs them skips without."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def nih_root() -> Path:
    """Return the folder of NIH's films."""
    root = os.environ.get("LUNGAL_NIH_ROOT")
    if not root:
        pytest.skip("LUNGAL_NIH_ROOT is not set: no real films")
    return Path(root).resolve()


@pytest.fixture(scope="session")
def nih_png(nih_root: Path) -> Path:
    """Return a folder of some NIH originals as PNG, which lies beside the films."""
    return _beside(nih_root, "nih-png")


@pytest.fixture(scope="session")
def weights_folder(nih_root: Path) -> Path:
    """Return a folder of backbone weights, which lies beside the films."""
    return _beside(nih_root, "weights")


def _beside(root: Path, name: str) -> Path:
    folder = root.parent / name
    if not folder.is_dir():
        pytest.skip(f"no folder {name} beside {root}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Let a test fail that would skip, where LUNGAL_REQUIRE_ALL=1 says that all is there."""
    report = yield
    all_is_there = os.environ.get("LUNGAL_REQUIRE_ALL") == "1"
    if all_is_there and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not skip here: {call.excinfo}"
    return report
