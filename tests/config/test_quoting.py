"""Paths and names arrive as they were typed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cnnexp.config.compose import compose, resolved, rewritten
from cnnexp.config.quoting import TEXTS, quoted
from cnnexp.config.sweep import check_sweep

NASTY = [
    "/tmp/é",
    "/tmp/a=b",
    "a(b",
    "a)b",
    "[0]",
    "[",
    "{a: 1}",
    "it's",
    'say "no"',
    "'one' and 'two'",
    "a#b",
    "two  spaces ",
    " in front",
    "a,b",
    "12345678",
    "1e123456",
    "0x1f",
    "1_000",
    "true",
    "inf",
    "~/pictures",
    "C:\\new\\table",
    "ends in \\",
    'a\\"b',
    "\\\\host\\share\\",
    "$HOME",
    "a:b",
    "日本/写真/*.jpg",
    "images/[a-c]*.{png,jpg}",
    "range(1,3)",
    "&;|<>!",
]


@pytest.mark.parametrize("value", NASTY)
def test_text_arrives_as_it_was_typed(value: str) -> None:
    keys = sorted(TEXTS - {"name"})  # what a name may be is validation's affair
    config = resolved(compose([f"{key}={value}" for key in keys]).config)
    assert [config["run"], config["input"]] == [value, value]
    assert config["dataset"]["root"] == config["tracking"]["uri"] == value
    place = os.path.expanduser(value)
    assert config["paths"] == {"outputs": place, "cache": place}


def typed() -> SearchStrategy[str]:
    letters = st.sampled_from(list("ab01e.\\\\\"''=,()[]{}:#~*?/ -_$é\t"))
    return st.text(letters, min_size=1, max_size=12)


@given(typed())
@example("\\")
@example('\\"')
@example("'")
@settings(max_examples=60, deadline=None)
def test_any_text(value: str) -> None:
    reads_quotes = value[0] in "'\"" and quoted(f"run={value}") == f"run={value}"
    if "${" in value or value == "???" or reads_quotes:  # they mean something else
        return
    line = quoted(f"run={value}")
    assert quoted(line) == line, "quoted once"
    # With Hydra's own reader: a whole config for each of them would take a quarter of a second.
    assert OverridesParser.create().parse_override(line).value() == value


@pytest.mark.parametrize(
    "line",
    [
        "run=null",
        "run=???",
        "run=",
        'run="a, b"',
        "input='a=b'",
        "name=${seed}",
        "name=plain",
        "+run=outputs/a/20260101-000000_aaaaaa",
        "seed=3",
        "model.widths=[[1],[2]]",
        "run",
        "~run",
    ],
)
def test_what_needs_no_quotes_stays(line: str) -> None:
    assert rewritten([line]) == [line]


def test_null_and_interpolations_keep_their_meaning() -> None:
    config = resolved(compose(["run=null", "input=${seed}", "seed=4", "++name='a'"]).config)
    assert (config["run"], config["input"], config["name"]) == (None, 4, "a")


def test_a_sweep_over_paths() -> None:
    assert rewritten(["run=12345678,/tmp/é, b"], sweep=True) == ['run="12345678","/tmp/é",b']
    assert rewritten(["name=choice(a,b)"], sweep=True) == ["name=choice(a,b)"]
    assert rewritten(["name='a,b'"], sweep=True) == ["name='a,b'"]
    assert rewritten(["name='a','b'"], sweep=True) == ["name='a','b'"]
    assert rewritten(["dataset.root=/tmp/(1)"], sweep=True) == ['dataset.root="/tmp/(1)"']


def test_a_sweep_is_checked_with_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("é=1", "12345678"):
        (tmp_path / name).mkdir()
    line = "dataset.root=é=1,12345678"
    given = check_sweep(["dataset=image_folder", line], None)
    assert given == ["dataset=image_folder", 'dataset.root="é=1","12345678"']


@pytest.mark.skipif(os.name == "nt", reason="a backslash separates folders there")
def test_a_config_folder_with_backslashes(tmp_path: Path) -> None:
    folder = tmp_path / 'a\\b \\\' "c" \\\\'
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "tiny.yaml").write_text("# Tiny.\n_target_: tiny.Tiny\n")
    config = resolved(compose(["model=tiny"], folder).config)
    assert config["model"] == {"_target_": "tiny.Tiny"}


def test_jobs_of_a_sweep_get_it_as_typed(
    run_main: Callable[..., tuple[int, str, str]], mine: Path, work: Path
) -> None:
    roots = ["é=(1", "it's #2", "1e5"]
    for name in roots:
        (work / name).mkdir()
    argv = ["dataset=image_folder", f"dataset.root={','.join(roots)}", "paths.outputs=[out] é"]
    code, out, err = run_main(
        "-m", "--config-dir", str(mine), "task=say", "model.dense=[512]", "seed=0", *argv
    )
    assert (code, err) == (0, "")
    assert out.count("job ") == 3
    said = json.loads((work / "said_0_512.json").read_text())  # of the last job
    assert (said["dataset"]["root"], said["paths"]["outputs"]) == ("1e5", "[out] é")
    assert (work / "[out] é" / "sweeps").is_dir()
