import json

import pytest

from archive_builder.command import CommandError
from server_control.management import Worker, ask, call, describe, scale
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import FakeTorchServe, configuration, version, write_keys
from tests.unit.local_http import Answer, refusing, serving


def test_model_is_described(runtime: Runtime) -> None:
    fake = FakeTorchServe(runtime, [version("READY", "UNLOADING", wanted=3)])

    with serving(fake) as server:
        (model,) = describe(configuration(server.url), runtime)

    assert (model.name, model.version, model.archive) == ("m", "1.0", "m.mar")
    assert model.is_default
    assert (model.wanted, model.ready) == (3, 1)
    assert (model.pending, model.capacity) == (3, 100)
    assert model.workers[0] == Worker("9000", 4_194_304, "READY", "2026-01-01T00:00:00.000Z", "")


def test_worker_on_a_gpu_says_so(runtime: Runtime) -> None:
    described = version("READY")
    described["workers"][0] |= {"gpu": True, "gpuUsage": "gpuId::0"}

    with serving(FakeTorchServe(runtime, [described])) as server:
        (model,) = describe(configuration(server.url), runtime)

    assert model.workers[0].gpu == "gpuId::0"


def test_default_version_comes_first(runtime: Runtime) -> None:
    versions = [version("READY", number="2.0"), version("READY", number="1.0")]
    everything = Answer(json.dumps(versions[::-1]).encode())
    default = Answer(json.dumps(versions[:1]).encode())

    with serving(lambda each: everything if each.path.endswith("/all") else default) as server:
        models = describe(configuration(server.url), runtime)

    assert [(model.version, model.is_default) for model in models] == [
        ("2.0", True),
        ("1.0", False),
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b"[1]", b"[{}]", b"null", b"[{}, {}]"]
)
def test_answer_of_another_server_is_an_error(runtime: Runtime, answer: bytes) -> None:
    with (
        serving(lambda _: Answer(answer)) as server,
        pytest.raises(CommandError, match="is that TorchServe"),
    ):
        describe(configuration(server.url), runtime)


def test_refusal_is_an_error_with_its_words(runtime: Runtime) -> None:
    with (
        serving(lambda _: Answer(b"Model not found\n", status=404)) as server,
        pytest.raises(CommandError, match=r"GET http://.*/m/all answered 404: Model not found$"),
    ):
        describe(configuration(server.url), runtime)


def test_no_answer_is_an_error(runtime: Runtime) -> None:
    with refusing() as url, pytest.raises(CommandError, match="no answer of the management API"):
        describe(configuration(url), runtime)


def test_scaling_sets_both_bounds_of_that_version(runtime: Runtime) -> None:
    fake = FakeTorchServe(runtime, [version("READY", number="2.0")])

    with serving(fake) as server:
        values = configuration(server.url)
        scale(values, runtime, describe(values, runtime)[0], 4, timeout_s=30)

    request = server.requests[-1]
    assert (request.method, request.path) == (
        "PUT",
        "/models/m/2.0?min_worker=4&max_worker=4&synchronous=true&timeout=-1",
    )


@pytest.mark.parametrize(("key", "sent"), [("inference", "i-0"), ("management", "m-0")])
def test_call_brings_the_token_named(runtime: Runtime, key: str, sent: str) -> None:
    write_keys(runtime)

    with serving(lambda _: Answer()) as server:
        values = configuration(server.url, disable_token_authorization="false")
        call(values, runtime, "GET", server.url, key=key)

    assert server.requests[0].headers["Authorization"] == f"Bearer {sent}"


def test_management_api_is_asked_with_its_own_token(runtime: Runtime) -> None:
    write_keys(runtime)

    with serving(lambda _: Answer(b"{}")) as server:
        values = configuration(server.url, disable_token_authorization="false")
        ask(values, runtime, "GET", "/models")

    assert server.requests[0].headers["Authorization"] == "Bearer m-0"
