"""`ready` and `token`, on a fake TorchServe; the ends of `stop`; what `serve` refuses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from server_control import ready, serve, stop, token
from server_control.configuration import Configuration
from server_control.runtime import Note, Runtime
from tests.unit.fake_torchserve import NO_KEY, FakeTorchServe, configuration, version, write_keys
from tests.unit.local_http import Server, refusing, serving

TOKENS = {"disable_token_authorization": "false"}


@pytest.fixture(autouse=True)
def _selected(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ready, token):
        monkeypatch.setattr(module, "Runtime", lambda _path: runtime)
    monkeypatch.setattr("sys.argv", ["command"])


@contextmanager
def running(runtime: Runtime, **values: str) -> Iterator[Server]:
    with serving(FakeTorchServe(runtime)) as server:
        start(runtime, configuration(server.url, **values))
        yield server
        runtime.clean()


def start(runtime: Runtime, values: Configuration) -> Note:
    note = runtime.write_note({}, {})
    runtime.write_configuration(values)
    runtime.started.touch()
    return note


# ready


def test_ready_is_status_0(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    with running(runtime):
        assert ready.main() == 0

    assert capsys.readouterr().out == "ready: 1 of 1 workers of version 1.0 are ready\n"


@pytest.mark.parametrize("mark", ["draining", "started"])
def test_any_other_state_is_status_1(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    with running(runtime):
        if mark == "draining":
            runtime.draining.touch()
        else:
            runtime.started.unlink()

        assert ready.main() == 1

    expected = {"draining": "draining: ", "started": "starting: "}
    assert capsys.readouterr().out.startswith(expected[mark])


@pytest.mark.parametrize("option", [[], ["--alive"]])
def test_no_server_is_neither_ready_nor_alive(
    capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    sys.argv += option  # the list of this test's own

    assert ready.main() == 1
    assert capsys.readouterr().out.startswith("down: no server of this configuration is running")


@pytest.mark.parametrize("state", ["draining", "starting", "refused"])
def test_alive_is_who_answers_at_all(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    sys.argv += ["--alive"]
    answer = (lambda _: NO_KEY) if state == "refused" else FakeTorchServe(runtime, [version()])
    with serving(answer) as server:
        start(runtime, configuration(server.url, **TOKENS))
        if state == "draining":
            runtime.draining.touch()

        assert ready.main() == 0
        (request,) = server.requests

    runtime.clean()
    assert request.path == "/ping"
    assert "Authorization" not in request.headers
    assert capsys.readouterr().out.startswith("alive: ")


def test_who_does_not_answer_is_dead(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    sys.argv += ["--alive"]
    with refusing() as url:
        start(runtime, configuration(url))

        assert ready.main() == 1

    runtime.clean()
    assert capsys.readouterr().out.startswith("dead: ")


# token


def test_token_is_alone_on_stdout(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    sys.argv += ["inference"]
    with running(runtime, **TOKENS):
        write_keys(runtime, (datetime.now(UTC) + timedelta(minutes=60.2)).isoformat())

        assert token.main() == 0

    said = capsys.readouterr()
    assert said.out == "i-0\n"
    assert said.err == "valid for 60 minutes\n"


def test_token_is_renewed_on_demand(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    sys.argv += ["management", "--renew"]
    with running(runtime, **TOKENS):
        write_keys(runtime)

        assert token.main() == 0

    assert capsys.readouterr().out == "m-1\n"


@pytest.mark.parametrize("option", [[], ["--renew"]])
def test_server_without_tokens_has_none(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    sys.argv += ["inference", *option]
    with running(runtime):
        assert token.main() == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "asks for no tokens" in said.err


@pytest.mark.parametrize("arguments", [[], ["API"]], ids=["no kind", "the key for renewing"])
def test_token_of_no_kind_is_wrong_usage(arguments: list[str]) -> None:
    sys.argv += arguments

    with pytest.raises(SystemExit) as caught:
        token.main()

    assert caught.value.code == 2


# stop


@pytest.mark.parametrize("started", [True, False])
def test_server_that_cannot_be_emptied_is_stopped_all_the_same(
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    started: bool,
) -> None:
    stopped: list[Note] = []
    monkeypatch.setattr(stop, "stop", stopped.append)

    with refusing() as url:
        note = start(runtime, configuration(url))
        if not started:
            runtime.started.unlink()
        stop.end(runtime, note, settle_s=0, drain_s=30)

    assert stopped == [note]
    assert ("Stopping all the same: no answer" in capsys.readouterr().err) == started
    runtime.clean()


def test_server_is_stopped_while_it_is_held_empty(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(stop, "stop", lambda _note, **_: seen.append(runtime.draining.exists()))

    with serving(FakeTorchServe(runtime)) as server:
        note = start(runtime, configuration(server.url))
        stop.end(runtime, note, settle_s=0, drain_s=30)

    assert seen[0] is True
    assert not runtime.draining.exists()
    runtime.clean()


# serve


def of(**values: str) -> Configuration:
    return Configuration(Path("c.properties"), values)


OPEN = {
    "inference_address": "https://0.0.0.0:8080",
    "management_address": "http://[::]:8081",
    "metrics_address": "http://host.example:8082",
    "grpc_inference_address": "0.0.0.0",  # noqa: S104 - nothing listens here
    "grpc_management_address": "192.0.2.1",
}


@pytest.mark.parametrize("key", OPEN)
def test_address_that_others_reach_is_refused_without_tokens(key: str) -> None:
    values = {key: OPEN[key], "disable_token_authorization": "true"}
    name = key.replace("address", "port") if key.startswith("grpc") else key

    with pytest.raises(CommandError, match=f"^{name}: others than this machine can connect"):
        serve._require_tokens(of(**values))


@pytest.mark.parametrize("key", OPEN)
@pytest.mark.parametrize("tokens", [{}, {"disable_token_authorization": "false"}])
def test_address_that_others_reach_is_right_with_tokens(key: str, tokens: dict[str, str]) -> None:
    serve._require_tokens(of(**{key: OPEN[key]}, **tokens))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_address_of_this_machine_is_right_without_tokens(host: str) -> None:
    values = {"inference_address": f"http://{host}:8080", "disable_token_authorization": "TRUE"}

    serve._require_tokens(of(**values))
