"""Weight files: what is found, what is read, what is refused, and what a download leaves."""

import hashlib
import http.server
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from cnnexp.errors import InputError
from cnnexp.models import timm as timm_file
from cnnexp.models.timm import timm as timm_model
from cnnexp.models.torchvision import torchvision as torchvision_model
from cnnexp.models.weights import cached_file, few, load_weights, read_weights

WEIGHTS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -1.0])}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_floats_become_float32_and_counters_stay(tmp_path: Path, suffix: str) -> None:
    content = {"half": torch.tensor([0.5, 2.0]).half(), "count": torch.tensor(3)}
    path = tmp_path / f"x{suffix}"
    save_file(content, path) if suffix == ".safetensors" else torch.save(content, path)
    found = read_weights(path)
    assert (found["half"].dtype, found["half"].tolist()) == (torch.float32, [0.5, 2.0])
    assert (found["count"].dtype, found["count"].item()) == (torch.int64, 3)


class Leaves:
    """Pickled code: loading it without care would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_in_a_file_is_executed(tmp_path: Path, protocol: int) -> None:
    trace, path = tmp_path / "executed", tmp_path / "evil.pth"
    torch.save({"weight": torch.zeros(1), "x": Leaves(trace)}, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"evil\.pth: is damaged, or holds more than tensors"):
        read_weights(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "without care it is executed: the test could fail"


def broken_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of a file -> a part of the answer."""
    torch.save(WEIGHTS, folder / "whole.pth")
    whole = (folder / "whole.pth").read_bytes()
    save_file(WEIGHTS, folder / "whole.safetensors")
    contents = {
        "noise.pth": (os.urandom(500), "is damaged"),
        "noise.safetensors": (os.urandom(500), "is damaged"),
        "empty.pth": (b"", "is damaged"),
        "empty.safetensors": (b"", "is damaged"),
        "half.pth": (whole[: len(whole) // 2], "is damaged"),
        "half.safetensors": ((folder / "whole.safetensors").read_bytes()[:-8], "is damaged"),
        "page.pth": (b"<!DOCTYPE html><html>404</html>", "is damaged"),
        "wrong.safetensors": (whole, "is damaged"),
    }
    for name, (content, answer) in contents.items():
        (folder / name).write_bytes(content)
        yield name, answer
    with zipfile.ZipFile(folder / "zip.pth", "w") as archive:
        archive.writestr("readme", "no weights")
    yield "zip.pth", "is damaged"
    torch.save(nn.Linear(2, 2), folder / "module.pth")
    yield "module.pth", "holds more than tensors"
    torch.save([torch.zeros(1)], folder / "list.pth")
    yield "list.pth", "holds no weights by name but a list"
    torch.save({}, folder / "nothing.pth")
    yield "nothing.pth", "holds no weights by name"
    torch.save({"epoch": 3, "state_dict": WEIGHTS}, folder / "checkpoint.pth")
    yield "checkpoint.pth", "holds more than weights: epoch, state_dict"
    torch.save({"weight": torch.tensor([1.0, float("nan")])}, folder / "nan.pth")
    yield "nan.pth", "no numbers, in weight"
    (folder / "folder.pth").mkdir()
    yield "folder.pth", "is a folder"
    yield "whole.pht", "no such file; did you mean 'whole.pth'?"
    yield "imagnet", "did you mean 'imagenet'?"


def test_no_weight_file_is_one_line(tmp_path: Path) -> None:
    for name, answer in broken_files(tmp_path):
        with pytest.raises(InputError) as caught:
            read_weights(tmp_path / name)
        text = str(caught.value)
        assert text.startswith(f"model.weights={tmp_path / name}: "), name
        assert answer in text, name
        assert "\n" not in text, name
        assert "weights_only=False" not in text, "torch's advice to run the code"


def test_what_is_left_out_may_be_there_or_not() -> None:
    network = nn.ModuleDict({"base": nn.BatchNorm1d(3), "fc": nn.Linear(3, 2)})
    before = network.fc.weight.clone()
    given = {"base.weight": torch.full((3,), 7.0), "base.bias": torch.zeros(3),
             "base.running_mean": torch.ones(3), "base.running_var": torch.ones(3)}  # fmt: skip
    load_weights(network, given, "x.pth", "net", without=["fc"])
    load_weights(network, given | {"fc.weight": torch.zeros(9, 9)}, "x.pth", "net", without=["fc"])
    assert network.base.weight.tolist() == [7.0, 7.0, 7.0]
    assert torch.equal(network.fc.weight, before)
    with pytest.raises(InputError, match=r"does not fit net: missing fc\.weight, fc\.bias$"):
        load_weights(network, given, "x.pth", "net")


def test_few() -> None:
    assert few(["a", "b", "c"]) == "a, b, c"
    assert few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the server's content, and closes after `cut` bytes."""

    def do_GET(self) -> None:
        content, cut = self.server.content, self.server.cut
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.cut, server.asked = os.urandom(100_000), None, 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_of(server: Any, content: bytes) -> str:
    """As the library names its files: a part of the hash is in the name."""
    digest = hashlib.sha256(content).hexdigest()
    return f"http://127.0.0.1:{server.server_port}/models/net-{digest[:8]}.pth"


def test_downloaded_once(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = url_of(server, server.content)
    path = cached_file(url)
    assert path == tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    assert path.read_bytes() == server.content
    assert cached_file(url) == path
    assert server.asked == 1


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts."""
    monkeypatch.setattr("cnnexp.data.download.time.sleep", lambda _: None)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("kind", "left"), [("interrupted", [".part"]), ("another file", [])])
def test_no_half_of_a_download_is_taken(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: list[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    whole = server.content
    url = url_of(server, whole)
    if kind == "interrupted":
        server.cut = 50_000
    else:
        server.content = b"<html>log in to the network first</html>"
    with pytest.raises(InputError, match="cannot download") as caught:
        cached_file(url)
    folder = tmp_path / "hub" / "checkpoints"
    assert [p.suffix for p in folder.iterdir() if p.stat().st_size] == left
    assert str(folder / url.rpartition("/")[2]) in str(caught.value)
    server.cut, server.content = None, whole
    assert cached_file(url).read_bytes() == whole, "and the next attempt succeeds"


@pytest.mark.usefixtures("no_waiting")
def test_no_network_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError) as caught:
        cached_file("http://127.0.0.1:9/net-01234567.pth")  # the discard port: nobody listens
    text = str(caught.value)
    for part in ("model.weights=imagenet", "http://127.0.0.1:9/net-01234567.pth",
                 str(tmp_path / "home" / "hub" / "checkpoints" / "net-01234567.pth"),
                 "model.weights=<path>", "scripts/prefetch.py"):  # fmt: skip
        assert part in text
    assert "\n" not in text


def test_no_room_for_weights_names_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub").write_text("a file where the folder should be")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"model.weights=imagenet: cannot write .* set TORCH_HOME"):
        cached_file("http://127.0.0.1:9/net-01234567.pth")


def test_every_torchvision_file_can_be_checked() -> None:
    """The name of each holds a part of its hash."""
    for name in torchvision.models.list_models(module=torchvision.models):
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        assert re.fullmatch(r"[0-9a-f]{8,}\.pth", url.rpartition("-")[2]), url


def test_torchvision_says_what_does_not_fit(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(InputError, match=r"does not fit mobilenet_v2: missing features\.0.* more"):
        torchvision_model(64, 2, name="mobilenet_v2", weights=str(tmp_path / "resnet.pth"))


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("timm", reason="needs timm: pip install 'cnnexp[timm]'")


def test_timm_from_the_hubs_cache(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As huggingface_hub lays it out; with a last layer of 1000 classes, and without a network."""
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    name = "test_resnet"
    theirs = library.create_model(name)
    repository = library.models.get_pretrained_cfg(name).hf_hub_id
    place = tmp_path / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    file = place / "snapshots" / ("0" * 40) / "model.safetensors"
    save_file(theirs.state_dict(), file)
    ours = timm_model(64, 5, name=name)
    assert torch.equal(ours.layer2[0].conv1.weight, theirs.layer2[0].conv1.weight)
    config = theirs.pretrained_cfg
    assert ours.normalize.mean.flatten().tolist() == pytest.approx(list(config["mean"]))
    assert ours.normalize.std.flatten().tolist() == pytest.approx(list(config["std"]))
    assert ours(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    # 1000 classes again: the last layer is a new one all the same.
    again = timm_model(64, 1000, name=name)
    assert not torch.equal(again.head.fc.weight, theirs.fc.weight)


def test_timm_fits_positions_to_other_images(library: Any, tmp_path: Path) -> None:
    theirs = library.create_model("vit_tiny_patch16_224", num_classes=2)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    ours = timm_model(96, 3, name="vit_tiny_patch16_224", weights=str(tmp_path / "vit.pth"))
    assert ours(torch.rand(2, 3, 96, 96)).shape == (2, 3)
    assert torch.equal(ours.blocks_3.attn.qkv.weight, theirs.blocks[3].attn.qkv.weight)


def test_timm_takes_a_base_alone(library: Any, tmp_path: Path) -> None:
    theirs = library.create_model("test_resnet", num_classes=0)
    torch.save(theirs.state_dict(), tmp_path / "base.pth")
    ours = timm_model(64, 3, name="test_resnet", weights=str(tmp_path / "base.pth"))
    assert torch.equal(ours.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)


@pytest.mark.parametrize("classes", [3, 1000])
def test_timm_says_what_does_not_fit(library: Any, tmp_path: Path, classes: int) -> None:
    """Also where timm itself would load what fits and be silent about the rest."""
    weights = library.create_model("test_resnet", num_classes=classes).state_dict()
    weights["foo"] = weights.pop("layer1.0.conv1.weight")
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(InputError) as caught:
        timm_model(64, 3, name="test_resnet", weights=str(tmp_path / "x.pth"))
    assert str(caught.value) == (
        f"model.weights={tmp_path / 'x.pth'}: does not fit test_resnet: "
        "missing layer1.0.conv1.weight; unexpected foo"
    )


def test_timm_without_network(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_, **__: "http://127.0.0.1:9/model.safetensors")
    with pytest.raises(InputError) as caught:
        timm_model(64, 3, name="convnext_atto")
    for part in ("model.weights=imagenet", "http://127.0.0.1:9/", "model.weights=<path>", "HF_HOME",
                 "scripts/prefetch.py"):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("convnext_tinny", "did you mean 'convnext_tiny'?"),
        ("resnet50.a1_in2k", "did you mean 'resnet50.a1_in1k'?"),
        ("hf-hub:someone/something", "timm has no such model"),
    ],
)
def test_timm_unknown_names(library: Any, name: str, answer: str) -> None:
    with pytest.raises(InputError) as caught:
        timm_model(64, 3, name=name, weights=None)
    assert str(caught.value).startswith(f"model.name={name}: ")
    assert answer in str(caught.value)


def test_timm_network_without_weights(library: Any) -> None:
    names = [n for n in library.list_models("convnext*") if not library.list_pretrained(f"{n}.*")]
    with pytest.raises(InputError, match=f"timm has no weights for {names[0]}; use model.weights"):
        timm_model(64, 3, name=names[0])


@pytest.mark.parametrize(
    ("name", "size", "use"), [("nest_tiny", 100, 224), ("levit_128s", 50, 224)]
)
def test_timm_size_that_does_not_suit(library: Any, name: str, size: int, use: int) -> None:
    """The one cannot be built for it, the other cannot be run."""
    with pytest.raises(InputError) as caught:
        timm_model(size, 3, name=name, weights=None)
    text = str(caught.value)
    assert text.startswith(f"dataset.image_size={size}: {name} cannot ")
    assert text.endswith(f"; use {use}")
    assert "\n" not in text


def test_timm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name.partition('.')[0]}'")

    monkeypatch.setattr(timm_file.importlib, "import_module", missing)
    with pytest.raises(InputError) as caught:
        timm_model(64, 3)
    assert str(caught.value) == "model=timm: No module named 'timm'; pip install 'cnnexp[timm]'"
