"""A made run's folder -> its report, read as a browser would; no network is trained."""

import base64
import csv
import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from cnnexp.errors import InputError
from cnnexp.reporting import embedded_picture
from cnnexp.reporting.curves import learning_curves
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.run_report import report
from cnnexp.reporting.run_report.plan import schedules
from cnnexp.reporting.run_report.report import findings, write_report
from cnnexp.reporting.style import INK, house_style

EVIL, QUOTED = "<script>alert(1)</script>", "a \"quoted\" & 'name' é"


def history(first: int, count: int) -> list[dict[str, float]]:
    return [
        {"epoch": e, "train/loss": 1 / e, "val/loss": 1.1 / e, "train/accuracy": 0.8,
         "val/accuracy": 0.7 + e / 100, "lr": 0.1}
        for e in range(first, first + count)
    ]  # fmt: skip


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@house_style
def picture(title: str = "Maps") -> Picture:
    """An image with a number upon it, and a title beside it."""
    figure = Figure(figsize=(3, 2))
    figure.text(0.02, 0.9, "beside")
    axes = figure.add_axes((0.2, 0.2, 0.5, 0.5))
    axes.imshow(np.eye(4))
    axes.text(1.5, 1.5, "7", color=INK)
    axes.text(2.5, 2.5, "8", color="white")
    return Picture(
        figure, title=title, reading=f"Read {title}.", alt=f'what "{EVIL}" shows',
        numbers={"dead_channels": {"block1": 4}, "channels": {"block1": 16}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "20260102-030405_abcdef"
    folder.mkdir()
    config = {
        "overrides": ["experiment=mine", f"dataset.root=/photos/{QUOTED}", "seed=3"],
        "name": "mine", "seed": 3,
        "dataset": {"_target_": "cnnexp.datasets.image_folder.image_folder", "image_size": 32,
                    "batch_size": 16},
        "model": {"_target_": "cnnexp.models.baseline.baseline"},
        "augmentation": {"_target_": "cnnexp.augmentations.none.none"},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"},
        "trainer": {"max_epochs": None},
        "training": {"loss": "cross_entropy", "monitor": "val/accuracy"},
        "phases": {"head": {"trainable": ["head"], "epochs": 2, "lr_scale": 1.0},
                   "whole": {"trainable": "all", "epochs": 3, "lr_scale": 0.01}},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    tests = {"test/accuracy": 0.8, "test/loss": 0.5, "test/f1": 0.75}
    info = {
        "name": f"mine {EVIL}", "status": "FINISHED", "started": "2026-01-02T03:04:05+0000",
        "finished": "2026-01-02T03:14:35+0000", "classes": [EVIL, QUOTED],
        "data": {"name": "photos", "digest": "d" * 64}, "precision": "32-true",
        "environment": {"command": "python -m cnnexp", "python": "3.11.7", "cpu": "A CPU",
                        "usable_cores": 2, "memory_gib": 8.0, "gpus": {},
                        "packages": {"torch": "2.9"}, "git": {"commit": "c" * 40, "branch": "main",
                        "dirty": True, "diff": "1 file changed"}},
        "phases": {
            "head": {"frozen": {"normalize": "0", "block1": "1"}, "best_epoch": 2, "train_s": 60.0,
                     "history": history(1, 2), "test": {**tests, "test/accuracy": 0.6}},
            "whole": {"frozen": {"normalize": "0"}, "best_epoch": 5, "train_s": 65.0,
                      "history": history(3, 3), "test": tests},
        },
        "metrics": tests,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info))
    splits = [("path", "sha256", "class", "split")]
    for split, count in (("train", 20), ("validation", 5), ("test", 5)):
        splits += [
            (f"{split}/{c}/{i}", "0", c, split) for c in (EVIL, QUOTED) for i in range(count)
        ]
    write_csv(folder / "splits.csv", splits)
    left = [(f"bad/{i} {EVIL}.png", "empty file") for i in range(12)]
    write_csv(folder / "left_out.csv", [("path", "reason"), *left])
    write_csv(folder / "anatomy.csv", [
        ("layer", "kind", "kernel", "output", "parameters", "multiply-adds"),
        ("block1.0", "Conv2d", 3, "8x8x16", 1000, 50000),
        ("head.1", "Linear", "", "2", 30, 60),
    ])  # fmt: skip
    write_predictions(folder, [EVIL, QUOTED])
    write_csv(folder / "metrics.csv", [("step", "epoch", "metric", "value")])
    (folder / "log.txt").write_text(
        f"data      photos\n          note: {EVIL} is rare\nrun  x\n"
        "note      decoding photos: 26 images\n"
    )
    curves = learning_curves(history(1, 5))
    save_pictures({"learning_curves": curves, "maps": picture("Old")}, folder / "figures")
    save_pictures({"maps": picture("New"), "more": picture("More")}, folder / "visualization")
    return folder


def test_one_class_for_all_is_named_where_it_beats_guessing(folder: Path) -> None:
    lines = (folder / "predictions.csv").read_text().splitlines()
    (folder / "predictions.csv").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    text = Page(write_report(folder)).text
    assert "55.6%." in text  # five of the nine left
    assert "most frequent" not in text  # both are
    rows = [("path", "sha256", "class", "split")]
    rows += [(f"{i}", "0", EVIL if i else QUOTED, "train") for i in range(3)]
    write_csv(folder / "splits.csv", rows)
    assert "the most frequent class in training, 55.6%." in Page(write_report(folder)).text


def write_predictions(folder: Path, classes: list[str]) -> None:
    """Ten, of which the second and the tenth are wrong, the tenth with more confidence."""
    rows: list[Sequence[Any]] = [
        ("path", "index", "label", "prediction", *(f"p_{name}" for name in classes))
    ]
    for i in range(10):
        label, sure = i % 2, 0.95 if i == 9 else 0.7
        said = 1 - label if i in (1, 9) else label
        shares = [sure, 1 - sure] if said == 0 else [1 - sure, sure]
        rows.append((f"{QUOTED}/{i}.png", i, classes[label], classes[said], *shares))
    write_csv(folder / "predictions.csv", rows)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


class Page(HTMLParser):
    """tags: (name, attributes). text: what is read. rows: of all tables, cells' texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.rows: list[list[str]] = []
        self.skip = self.cell = False
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.skip = tag == "style"
        self.cell = tag in ("td", "th") or (self.cell and tag not in ("tr", "table"))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.skip = False
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if not self.skip:
            self.parts.append(data)
            if self.cell:
                self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def svg_of(attributes: dict[str, str]) -> str:
    kind, _, content = attributes["src"].partition(";base64,")
    assert kind == "data:image/svg+xml"
    return base64.b64decode(content).decode()


def test_the_result_and_how_it_came_about(folder: Path) -> None:
    path = write_report(folder)
    assert path == folder / "report.html"
    page = Page(path)
    assert "80.0% 8 of 10 test images were classified correctly." in page.text
    # Wilson, z = 1.96, by hand: (0.8 + 0.192 ± 1.96 sqrt(0.016 + 0.0096)) / 1.384
    assert "The 95% interval of the accuracy is 49.0% to 94.3%." in page.text
    assert "Guessing among 2 classes would give 50.0%." in page.text
    assert "python -m cnnexp experiment=mine" in page.text
    table = {row[0]: row[1:] for row in page.rows if row}
    assert table["training took"] == ["2 min 05 s"]
    assert table["the whole run took"] == ["10 min 30 s"]
    assert table["code"] == [
        "commit cccccccccccc of main, with changes not committed (1 file changed)"
    ]
    assert table["head"] == ["head", "30 of 1,030", "AdamW at 0.001", "1 to 2", "2", "1 min 00 s",
                             "0.6000", "0.5000", "✓ verified"]  # fmt: skip
    assert table["whole"] == ["all", "1,030 of 1,030", "AdamW at 0.001 × 0.01", "3 to 5", "5",
                              "1 min 05 s", "0.8000", "0.5000", ""]  # fmt: skip
    (images, scores) = (row[1:] for row in page.rows if row and row[0] == EVIL)
    assert images[:3] == ["20", "5", "5"]
    # All five found, and two of the others taken for it; Wilson: 5 / (5 + 1.96²).
    assert scores == ["5", "71.4%", "100%", "56.6% to 100%", "0.833", ""]
    assert table["total"][-2:] == ["1,030", "50,060"]
    assert "Left out: 12 files" in page.text
    assert sum("empty file" in row for row in page.rows) == 10
    assert "… and 2 more, listed in left_out.csv" in page.text
    assert f"{EVIL} is rare" in page.text
    assert "decoding" not in page.text
    mistakes = [row for row in page.rows if row and row[0].startswith(QUOTED)]
    assert [row[0] for row in mistakes[-2:]] == [f"{QUOTED}/9.png", f"{QUOTED}/1.png"]
    assert mistakes[-2][1:] == [QUOTED, EVIL, "95.0%", "5.0%"]
    assert "What the diagnosis noticed" in page.text
    assert "Too few steps" in [finding.title for finding in findings(folder)]
    assert "Dead channels" not in page.text


def test_dead_channels_of_a_run_that_began_with_weights(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"init_from": "outputs/earlier"}))
    page = Page(write_report(folder))
    assert "Dead channels" in [finding.title for finding in findings(folder)]
    assert "4 of 16 in block1" in page.text


def test_the_document_is_well_made(folder: Path) -> None:
    page = Page(write_report(folder))
    assert page.tags[0][0] == "html"
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a")]
    assert {link[1:] for link in links} <= set(ids)
    of_figures = ("#figure-", "#caption-")
    sections = [i for i in ids if not f"#{i}".startswith(("#h-", *of_figures))]
    assert sections == [link[1:] for link in links if not link.startswith(of_figures)]
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == 3
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    opened = [tag for tag, _ in page.tags if tag not in ("meta", "link", "img")]
    text = (folder / "report.html").read_text()
    for tag in set(opened):
        assert opened.count(tag) == text.count(f"</{tag}>"), tag


def test_text_from_files_is_text(folder: Path) -> None:
    page = Page(write_report(folder))
    assert not page.all("script")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert f'what "{EVIL}" shows' in [image["alt"] for image in page.all("img")]
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_the_newer_picture_stands_in_place_of_the_older(folder: Path) -> None:
    page = Page(write_report(folder))
    assert "Figure 1. Learning curves." in page.text
    assert "Figure 2. New." in page.text
    assert "Figure 3. More." in page.text
    assert "Old" not in page.text
    assert "Read New." in page.text


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


FILES = ["config.yaml", "run.json", "metrics.csv", "predictions.csv", "splits.csv", "left_out.csv",
         "anatomy.csv", "log.txt", "figures/pictures.json"]  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "figures", "visualization"])
def test_what_is_missing_is_left_out(folder: Path, name: str) -> None:
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
    else:
        (folder / name).unlink()
    page = Page(write_report(folder))
    assert "undefined" not in page.text.lower()
    assert len(page.all("h1")) == 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"\xff\x00[1]", b"[1, 2]", b'{"a": 1,', b"a,b\n1\n"])
def test_what_is_broken_is_left_out(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert "<h1>" in write_report(folder).read_text()


def test_a_strangers_run_json_of_other_types(folder: Path) -> None:
    info = json.loads((folder / "run.json").read_text())
    shutil.rmtree(folder / "figures")
    shutil.rmtree(folder / "visualization")
    for key in info:
        for value in (None, "x", 3, [1], {"a": [None]}, {"head": "x"}, {"head": {"history": [1]}}):
            (folder / "run.json").write_text(json.dumps({**info, key: value}))
            assert "<h1>" in write_report(folder).read_text(), (key, value)


def test_a_folder_that_is_no_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json and no config\.yaml"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_has_what_it_reached(folder: Path) -> None:
    info = json.loads((folder / "run.json").read_text())
    info["phases"] = {"head": {"frozen": {"normalize": "0", "block1": "1"}}}
    info |= {"status": "KILLED", "problem": "KeyboardInterrupt: ", "metrics": None}
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "predictions.csv").unlink()
    write_csv(folder / "metrics.csv", [
        ("step", "epoch", "metric", "value"), (5, 1, "val/loss", 0.9),
        (5, 1, "val/accuracy", 0.625), (9, 2, "val/loss", 0.8), (9, 2, "val/accuracy", 0.5),
        (12, 3, "lr", 0.1),
    ])  # fmt: skip
    page = Page(write_report(folder))
    assert "The run did not reach its end: KeyboardInterrupt" in page.text
    assert "After 2 epochs its best validation accuracy is 62.5%." in page.text
    table = {row[0]: row[1:] for row in page.rows if row}
    assert table["head"][3] == "1 to 2"
    assert table["head"][-1] == "not yet"
    assert table["whole"][3] == "not begun"


def test_house_colours_follow_the_theme_but_not_upon_images(tmp_path: Path) -> None:
    save_pictures({"maps": picture()}, tmp_path)
    text = (tmp_path / "maps.svg").read_text()
    # Drawn: "beside", then in the axes "7" and "8", and the ticks' labels.
    svg, width, height = embedded_picture.themed(text)
    assert (width, height) == (288, 192)  # 3 x 2 inches of 96
    assert "@media (prefers-color-scheme:dark)" in svg
    groups = dict(re.findall(r'<g id="(\w+)">\s*<g style="fill: ([^";]+)', svg))
    texts = re.findall(r'<g id="(text_\d+)">\s*<!-- (.+?) -->', text)
    colours = {said: groups[group] for group, said in texts if group in groups}
    assert colours["beside"] == "var(--ink)"
    assert colours["7"] == INK.lower()
    assert colours["8"] == "#ffffff"
    ground = re.search(r'id="patch_1">\s*<path[^>]*style="fill: ([^";]+)', svg)
    assert ground is not None
    assert ground[1] == "var(--paper)"


def test_an_svg_that_is_none_of_ours_or_too_large_gives_way_to_the_png(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = (
        '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><svg xmlns="http://www.w3.org/2000/svg">'
    )
    for text in ("", "no svg", "<svg/>", bomb, '<svg width="nanpt" height="3pt"/>'):
        (folder / "visualization" / "more.svg").write_text(text)
        found = embedded_picture.embed(folder / "visualization" / "more.png")
        assert found is not None
        assert found.source.startswith("data:image/png;base64,")
        assert not found.themed
        assert (found.width, found.height) == (288, 192)
    page = Page(write_report(folder))
    plates = [div["class"] for div in page.all("div") if div.get("class", "").startswith("plate")]
    assert plates == ["plate", "plate", "plate card"]
    monkeypatch.setattr(embedded_picture, "LARGE", 1000)
    found = embedded_picture.embed(folder / "visualization" / "maps.png")
    assert found is not None
    assert found.source.startswith("data:image/webp;base64,")
    (folder / "visualization" / "more.png").write_bytes(b"no png")
    assert embedded_picture.embed(folder / "visualization" / "more.png") is None
    assert "More" not in Page(write_report(folder)).text


def test_the_file_stays_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "visualization" / "noise.png")  # 4.3 MB
    assert write_report(folder).stat().st_size < 3_000_000
    monkeypatch.setattr(report, "MOST", 100_000)
    page = Page(write_report(folder))
    assert "Too large for this file: see visualization/noise.png" in page.text
    assert (folder / "report.html").stat().st_size < 150_000


def test_a_scripts_place_is_inside_an_image_alone(folder: Path) -> None:
    svg = folder / "visualization" / "more.svg"
    svg.write_text(svg.read_text().replace("</svg>", "<script>alert(1)</script></svg>"))
    page = Page(write_report(folder))
    assert not page.all("script")
    assert not page.all("svg")
    assert svg_of(page.all("img")[-1])  # <img> runs none, and the page's policy has none either


def test_names_in_pictures_json_open_no_other_file(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder.parent / "secret.png")
    words = folder / "figures" / "pictures.json"
    words.write_text(json.dumps({"../../secret": {"title": "Secret"}, "maps": 3}))
    assert "Secret" not in Page(write_report(folder)).text


def test_the_schedule_is_that_of_the_phases() -> None:
    config = {
        "scheduler": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"},
        "phases": {
            "a": {"scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}},
            "b": {},
            "c": {"scheduler": {"pct_start": 0.2}},
        },
    }
    assert schedules(config) == ["ReduceLROnPlateau", "OneCycleLR"]
    assert schedules({"scheduler": config["scheduler"]}) == ["OneCycleLR"]
