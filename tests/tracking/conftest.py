"""One migrated store per session, copied for each test: making one takes a second or two."""

import shutil
from pathlib import Path

import pytest

from cnnexp.tracking import store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.ensure_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(migrated: Path, tmp_path: Path) -> str:
    """A fresh store of the test's own, beside spaces and letters that URIs escape."""
    folder = tmp_path / "my work ü"
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"
