import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from archive_builder.command import CommandError
from server_control import keys
from server_control.keys import KINDS, Key, read, renew, token
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import (
    FUTURE,
    NO_KEY,
    PAST,
    FakeTorchServe,
    configuration,
    write_keys,
)
from tests.unit.local_http import Answer, refusing, serving

TOKENS = {"disable_token_authorization": "false"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


# Which token.


def test_there_is_none_where_the_server_asks_for_none(runtime: Runtime) -> None:
    assert token(configuration("http://127.0.0.1:9"), runtime, "inference") is None


@pytest.mark.parametrize(("kind", "expected"), [("inference", "i-0"), ("management", "m-0")])
def test_valid_token_is_taken_as_it_is(runtime: Runtime, kind: str, expected: str) -> None:
    write_keys(runtime)

    assert token(configuration("http://127.0.0.1:9", **TOKENS), runtime, kind) == expected


@pytest.mark.parametrize(("kind", "expected"), [("inference", "i-1"), ("management", "m-1")])
def test_expired_token_is_renewed(runtime: Runtime, kind: str, expected: str) -> None:
    write_keys(runtime, PAST)

    with serving(FakeTorchServe(runtime)) as server:
        found = token(configuration(server.url, **TOKENS), runtime, kind)

    assert found == expected
    (request,) = server.requests
    assert request.path == f"/token?type={kind}"
    assert request.headers["Authorization"] == "Bearer a-0"


@pytest.mark.parametrize(
    ("left_s", "valid"), [(-1, False), (0, False), (15, False), (16, True), (3600, True)]
)
def test_token_that_ends_in_a_moment_is_as_good_as_ended(
    monkeypatch: pytest.MonkeyPatch, left_s: int, *, valid: bool
) -> None:
    monkeypatch.setattr(keys, "datetime", Mock(now=lambda _zone: NOW))

    assert Key("x", NOW + timedelta(seconds=left_s)).is_valid is valid


def test_two_at_once_renew_once(runtime: Runtime) -> None:
    write_keys(runtime, PAST)
    fake = FakeTorchServe(runtime)
    found = []
    together = threading.Barrier(4)

    with serving(fake) as server:

        def ask() -> None:
            together.wait(30)
            found.append(token(configuration(server.url, **TOKENS), runtime, "inference"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert found == ["i-1"] * 4
    assert fake.renewals == 1


def test_file_that_is_being_written_is_waited_for(runtime: Runtime) -> None:
    """TorchServe writes in place, for whoever holds the lock."""
    runtime.key_file.touch()
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            token(configuration("http://127.0.0.1:9", **TOKENS), runtime, "inference")
        )
    )

    with runtime.keys_locked():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        write_keys(runtime)
    thread.join(30)

    assert found == ["i-0"]


# Reading.


def test_time_is_read_as_java_writes_it(runtime: Runtime) -> None:
    write_keys(runtime, "2026-11-23T04:17:17.123456789Z")

    assert read(runtime, "inference") == Key(
        "i-0", datetime(2026, 11, 23, 4, 17, 17, 123456, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        '{"inference": {"key": "abc"',
        "[]",
        "null",
        '{"management": {"key": "abc", "expiration time": "2999-01-01T00:00:00Z"}}',
        '{"inference": "abc"}',
        '{"inference": {"key": "abc"}}',
        '{"inference": {"key": "abc", "expiration time": "soon"}}',
        '{"inference": {"key": "abc", "expiration time": 1}}',
    ],
)
def test_file_without_the_token_is_an_error(runtime: Runtime, text: str | None) -> None:
    if text is not None:
        runtime.key_file.write_text(text)

    with pytest.raises(CommandError, match=r"key_file\.json holds no inference token"):
        token(configuration("http://127.0.0.1:9", **TOKENS), runtime, "inference")


@pytest.mark.parametrize("kind", KINDS)
def test_no_server_was_ever_started(kind: str, tmp_path: Path) -> None:
    runtime = Runtime(tmp_path / "never.properties")

    with pytest.raises(CommandError, match="is the server running"):
        token(configuration("http://127.0.0.1:9", **TOKENS), runtime, kind)

    assert not runtime.folder.exists()


# Renewing.


def test_valid_token_is_renewed_on_demand(runtime: Runtime) -> None:
    write_keys(runtime)

    with serving(FakeTorchServe(runtime)) as server:
        found = renew(configuration(server.url, **TOKENS), runtime, "management")

    assert found == Key("m-1", datetime.fromisoformat(FUTURE))
    assert read(runtime, "inference").token == "i-0"  # noqa: S105 - of no server


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NO_KEY, "the inference token cannot be renewed: 400"),
        (Answer(b"{}"), "holds no new inference token"),
    ],
    ids=["refused", "nothing new"],
)
def test_renewal_that_fails_is_an_error(runtime: Runtime, answer: Answer, words: str) -> None:
    write_keys(runtime, PAST)

    with serving(lambda _: answer) as server, pytest.raises(CommandError, match=words):
        token(configuration(server.url, **TOKENS), runtime, "inference")


def test_renewal_without_a_server_is_an_error(runtime: Runtime) -> None:
    write_keys(runtime, PAST)

    with refusing() as url, pytest.raises(CommandError, match="cannot be renewed"):
        token(configuration(url, **TOKENS), runtime, "inference")


def test_renewal_without_the_key_for_it_is_an_error(runtime: Runtime) -> None:
    write_keys(runtime, PAST)
    document = json.loads(runtime.key_file.read_text())
    del document["API"]
    runtime.key_file.write_text(json.dumps(document))

    with refusing() as url, pytest.raises(CommandError, match="cannot be renewed"):
        renew(configuration(url, **TOKENS), runtime, "inference")


def test_renewal_knows_the_server_by_the_certificate_of_its_start(
    runtime: Runtime, certificates: list[Path], tmp_path: Path
) -> None:
    write_keys(runtime, PAST)
    file = tmp_path / "server.pem"
    file.write_bytes((certificates[0] / "server.pem").read_bytes())
    values = {**TOKENS, "certificate_file": str(file)}

    with serving(FakeTorchServe(runtime), tls=certificates[0]) as server:
        started = configuration(server.url, **values)
        runtime.write_configuration(started)
        file.write_bytes((certificates[1] / "server.pem").read_bytes())  # for the next start

        assert token(started, runtime, "inference") == "i-1"
