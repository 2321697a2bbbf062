from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from archive_builder.command import CommandError
from server_control import drain, scale
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import FakeTorchServe, configuration, version
from tests.unit.local_http import Answer, Request, Server, serving


class Scaling(FakeTorchServe):
    """Has as many workers as it was last asked for; `drained` tells when it was asked to."""

    drained: bool | None = None

    def __call__(self, request: Request) -> Answer:
        if request.method == "PUT":
            self.drained = self.runtime.draining.exists()
            path, query = request.path.split("?")
            count = int(query.split("=")[1].split("&")[0])
            number = path.rpartition("/")[2]
            self.versions = [
                version(*["READY"] * count, number=number)
                if each["modelVersion"] == number
                else each
                for each in self.versions
            ]
        return super().__call__(request)


@pytest.fixture(autouse=True)
def _selected(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "Runtime", lambda _path: runtime)
    monkeypatch.setattr(drain, "_ON_THE_WAY_S", 0.0)


@contextmanager
def running(runtime: Runtime, fake: FakeTorchServe) -> Iterator[Server]:
    with serving(fake) as server:
        runtime.write_note({}, {})
        runtime.write_configuration(configuration(server.url))
        runtime.started.touch()
        yield server
        runtime.clean()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["scale", *arguments])
    return scale.main()


@pytest.mark.parametrize(
    ("arguments", "drained"),
    [
        pytest.param(["3"], False, id="more"),
        pytest.param(["2"], False, id="as many"),
        pytest.param(["1"], True, id="fewer"),
        pytest.param(["1", "--now"], False, id="fewer at once"),
    ],
)
def test_server_is_emptied_before_it_loses_workers(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, arguments: list[str], *, drained: bool
) -> None:
    fake = Scaling(runtime, [version("READY", "READY")])

    with running(runtime, fake):
        assert run(monkeypatch, *arguments) == 0
        assert not runtime.draining.exists()

    assert fake.drained is drained
    assert len(fake.versions[0]["workers"]) == int(arguments[0])


@pytest.mark.parametrize(("options", "number"), [([], "2.0"), (["--version", "1.0"], "1.0")])
def test_version(
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    number: str,
) -> None:
    fake = Scaling(runtime, [version("READY", number=each) for each in ("2.0", "1.0")])

    with running(runtime, fake):
        run(monkeypatch, "3", *options)

    counts = {each["modelVersion"]: len(each["workers"]) for each in fake.versions}
    assert counts == {"1.0": 1, "2.0": 1, number: 3}
    assert f"3 workers of version {number} are ready." in capsys.readouterr().err


def test_version_that_is_not_served_is_an_error(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running(runtime, FakeTorchServe(runtime)),
        pytest.raises(CommandError, match=r"no version 3\.0 is served, but 1\.0$"),
    ):
        run(monkeypatch, "2", "--version", "3.0")


def test_workers_that_do_not_come_are_an_error(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running(runtime, FakeTorchServe(runtime)),
        pytest.raises(CommandError, match="1 of 2 workers are ready"),
    ):
        run(monkeypatch, "2")


def test_scaling_that_is_refused_is_an_error_and_the_server_goes_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(FakeTorchServe):
        def __call__(self, request: Request) -> Answer:
            if request.method == "PUT":
                return Answer(b"Failed to scale", status=500)
            return super().__call__(request)

    with (
        running(runtime, Refusing(runtime, [version("READY", "READY")])),
        pytest.raises(CommandError, match="answered 500: Failed to scale"),
    ):
        run(monkeypatch, "1")

    assert not runtime.draining.exists()


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_number_that_makes_no_sense_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workers: Any
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, workers)

    assert caught.value.code == 2
    assert "usage: scale" in capsys.readouterr().err


def test_no_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no server of this configuration is running"):
        run(monkeypatch, "1")
