import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import DenseNet, densenet121, resnet18

from densenet_classifier.network import class_weights, count_classes, load_network
from densenet_classifier.weights import WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")

State = dict[str, torch.Tensor]


class Spy:
    """Writes a file when it is unpickled: what stands here could be any command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def expected(network_state: State, inputs: torch.Tensor) -> torch.Tensor:
    """What torchvision's own network computes with the same weights."""
    network = densenet121(weights=None, num_classes=5)
    network.load_state_dict(network_state)
    return logits(network.eval(), inputs)


def logits(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = network(inputs)
    return result


def old_names(state: State) -> State:
    """As in torchvision's published file, which is older than `norm1` and `num_batches_tracked`."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }


def test_logits_are_those_of_torchvisions_network(
    network_file: Path, inputs: torch.Tensor, expected: torch.Tensor
) -> None:
    torch.testing.assert_close(logits(load_network(network_file), inputs), expected)


def test_the_network_is_ready_for_inference(network_file: Path) -> None:
    network = load_network(network_file)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_old_key_names_of_torchvisions_file(
    path: Path, network_state: State, inputs: torch.Tensor, expected: torch.Tensor
) -> None:
    state = old_names(network_state)
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, path)
    torch.testing.assert_close(logits(load_network(path), inputs), expected)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64], ids=str)
def test_other_precisions_become_float32(
    kind: torch.dtype,
    path: Path,
    network_state: State,
    inputs: torch.Tensor,
    expected: torch.Tensor,
) -> None:
    halves = {k: v.to(kind) if v.is_floating_point() else v for k, v in network_state.items()}
    torch.save(halves, path)
    network = load_network(path)
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(network, inputs), expected, atol=0.05, rtol=0.05)


def test_the_old_file_format_of_torch(path: Path, network_state: State) -> None:
    torch.save(network_state, path, _use_new_zipfile_serialization=False)
    assert count_classes(load_network(path)) == 5


@pytest.mark.parametrize("classes", [1, 2, 1000])
def test_as_many_classes_as_the_file_has(path: Path, classes: int, network_state: State) -> None:
    head = {
        "classifier.weight": torch.zeros(classes, 1024),
        "classifier.bias": torch.zeros(classes),
    }
    torch.save(network_state | head, path)
    network = load_network(path)
    assert count_classes(network) == classes
    assert logits(network, torch.zeros(1, 3, 64, 64)).shape == (1, classes)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_code_in_the_file_is_refused_and_not_run(
    path: Path, tmp_path: Path, network_state: State, *, new_format: bool
) -> None:
    trace = tmp_path / "trace"
    content = network_state | {"spy": Spy(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match="weights_only=True"):
        load_network(path)
    assert not trace.exists()


def test_code_in_a_plain_pickle_is_refused_and_not_run(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path.write_bytes(pickle.dumps(Spy(trace), protocol=2))
    with pytest.raises(WeightsError, match="weights_only=True"):
        load_network(path)
    assert not trace.exists()


def test_the_spy_would_have_left_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Spy(trace)))  # noqa: S301
    assert trace.exists()


def test_a_whole_pickled_network_is_refused(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match="weights_only=True"):
        load_network(path)


@pytest.mark.parametrize(
    "content",
    # The last three drive torch's unpickler to IndexError and struct.error.
    [
        b"",
        b"hello world",
        b"<!DOCTYPE html><html>404</html>",
        b"PK\x03\x04",
        bytes(100),
        b"accuracy: 90",
        b"README",
        b"epoch,loss",
    ],
    ids=["empty", "text", "HTML", "zip", "zeros", "report", "name", "table"],
)
def test_a_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="weights_only=True"):
        load_network(path)


def test_a_truncated_file_is_refused(path: Path, network_file: Path) -> None:
    content = network_file.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="weights_only=True"):
        load_network(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(WeightsError, match=str(path)):
        load_network(path)


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(1)],
        torch.zeros(5, 1024),
        {},
        {"state_dict": {"classifier.weight": torch.zeros(5, 1024)}},
        {"classifier.weight": torch.zeros(5, 1024), "epoch": 3},
        {"classifier.weight": torch.zeros(5)},
        {"module.classifier.weight": torch.zeros(5, 1024)},
        {3: torch.zeros(1), "classifier.weight": torch.zeros(5, 1024)},
    ],
    ids=[
        "list", "tensor", "empty", "checkpoint", "with a number", "vector", "DataParallel",
        "number as key",
    ],
)  # fmt: skip
def test_what_is_no_state_dict_is_refused_with_advice(path: Path, content: object) -> None:
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"write it with torch\.save\(model\.state_dict"):
        load_network(path)


def test_weights_of_another_architecture_are_refused(path: Path) -> None:
    torch.save(resnet18(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match=r"no matrix 'classifier\.weight'"):
        load_network(path)


def test_weights_of_another_densenet_are_refused_with_the_first_reason(path: Path) -> None:
    other = DenseNet(growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16)
    torch.save(other.state_dict(), path)
    with pytest.raises(WeightsError, match="not a state_dict of DenseNet-121: Missing key") as got:
        load_network(path)
    assert "\n" not in str(got.value)


def test_a_missing_key_is_refused_by_name(path: Path, network_state: State) -> None:
    state = {key: value for key, value in network_state.items() if key != "features.conv0.weight"}
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"Missing key.*features\.conv0\.weight"):
        load_network(path)


def test_a_surplus_key_is_refused_by_name(path: Path, network_state: State) -> None:
    torch.save(network_state | {"head.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"Unexpected key.*head\.weight"):
        load_network(path)


def test_a_wrong_shape_is_refused_by_name(path: Path, network_state: State) -> None:
    torch.save(network_state | {"classifier.bias": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"size mismatch for classifier\.bias"):
        load_network(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_a_weight_that_is_no_finite_number_is_refused(
    path: Path, value: float, network_state: State
) -> None:
    spoiled = network_state["features.norm0.bias"].clone()
    spoiled[7] = value
    torch.save(network_state | {"features.norm0.bias": spoiled}, path)
    with pytest.raises(WeightsError, match="not finite"):
        load_network(path)


def test_the_class_weights_are_those_of_the_file(network_file: Path, network_state: State) -> None:
    found = class_weights(load_network(network_file))
    assert torch.equal(found, network_state["classifier.weight"])


def test_weights_come_to_the_cpu_wherever_they_were_saved(
    network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, asked = torch.load, []

    def load(path: Path, **arguments: Any) -> Any:
        asked.append(arguments)
        return genuine(path, **arguments)

    monkeypatch.setattr(torch, "load", load)
    load_network(network_file)
    assert asked == [{"map_location": "cpu", "weights_only": True}]


def test_whole_numbers_stay_whole(network_file: Path) -> None:
    buffers = load_network(network_file).named_buffers()
    kinds = {buffer.dtype for name, buffer in buffers if name.endswith("num_batches_tracked")}
    assert kinds == {torch.int64}
