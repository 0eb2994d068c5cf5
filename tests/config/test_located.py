"""Slips in a file of one's own are told with the file and the line."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
HEAD = "# @package _global_\n# Photos.\ndefaults:\n  - override /dataset: image_folder\n"


@pytest.fixture
def said(run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "experiment").mkdir(parents=True)

    def answer(text: str, *typed: str) -> str:
        (tmp_path / "own" / "experiment" / "photos.yaml").write_text(text)
        code, _, err = run_main("--config-dir", "own", "experiment=photos", *typed)
        assert (code, err.count("\n")) == (2, 1)
        return err.removeprefix("error: ").rstrip()

    return answer


@pytest.mark.parametrize("typed", [["--cfg", "job"], ["-m", "seed=0,1"], []], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("training:\n  early_stoping: 5\n", 6, "early_stoping=5: unknown key; did you"),
        ("trainer:\n  early_stopping: 5\n", 6, "did you mean 'training.early_stopping'?"),
        ("optimizer:\n  lr: 0,001\n", 6, "optimizer.lr=0,001: must be a number greater"),
        ("dataset:\n  root:photos\n", 5, "dataset=root:photos: must be a mapping; a space follows"),
        ("model: lenet5\n", 5, "is chosen in its defaults: '- override /model: lenet5'"),
        ("default: []\n", 5, "did you mean 'defaults'?"),
    ],
)  # fmt: skip
def test_a_slip(
    text: str, line: int, words: str, typed: list[str], said: Callable[..., str]
) -> None:
    answer = said(HEAD + text, *typed)
    assert answer.startswith(f"own/experiment/photos.yaml, line {line}: ")
    assert words in answer
    assert "shell" not in answer


def test_another_file_is_not_blamed(
    run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose keys belong to its group, where this one's are at the top."""
    monkeypatch.chdir(tmp_path)
    for file, text in (
        ("net.py", "def net(image_size, outputs): ...\ndef pic(probe): ...\n"),
        ("model/net.yaml", "_target_: net.net\n"),
        ("visualization/pic.yaml", "# @package _global_\n# A picture.\n_target_: net.pic\n"),
    ):
        (tmp_path / "own" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / file).write_text(text)
    _, _, err = run_main("--config-dir", "own", "model=net", "visualization=[pic]")
    assert err.startswith("error: _target_=net.pic: unknown key")


def test_what_a_file_lacks(run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "net.yaml").write_text("# A network.\n")
    _, _, err = run_main("--config-dir", "own", "model=net")
    assert err.startswith("error: own/model/net.yaml: model")
    assert "is missing" in err


def test_a_slip_in_a_picture(
    run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "visualization").mkdir(parents=True)
    (tmp_path / "own" / "pics.py").write_text("def pic(probe, count: int = 3): ...\n")
    text = "# @package visualization.pic\n# A picture.\n_target_: pics.pic\ncuont: 4\n"
    (tmp_path / "own" / "visualization" / "pic.yaml").write_text(text)
    _, _, err = run_main("--config-dir", "own", "visualization=[gradcam,pic]")
    said = "error: own/visualization/pic.yaml, line 4: visualization.pic.cuont=4: unknown key; did"
    assert err.startswith(said)


@pytest.mark.parametrize("place", ["models/net.yaml", "model/net.yml"])
def test_a_file_that_lies_elsewhere(
    place: str, run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / place).parent.mkdir(parents=True)
    (tmp_path / "own" / place).write_text("_target_: net.net\n")
    code, _, err = run_main("--config-dir", "own", "model=net")
    assert (code, err.rstrip().endswith(f"; own/{place} belongs at own/model/net.yaml")) == (
        2,
        True,
    )


def test_what_was_typed_is_in_no_file(said: Callable[..., str]) -> None:
    text = HEAD + "training:\n  early_stopping: 5\n"
    answer = said(text, "training.early_stopping=six")
    assert answer.startswith("training.early_stopping=six: must be an integer")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  - model: lenet5\n  - override /optimizer: sgd\n", "'- override /model: lenet5'"),
        ("phases:\n  - a\n", "a list stands where keys must be"),
    ],
)
def test_what_hydra_refuses(text: str, words: str, said: Callable[..., str]) -> None:
    assert said(HEAD + text).startswith("experiment/photos.yaml: ")
    assert words in said(HEAD + text)


def test_files_that_were_not_chosen_do_not_matter(
    run_main: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "half.yaml").write_text("name: half\n")
    assert run_main("--config-dir", "own", "--cfg", "job")[0] == 0
    code, _, err = run_main("--config-dir", "own", "experiment=half", "--cfg", "job")
    assert (code, "half.yaml: its first line must be '# @package _global_'" in err) == (2, True)
    latin = "# @package _global_\n# f\u00fcr alle\nname: half\n".encode("latin-1")
    (tmp_path / "own" / "experiment" / "half.yaml").write_bytes(latin)
    code, _, err = run_main("--config-dir", "own", "experiment=half", "--cfg", "job")
    assert (code, "half.yaml, line 2: save the file as UTF-8" in err) == (2, True)


@pytest.mark.parametrize("typed", ["seed=abc", "name=a/b", "training={mixup:-1}"])
def test_a_typed_key_is_not_blamed_on_the_file(typed: str, said: Callable[..., str]) -> None:
    text = HEAD + "name: photos\nseed: 1\ntraining:\n  mixup: 0.0\n"
    assert not said(text, typed).startswith("own/")
