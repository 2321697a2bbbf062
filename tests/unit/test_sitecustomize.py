"""What happens in a worker before its first line, tried in processes of their own."""

import os
import subprocess
import sys

import pytest

from archive_builder import HANDLER, ROOT


def run(program: str, *options: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{HANDLER}{os.pathsep}{ROOT}"}
    result = subprocess.run(
        [sys.executable, *options, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_torchserves_worker_does_not_load_torch() -> None:
    # `ts/version.py` leaves a file open, which is not ours to mend.
    program = "import ts.model_service_worker, sys; print('torch.nn' in sys.modules)"
    assert run(program) == "False"


def test_what_the_worker_asks_of_our_answers_does_not_load_it() -> None:
    program = """
import sys
from ts.context import Context
from ts.protocol.otf_message_handler import create_predict_response
context = Context("m", "", {}, 2, None, "0.12.0")
from ts.context import RequestProcessor
context.request_processor = [RequestProcessor({}), RequestProcessor({})]
create_predict_response(["text", b"bytes"], {0: "a", 1: "b"}, "", 200, context)
print("torch.nn" in sys.modules)
"""
    assert run(program) == "False"


@pytest.mark.parametrize(
    "use",
    [
        "import torch; print(torch.ones(2).sum().item())",
        "import torch.nn; print(torch.nn.Linear(1, 1).eval()(torch.ones(2, 1)).shape[0] * 1.0)",
        "from torch import ones; print(ones(2).sum().item())",
        "import torchvision.models, torch; print(torch.ones(2).sum().item())",
    ],
)
def test_who_uses_torch_gets_it(use: str) -> None:
    assert run(use) == "2.0"


def test_all_other_modules_are_found_as_ever() -> None:
    program = """
import importlib.util, sys
assert importlib.util.find_spec("no_such_module") is None
import torchserve_messages, PIL, numpy
print(sys.modules["numpy"].__spec__.loader.__class__.__name__)
"""
    assert run(program) == "SourceFileLoader"


def test_without_torch_its_absence_is_told_as_ever() -> None:
    program = """
import sys
sys.path = [path for path in sys.path if "site-packages" not in path]
try:
    import torch
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(program) == "torch"
