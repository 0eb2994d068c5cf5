"""What two images show of a network before a run begins: what fails, or would learn little."""

import copy
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnexp.config.instantiate import resolve
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError
from cnnexp.rehearsal import check_learns, try_out
from cnnexp.unsaved import same

DENSE = nn.Linear(48, 5)


def chain(**blocks: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(blocks))


class OfOne(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:1]


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (chain(flat=nn.Flatten(), head=DENSE), r"gives \(2, 5\) and not \(2, 4\); `outputs`"),
        (chain(head=nn.Conv2d(3, 4, 1)), r"gives \(2, 4, 4, 4\) and not \(2, 4\)"),
        (chain(one=OfOne(), flat=nn.Flatten(), head=nn.Linear(48, 4)), "one does not give as many"),
        (chain(block1=Twice(), head=DENSE), "block1 gives a tuple; .*one tensor"),
        (chain(flat=nn.Flatten(), head=Twice()), "head gives a tuple; .*one tensor"),
        (chain(flat=nn.Flatten(), head=nn.Linear(7, 4)), "head, given 48: .*mat1 and mat2"),
        (chain(block1=nn.Module(), head=DENSE), "block1, given 3x4x4: .*forward"),
    ],
)
def test_what_does_not_give_an_answer_for_each_image(network: nn.Sequential, said: str) -> None:
    network.train()
    with pytest.raises(InputError, match=rf"^model: .*{said}"):
        try_out(network, 4, 4)
    assert network.training


def test_layers_that_torch_does_not_know_are_refused() -> None:
    block = nn.Conv2d(3, 4, 1)
    block.layers = [nn.Conv2d(4, 4, 1)]
    network = chain(stem=block, flat=nn.Flatten(), head=nn.Linear(64, 5))
    with pytest.raises(InputError, match=r"stem\.layers is a list of layers.*an nn\.ModuleList"):
        try_out(network, 4, 5)
    block.layers = [block]  # known: a second name for it
    del block.layers
    block.shortcuts = {"a": network.head}
    try_out(network, 4, 5)


@pytest.mark.parametrize(("last", "outputs"), [(nn.Softmax(1), 4), (nn.Sigmoid(), 1)])
def test_probabilities_in_place_of_logits(last: nn.Module, outputs: int) -> None:
    """The loss squashes them itself: squashed twice, a network hardly learns, without an error."""
    head = nn.Sequential(nn.Flatten(), nn.Linear(48, outputs))
    check_learns(chain(head=head), 4)
    with pytest.raises(InputError, match="gives probabilities and not logits; leave out"):
        check_learns(chain(head=head.append(last)), 4)


class By(nn.Module):
    """A dense layer, and what `change` makes of its values; in training only: `training`."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], training: bool) -> None:
        super().__init__()
        self.dense, self.change, self.only_training = nn.Linear(48, 20), change, training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.dense(x)
        return self.change(values) if self.training or not self.only_training else values


@pytest.mark.parametrize(
    ("change", "training", "said"),
    [
        (functional.dropout, False, "head gives other values each time .* training=self.training"),
        (
            lambda x: x - x.mean(dim=0),
            False,
            "head gives .* other values alone than beside another: the",
        ),
        (
            torch.squeeze,
            False,
            "head gives .* beside another, of size 20, not 1x20: the",
        ),
        (lambda x: x.view(2, 20), False, "cannot take one image alone: head, given 48: .*invalid"),
        (lambda x: x @ x, True, "in training, head, given 48: .*shapes cannot be multiplied"),
        (
            lambda x: x.exp().mul_(2),
            True,
            "gradients of head cannot .*: .*inplace operation",
        ),
    ],
)
def test_answers_that_are_not_the_image_s_own_and_steps_that_fail(
    change: Callable[[torch.Tensor], torch.Tensor], training: bool, said: str
) -> None:
    network = chain(flat=nn.Flatten(), head=By(change, training))
    before = torch.get_rng_state()
    with pytest.raises(InputError, match=f"^model: .*{said}"):
        check_learns(network, 4)
    assert network.training
    assert torch.equal(before, torch.get_rng_state())
    check_learns(chain(flat=nn.Flatten(), head=By(functional.dropout, training=True)), 4)


class Hidden(nn.Module):
    """Layers where torch does not look, which are used."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        dense = nn.Linear(48, 5)
        self.parts = {
            "pairs": [(dense, nn.ReLU())],
            "nested": {"a": {"b": dense}},
            "function": lambda x: dense(x),
            "tensor": [torch.zeros(48, 5, requires_grad=True)],
        }[kind]
        self.kind, self.scale = kind, nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.scale * x
        if self.kind == "pairs":
            return self.parts[0][0](x)
        if self.kind == "nested":
            return self.parts["a"]["b"](x)
        return self.parts(x) if self.kind == "function" else x @ self.parts[0]


