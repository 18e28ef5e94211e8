"""MLflow databases for tests: made once, which takes seconds, then copied."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lungal.tracking.connection import connect

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """URI of a fresh database in a folder with a space in its name."""
    path = tmp_path / "my project" / "mlruns" / "mlflow.db"
    path.parent.mkdir(parents=True)
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"
