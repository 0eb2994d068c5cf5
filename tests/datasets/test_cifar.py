"""CIFAR's official form, with tiny batches written opcode by opcode as Python 2 wrote them."""

import gzip
import io
import logging
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cnnexp.datasets.cifar10 import cifar10
from cnnexp.errors import InputError

RNG = np.random.default_rng(0)
NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship"]
NAMES.append(b"truck")
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
ROWS = {name: RNG.integers(0, 256, (4, 3072), dtype=np.uint8) for name in BATCHES}
LABELS = {name: RNG.integers(0, 10, 4).tolist() for name in BATCHES}


def op(value: object) -> bytes:
    """One value in the opcodes of Python 2's pickle, protocol 2."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(op, value)) + b"t"
        case list():
            return b"](" + b"".join(map(op, value)) + b"e"
        case dict():
            return b"}(" + b"".join(op(k) + op(v) for k, v in value.items()) + b"u"
        case np.ndarray():
            dtype = b"cnumpy\ndtype\n" + op((value.dtype.str[1:].encode(), 0, 1)) + b"R"
            dtype += op((3, b"|", None, None, None, -1, -1, 0)) + b"b"
            empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            empty += op((0,)) + op(b"b") + b"tR"
            state = op(1) + op(value.shape) + dtype + op(False) + op(value.tobytes())
            return empty + b"(" + state + b"tb"
    raise TypeError(type(value))


def pickled(value: object) -> bytes:
    return b"\x80\x02" + op(value) + b"."


def batch(name: str) -> dict:
    return {b"batch_label": b"x", b"labels": LABELS[name], b"data": ROWS[name], b"filenames": []}


def files() -> dict[str, bytes]:
    meta = {b"num_cases_per_batch": 4, b"label_names": NAMES, b"num_vis": 3072}
    return {name: pickled(batch(name)) for name in BATCHES} | {"batches.meta": pickled(meta)}


def folder(root: Path, contents: dict[str, bytes]) -> Path:
    root.mkdir(parents=True)
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


def archive(path: Path, contents: dict[str, bytes], top: str = "cifar-10-batches-py/") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def check(root: Path) -> None:
    source = cifar10(root)
    assert source.classes == tuple(name.decode() for name in NAMES)
    assert len(source.paths) == len(set(source.paths)) == 24
    assert source.labels.tolist() == [label for name in BATCHES for label in LABELS[name]]
    assert source.given is not None
    assert source.given.tolist() == [""] * 20 + ["test"] * 4
    for i in range(24):
        image = source.read(i)
        assert isinstance(image, np.ndarray)
        row = ROWS[BATCHES[i // 4]][i % 4]
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        for y, x, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (17, 5, 1)):
            assert image[y, x, channel] == row[1024 * channel + 32 * y + x]


def test_folder(tmp_path: Path) -> None:
    check(folder(tmp_path / "cifar-10-batches-py", files()))
    check(tmp_path)


def test_archive_and_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cnnexp"):
        check(archive(tmp_path / "cifar-10-python.tar.gz", files()))
    assert "md5" in caplog.text
    check(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


def test_batches_that_python3_wrote(tmp_path: Path) -> None:
    contents = {name: pickle.dumps(batch(name), protocol=2) for name in BATCHES}
    check(folder(tmp_path / "batches", contents | {"batches.meta": files()["batches.meta"]}))


def test_cifar100_has_fine_labels(tmp_path: Path) -> None:
    names = [f"class{i:02d}".encode() for i in range(100)]
    rows = ROWS["test_batch"]
    part = {b"data": rows, b"fine_labels": [99, 0, 5, 7], b"coarse_labels": [1, 1, 1, 1]}
    contents = {"train": part, "test": part, "meta": {b"fine_label_names": names}}
    folder(tmp_path / "cifar-100-python", {k: pickled(v) for k, v in contents.items()})
    source = cifar10(tmp_path, variant="cifar100")
    assert len(source.classes) == 100
    assert source.labels.tolist() == [99, 0, 5, 7] * 2
    assert source.given is not None
    assert source.given.tolist() == [""] * 4 + ["test"] * 4


def test_fingerprint_follows_the_pixels(tmp_path: Path) -> None:
    one = cifar10(folder(tmp_path / "a", files())).fingerprint
    assert cifar10(archive(tmp_path / "cifar-10-python.tar.gz", files())).fingerprint == one
    other = batch("test_batch") | {b"data": ROWS["test_batch"] ^ np.uint8(1)}
    contents = files() | {"test_batch": pickled(other)}
    assert cifar10(folder(tmp_path / "b", contents)).fingerprint != one


class Evil:
    def __reduce__(self) -> tuple:
        return eval, ("open('owned', 'w').write('x')",)


def global_(module: str, name: str, *arguments: object) -> bytes:
    return f"c{module}\n{name}\n".encode() + op(tuple(arguments)) + b"R"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Evil(), protocol=2), "eval"),
        (pickle.dumps({b"data": Evil()}), "eval"),
        (b"\x80\x02" + global_("os", "system", b"touch owned") + b".", "os.system"),
        (b"\x80\x02" + global_("numpy", "load", b"x") + b".", "numpy.load"),
        (b"\x80\x02" + global_("numpy.core.multiarray", "scalar") + b".", "scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "ndarray.tofile"),
        (b"\x80\x02P1\n.", "outside itself"),
        (pickled([1, 2]), "list"),
        (pickled({}), "data"),
        (pickled(batch("test_batch") | {b"data": 5}), "data"),
        (pickled(batch("test_batch") | {b"data": ROWS["test_batch"][:, :99]}), "3072"),
        (pickled(batch("test_batch") | {b"data": ROWS["test_batch"].astype(np.int64)}), "bytes"),
        (pickled(batch("test_batch") | {b"labels": [0, 1, 2]}), "4 labels"),
        (pickled(batch("test_batch") | {b"labels": [0, 1, 2, 10]}), "0..9"),
        (pickled(batch("test_batch") | {b"labels": [0, 1, 2, -1]}), "0..9"),
        (pickled(batch("test_batch") | {b"labels": [0, 1, 2, True]}), "no numbers"),
        (files()["test_batch"][:2000], "not an official"),
        (b"", "not an official"),
        (b"<html>not found</html>", "not an official"),
        (b"\x80\x02}r\xff\xff\xff\x3f.", "more room than"),  # wants a memo of a billion entries
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 34) + b".", "more room than"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 34) + b"abc.", "but only 4 remain"),
        (b"\x80\x02(" + b"]" * 2_000_001 + b"l.", "more room than"),
    ],
)
def test_bad_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    root = folder(tmp_path / "batches", files() | {"test_batch": content})
    with pytest.raises(InputError) as caught:
        cifar10(root)
    message = str(caught.value)
    assert words in message
    assert "test_batch" in message
    assert str(root) in message
    assert "\n" not in message
    assert not (tmp_path / "owned").exists()


def refusal(words: list[str], **options: object) -> None:
    with pytest.raises(InputError) as caught:
        cifar10(**options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_errors(tmp_path: Path) -> None:
    refusal(["dataset.root", "cifar-10-python.tar.gz"], root=tmp_path / "nowhere")
    refusal(["dataset.root", "data_batch_1"], root=tmp_path)
    refusal(["dataset.download=false", str(tmp_path)], cache=tmp_path, download=False)
    contents = files()
    del contents["data_batch_3"]
    part = folder(tmp_path / "part", contents)
    refusal(["data_batch_3"], root=part)
    refusal(["one of the files", f"dataset.root={part}"], root=part / "data_batch_1")
    (tmp_path / "page.tar.gz").write_bytes(b"<html>")
    refusal(["page.tar.gz", "not CIFAR's archive, a whole tar.gz"], root=tmp_path / "page.tar.gz")
    whole = archive(tmp_path / "cut.tar.gz", files()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    refusal(["cut.tar.gz: ", "download it again"], root=tmp_path / "cut.tar.gz")


def test_links_in_the_archive_are_not_followed(tmp_path: Path) -> None:
    contents = files()
    del contents["data_batch_5"]
    path = archive(tmp_path / "links.tar.gz", {})
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("data_batch_5")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refusal(["data_batch_5"], root=path)


def member(kind: bytes, size: int, **pax: str) -> bytes:
    """A header, which may say of itself what is not so."""
    found = tarfile.TarInfo("data_batch_1")
    found.type, found.size, found.pax_headers = kind, size, pax
    return found.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (member(tarfile.GNUTYPE_LONGNAME, 6 << 30), "a name of 6,442,450,944 bytes"),
        (member(tarfile.XHDTYPE, 1 << 30), "a name of 1,073,741,824 bytes"),
        (member(tarfile.GNUTYPE_LONGNAME, 512) * 2000, "recursion"),
        (member(tarfile.REGTYPE, 512, **SPARSE) + b"1\n" * 256, "a sparse file"),
        (member(tarfile.GNUTYPE_SPARSE, 512), "a sparse file"),
        (member(tarfile.DIRTYPE, 0) * 1001, "more than 1,000 files"),
    ],
)
def test_archives_that_would_fill_the_memory(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(content + bytes(10240)))
    refusal(["is not CIFAR's archive", words], root=path)