@pytest.mark.parametrize("kind", ["pairs", "nested", "function", "tensor"])
def test_weights_that_the_network_does_not_know(kind: str) -> None:
    sizes = "48x5" if kind == "tensor" else "(5, 5x48|5x48, 5)"
    with pytest.raises(InputError, match=rf"does not know as its own \({sizes}\), which"):
        check_learns(chain(flat=nn.Flatten(), head=Hidden(kind)), 4)


class Scaled(nn.Module):
    """A function of its own holds a weight that the network knows; a lock cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.lock = nn.Linear(48, 5), threading.Lock()
        self.norm = nn.BatchNorm1d(5)
        self.act = lambda x: self.norm(self.dense(x)).relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(x)


def test_what_is_tried_is_the_network_itself_and_it_stays_as_it_was() -> None:
    network = chain(flat=nn.Flatten(), head=Scaled())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_learns(network, 4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training


class Changed(nn.Module):
    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(x)


@pytest.mark.parametrize("change", [lambda x: x > 0, lambda x: x.long(), lambda x: x + 0j])
def test_values_that_are_no_floats(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    back = Changed(lambda x: x.real.float() if x.is_complex() else x.float())
    blocks = {"flat": nn.Flatten(), "change": Changed(change), "back": back}
    check_learns(chain(**blocks, head=nn.Linear(48, 5)), 4)
    broken = nn.Sequential(nn.Linear(48, 5), Changed(lambda x: x.exp().mul_(2)))
    with pytest.raises(InputError, match="the gradients of head cannot be computed"):
        check_learns(chain(**blocks, head=broken), 4)


class Sine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(48, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(30 * self.dense(x))


def test_networks_that_make_rounding_larger_are_fine() -> None:
    torch.manual_seed(0)
    blocks = {f"block{i}": Sine() for i in range(12)}
    check_learns(chain(flat=nn.Flatten(), **blocks, head=nn.Linear(48, 5)), 4)
    inside = nn.Sequential(*(Sine() for _ in range(6)))
    check_learns(chain(flat=nn.Flatten(), block=inside, head=nn.Linear(48, 5)), 4)
    checked = nn.Sequential(nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3))
    late = nn.Sequential(nn.Linear(48, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 5))
    check_learns(chain(norms=checked, flat=nn.Flatten(), head=late), 4)
    batch = nn.BatchNorm2d(3, track_running_stats=False)
    with pytest.raises(InputError, match=r"^model: norm gives an image other values alone"):
        check_learns(chain(norm=batch, flat=nn.Flatten(), head=DENSE), 4)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.gate = nn.Linear(48, 5), nn.Sequential(nn.Linear(48, 48), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x * self.gate(x))


def test_a_sigmoid_that_is_not_the_end_is_fine() -> None:
    check_learns(chain(flat=nn.Flatten(), head=Gated()), 4)


def test_images_that_are_too_small() -> None:
    """Larger ones pass: it is their size."""
    network = chain(
        block1=nn.Conv2d(3, 4, 3), block2=nn.Conv2d(4, 4, 5),
        pool=nn.AdaptiveMaxPool2d(1), flat=nn.Flatten(), head=nn.Linear(4, 2),
    )  # fmt: skip
    try_out(network, 7, 2)
    said = r"^dataset\.image_size=5: .*\(block2, given 4x3x3: .*larger images or fewer stages"
    with pytest.raises(InputError, match=said):
        try_out(network, 5, 2)


def test_the_line_of_a_persons_own_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(
        "import torch\n\nclass Halves(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.cat([x, x[:, :, 1:]], dim=1)\n"
    )
    allow_folder(tmp_path)
    network = chain(block1=resolve("halves.Halves")(), head=DENSE)
    with pytest.raises(InputError, match=r"block1, given 3x4x4, halves\.py line 5: Sizes"):
        try_out(network, 4, 5)


def test_what_a_block_raises_names_it() -> None:
    class Fails(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features.no_such_attribute

    with pytest.raises(AttributeError) as caught:
        try_out(chain(block1=nn.Conv2d(3, 4, 3), block2=Fails(), head=DENSE), 8, 2)
    assert caught.value.__notes__ == ["raised by block block2 of the network, given 4x6x6"]


class Keeps(nn.Module):
    """A layer with a value of its own that is no buffer. step: what a step makes of it and of what
    the layer is given; read: whether its answers depend on it.
    """

    def __init__(self, value: object, step: Callable[[Any, Any], Any], *, read: bool) -> None:
        super().__init__()
        self.dense, self.kept, self.step, self.read = nn.Linear(48, 4), value, step, read

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.kept = self.step(self.kept, x)
        kept = self.kept if self.read else 0.0
        if isinstance(kept, dict):
            kept = kept["seen"]
        return self.dense(x) + (sum(kept) if isinstance(kept, list | deque) else kept)


@pytest.mark.parametrize(
    ("value", "step", "read", "fine"),
    [
        (torch.zeros(4), lambda mean, x: 0.9 * mean + 0.1, True, False),
        (torch.zeros(4), lambda mean, x: mean.add_(1), True, False),
        (0, lambda count, x: count + 1, True, False),
        (0, lambda count, x: count + 1, False, True),  # looked at by nobody
        (torch.zeros(2, 4), lambda seen, x: x[:, :4].detach(), False, True),
        (0.5, lambda seen, x: len(x), False, True),
        (torch.ones(4), lambda scale, x: scale, True, True),
        (float("nan"), lambda limit, x: limit, False, True),
        (None, lambda cache, x: torch.ones(3), False, True),
        ([], lambda seen, x: [*seen, 1.0], True, False),
        ([2.0], lambda seen, x: seen.append(1.0) or seen, True, False),
        (deque([2.0], 1), lambda seen, x: seen.append(1.0) or seen, True, False),
        ({"seen": 0.5}, lambda seen, x: seen.update(seen=seen["seen"] + 1) or seen, True, False),
        ({"seen": torch.ones(4)}, lambda seen, x: seen, True, True),
        ([2.0], lambda seen, x: seen.append(1.0) or seen, False, True),
    ],
)
def test_what_a_step_changes_and_no_checkpoint_has(
    value: object, step: Callable[[Any, Any], Any], read: bool, fine: bool
) -> None:
    network = chain(flat=nn.Flatten(), head=Keeps(value, step, read=read))
    with nullcontext() if fine else pytest.raises(InputError, match=r"head\.kept changes with"):
        check_learns(network, 4)


def test_numbers_are_the_same_but_for_rounding() -> None:
    assert same(math.nan, math.nan)
    assert not same(math.nan, 1.0)
    assert same([0.1 + 0.2, "a"], [0.3, "a"])
    assert not same({"a": 1}, {"b": 1})
    assert not same(1, 1.0), "a count that became a mean"


class Root(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 1).sqrt()


def test_a_block_that_gives_no_numbers_is_named() -> None:
    network = chain(flat=nn.Flatten(), block1=Root(), head=nn.Linear(48, 4))
    with pytest.raises(InputError, match=r"model: block1 gives nan or inf: a division by 0"):
        check_learns(network, 4)


class Scattered(nn.Module):
    """Adds its channels to a float32 tensor, which bfloat16 cannot be added to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = functional.conv2d(x, torch.ones(3, 3, 1, 1))
        return torch.zeros(x.shape).index_add(1, torch.tensor([0, 1, 2]), values)


