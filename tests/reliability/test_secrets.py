"""Passwords and tokens, in the environment and in the store's address, stay where they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "s3cr3t-0f-th3-u53r"
SMALL = [
    "dataset=shapes", "dataset.images=40", "dataset.image_size=24", "dataset.batch_size=16",
    "model.widths=[[4],[4]]", "model.dense=[]", "name=small", "visualization=none",
    "trainer.max_epochs=1",
]  # fmt: skip
VARIABLES = (
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY", "SLURM_JWT", "PGPASSWORD", "GITHUB_TOKEN",
)  # fmt: skip
NOBODY = f"tracking.uri=http://alice:{SECRET}@127.0.0.1:9"


def cnnexp(folder: Path, *words: str) -> str:
    """What the command said, with all that libraries and a failure may say."""
    environment = {
        **os.environ, **dict.fromkeys(VARIABLES, SECRET), "CNNEXP_CACHE": str(folder / "cache"),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_LOGGING_LEVEL": "DEBUG",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "cnnexp", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def kept(folder: Path) -> list[Path]:
    """Files, and folders by their names, in which the secret lies."""
    return [
        path
        for path in folder.rglob("*")
        if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes())
    ]


def test_the_search_finds_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mlflow.db").write_bytes(b"\0" + SECRET.encode() + b"\0")
    assert kept(tmp_path) == [tmp_path / "a" / "mlflow.db"]


def test_of_the_environment(tmp_path: Path) -> None:
    """With a store that takes everything; below, what is said where none does."""
    said = cnnexp(tmp_path, *SMALL)
    assert said.startswith("0\n")
    assert SECRET not in said
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        [*SMALL],
        [*SMALL, "-m", "seed=0,1"],
        [*SMALL, "model=baselin"],
        ["task=doctor"],
        ["task=sync", "runs=[outputs]"],
    ],
    ids=" ".join,
)
def test_of_the_address_of_a_store(tmp_path: Path, words: list[str]) -> None:
    """One that nobody serves: every way to fail is gone."""
    said = cnnexp(tmp_path, *words, NOBODY)
    assert SECRET not in said
    assert kept(tmp_path) == []
