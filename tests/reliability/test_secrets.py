"""Passwords and tokens, in the environment and in the store's address, stay where they are."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

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
# Of folders and the commands in each, one after the other; what a command ends with.
COMMANDS = """
import json, os, sys
from cnnexp.__main__ import main
for folder, commands in json.loads(sys.argv[1]).items():
    os.mkdir(folder)
    for words in commands:
        os.environ["CNNEXP_CACHE"] = os.path.join(folder, "cache")
        os.chdir(folder)
        print("ends with", main(words), flush=True)
"""


def said(folder: Path, *words: str) -> str:
    """By Python, with all that libraries and a failure may say."""
    done = python(folder, *words, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_LOGGING_LEVEL="DEBUG")
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def python(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, **dict.fromkeys(VARIABLES, SECRET), "CNNEXP_CACHE": str(folder / "cache"),
        **variables,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip


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
    """`python -m cnnexp` with a store that takes all; below, what is said where none does."""
    done = python(tmp_path, "-m", "cnnexp", *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "next" in done.stdout
    assert SECRET not in done.stdout
    assert (tmp_path / "mlflow.db").is_file()
    assert len(list((tmp_path / "outputs" / "small").iterdir())) == 1
    assert kept(tmp_path) == []


def test_of_the_address_of_a_store(tmp_path: Path) -> None:
    """One that nobody serves: every way to fail is gone."""
    folders = {
        "run": [[*SMALL, NOBODY]],
        "sweep": [[*SMALL, "-m", "seed=0,1", NOBODY]],
        "misspelt": [[*SMALL, "model=baselin", NOBODY]],
        "doctor": [["task=doctor", NOBODY]],
        "sync": [[*SMALL, "tracking=none"], ["task=sync", "runs=[outputs]", NOBODY]],
    }
    typed = {str(tmp_path / name): commands for name, commands in folders.items()}
    told = said(tmp_path, "-c", COMMANDS, json.dumps(typed))
    assert re.findall("ends with (.*)", told) == ["2", "1", "2", "1", "0", "2"]
    assert told.count("no MLflow server answers at http://***@127.0.0.1:9") >= 4
    assert SECRET not in told
    assert kept(tmp_path) == []