def test_what_fails_in_mixed_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnexp.training.precision._cpu_flags", lambda: {"avx512_bf16"})
    network = chain(block1=Scattered(), flat=nn.Flatten(), head=nn.Linear(48, 5))
    check_learns(network, 4)
    said = (
        r"^model: in mixed precision \(trainer\.precision=bf16-mixed\), block1, given 3x4x4.*: "
        r".*BFloat16.*; make tensors of the type of what they take .*\.precision=32-true$"
    )
    with pytest.raises(InputError, match=said):
        check_learns(network, 4, "bf16-mixed")
    check_learns(chain(flat=nn.Flatten(), head=nn.Linear(48, 5)), 4, "bf16-mixed")


class Unknown(nn.Module):
    """An operation that torch has for bfloat16 on no processor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.bfloat16:
            raise RuntimeError("\"det\" not implemented for 'BFloat16'")
        return x


def test_what_the_processor_lacks_a_gpu_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnexp.training.precision._cpu_flags", lambda: {"avx512_bf16"})
    network = chain(conv=nn.Conv2d(3, 3, 1), flat=nn.Flatten(), odd=Unknown(), head=DENSE)
    check_learns(network, 4, "bf16-mixed", "cuda")
    with pytest.raises(InputError, match=r"odd, given 48.*give that operation float32 \(values\.f"):
        check_learns(network, 4, "bf16-mixed")


class Shares(nn.Module):
    """Writes into the dictionary or list that another layer holds, too. read: and reads there."""

    def __init__(self, kept: Any, *, read: bool) -> None:
        super().__init__()
        self.kept, self.other, self.read = kept, nn.Identity(), read
        self.other.kept = kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.kept, dict):
            self.kept["seen"] = x
            return x + self.other.kept["seen"] if self.read else x
        self.kept[:] = [x]
        return x + self.other.kept[0] if self.read else x


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kept", [{}, []], ids=str)
def test_what_two_layers_hold_together_stays_so(
    kept: Any, read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnexp.training.precision._cpu_flags", lambda: {"avx512_bf16"})
    block = Shares(kept, read=read)
    network = chain(conv=nn.Conv2d(3, 3, 1), block=block, flat=nn.Flatten(), head=DENSE)
    check_learns(network, 4, "bf16-mixed")
    assert block.kept is block.other.kept is kept
    copy.deepcopy(network)  # as for each picture: torch copies no tensor that has gradients' past
