"""run=: what it may name, and the folder that is meant where it names something near."""

from pathlib import Path

import pytest

from cnnexp.errors import InputError
from cnnexp.folders import run_folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("outputs/net/1_a/export/model.onnx", "is a file; .*: run=outputs/net/1_a$"),
        ("elsewhere.onnx", "is a file; name the folder of a run$"),
        ("outputs/net", "holds 1 run; name one: run=outputs/net/1_a$"),
        ("1_b", "no such folder"),
    ],
)
def test_what_is_no_run(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export = Path("outputs/net/1_a/export")
    export.mkdir(parents=True)
    for path in (export / "model.onnx", export.parent / "run.json", Path("elsewhere.onnx")):
        path.write_text("{}")
    config = {"run": name, "tracking": {}, "paths": {"outputs": "outputs"}}
    with pytest.raises(InputError, match=said):
        run_folder(config)
    assert run_folder({**config, "run": "a"}) == export.parent.absolute()
