import json
import os
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from archive_builder.command import CommandError
from server_control import status
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import FakeTorchServe, configuration, version
from tests.unit.local_http import refusing, serving

NOW = datetime(2026, 1, 1, 1, 2, 3, 456000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _selected(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        status, "datetime", Mock(now=lambda _zone: NOW, fromisoformat=datetime.fromisoformat)
    )
    monkeypatch.setattr(status, "Runtime", lambda _path: runtime)


def show(runtime: Runtime, url: str, *arguments: str) -> int:
    """Show the server at `url` as the command does."""
    runtime.write_note({}, {})
    runtime.write_configuration(configuration(url))
    runtime.started.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["status", *arguments])
        result = status.main()
    runtime.clean()
    return result


def test_table(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    described = version("READY", "UNLOADING")
    described["workers"][1] |= {"gpu": True, "gpuUsage": "gpuId::0", "id": "90001"}

    with serving(FakeTorchServe(runtime, [described])) as server:
        assert show(runtime, server.url) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{server.url}/predictions/m",
        "ready: 1 of 2 workers of version 1.0 are ready",
        "",
        "version 1.0 (m.mar), answers where no version is named",
        "queue: 3 of 100 requests wait",
        "worker  pid      status              up       threads  memory",
        "9000    4194304  READY               1:02:03  -        -",
        "90001   4194305  UNLOADING gpuId::0  1:02:03  -        -",
    ]


def test_every_version_has_a_table(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeTorchServe(runtime, [version("READY", number=each) for each in ("2.0", "1.0")])

    with serving(fake) as server:
        show(runtime, server.url)

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("version")] == [
        "version 2.0 (m.mar), answers where no version is named",
        "version 1.0 (m.mar)",
    ]


def test_worker_that_is_seen_has_threads_and_memory(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    described = version("READY")
    described["workers"][0]["pid"] = os.getpid()

    with serving(FakeTorchServe(runtime, [described])) as server:
        show(runtime, server.url, "--json")
        document = json.loads(capsys.readouterr().out)
        show(runtime, server.url)

    (worker,) = document["models"][0]["workers"]
    assert worker["threads"] >= 1
    assert worker["memory_bytes"] > 2**20
    assert " MiB" in capsys.readouterr().out


@pytest.mark.parametrize("pid", [-1, 0, 4_194_304])
def test_worker_that_is_not_seen_has_neither(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], pid: int
) -> None:
    described = version("UNLOADING")
    described["workers"][0]["pid"] = pid

    with serving(FakeTorchServe(runtime, [described])) as server:
        show(runtime, server.url, "--json")

    (worker,) = json.loads(capsys.readouterr().out)["models"][0]["workers"]
    assert worker["threads"] is None
    assert worker["memory_bytes"] is None


def test_document(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:

    with serving(FakeTorchServe(runtime)) as server:
        assert show(runtime, server.url, "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert document == {
        "state": "ready",
        "reason": "1 of 1 workers of version 1.0 are ready",
        "url": f"{server.url}/predictions/m",
        "models": [
            {
                "name": "m",
                "version": "1.0",
                "archive": "m.mar",
                "is_default": True,
                "wanted": 1,
                "pending": 3,
                "capacity": 100,
                "batch_size": 8,
                "workers": [
                    {
                        "id": "9000",
                        "pid": 4_194_304,
                        "status": "READY",
                        "started": (NOW - timedelta(hours=1, minutes=2, seconds=3.456))
                        .isoformat(timespec="milliseconds")
                        .replace("+00:00", "Z"),
                        "gpu": "",
                        "threads": None,
                        "memory_bytes": None,
                    }
                ],
            }
        ],
    }


def test_server_that_does_not_answer_is_shown_so(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    with refusing() as url:
        assert show(runtime, url) == 0

    assert "\ndown: no answer of the management API" in capsys.readouterr().out


def test_no_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["status"])

    with pytest.raises(CommandError, match="no server of this configuration is running"):
        status.main()


def test_a_clock_that_was_put_back_makes_nobody_younger_than_nothing(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    described = version("READY")
    described["workers"][0]["startTime"] = "2999-01-01T00:00:00.000Z"

    with serving(FakeTorchServe(runtime, [described])) as server:
        show(runtime, server.url)

    assert " 0:00:00 " in capsys.readouterr().out
