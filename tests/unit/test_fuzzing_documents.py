"""Documents of millions of values, which would take a gigabyte: what the fuzzer found."""

import json
import os
import subprocess
import sys
import tracemalloc

import pytest

from archive_builder import HANDLER
from densenet_classifier.documents import MAX_VALUES, decode_base64, require_few_values
from densenet_classifier.errors import InvalidDocumentError
from tests.unit.asking import Headers
from torchserve_messages import read_request


def instances(unit: bytes, count: int) -> bytes:
    return b'{"instances": [' + b",".join([unit] * count) + b"]}"


@pytest.mark.parametrize("unit", [b"[]", b"{}", b'{"":1}', b"1", b'"QUJD"', b"[[]]"])
@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}])
def test_a_document_of_very_many_values_is_refused_undecoded(
    unit: bytes, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("it was decoded"))
    request = read_request({"body": instances(unit, MAX_VALUES)}, headers, "m")
    assert isinstance(request.error, InvalidDocumentError)
    assert f"more than {MAX_VALUES} values" in str(request.error)


def test_as_many_as_there_may_be_are_read() -> None:
    most = instances(b"1", MAX_VALUES - 1)
    require_few_values(most)
    with pytest.raises(InvalidDocumentError):
        require_few_values(most.replace(b"]", b",1]"))


def test_the_binary_data_behind_a_document_is_not_counted() -> None:
    tensor = {"shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 200_004}}
    head = json.dumps({"inputs": [tensor]}).encode()
    body = head + (200_000).to_bytes(4, "little") + b"," * 200_000
    request = read_request({"body": body}, {"Inference-Header-Content-Length": str(len(head))}, "m")
    assert request.error is None
    assert len(request.parts) == 1


@pytest.mark.parametrize("separator", ["\n", " ", "\r\n", "\t", "\x0b", "\x0c"])
def test_base64_may_be_broken_anywhere(separator: str) -> None:
    assert decode_base64(separator.join("QUJDRA==")) == b"ABCD"


def test_base64_broken_into_very_many_lines_takes_little_memory() -> None:
    text = "QU\n" * 1_000_000
    tracemalloc.start()
    try:
        assert len(decode_base64(text)) == 1_500_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(text)


def test_a_workers_torchserve_leaves_documents_undecoded() -> None:
    program = "import os; print(os.environ['TS_DECODE_INPUT_REQUEST'])"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TS_")}
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PYTHONPATH": str(HANDLER)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.strip() == "false"
