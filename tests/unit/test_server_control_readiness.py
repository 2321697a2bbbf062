from pathlib import Path

import pytest

from server_control.readiness import Readiness, readiness
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import FakeTorchServe, configuration, version
from tests.unit.local_http import Answer, refusing, serving


def state(runtime: Runtime, *states: str, wanted: int = 2) -> Readiness:
    with serving(FakeTorchServe(runtime, [version(*states, wanted=wanted)])) as server:
        return readiness(configuration(server.url), runtime)


@pytest.mark.parametrize(
    ("workers", "started", "draining", "expected"),
    [
        pytest.param((), False, False, "starting", id="no worker yet"),
        pytest.param(("READY", "UNLOADING"), False, False, "starting", id="one of two yet"),
        pytest.param(("READY", "READY"), False, False, "starting", id="not yet noted"),
        pytest.param(("READY", "READY"), True, False, "ready", id="all"),
        pytest.param(("UNLOADING", "READY"), True, False, "ready", id="one lost"),
        pytest.param(("UNLOADING", "UNLOADING"), True, False, "down", id="all lost"),
        pytest.param(("READY", "READY"), True, True, "draining", id="draining"),
        pytest.param(("UNLOADING", "UNLOADING"), True, True, "down", id="draining, all lost"),
        pytest.param(("READY", "READY"), False, True, "starting", id="draining, not started"),
    ],
)
def test_state(
    runtime: Runtime, workers: tuple[str, ...], *, started: bool, draining: bool, expected: str
) -> None:
    for path, there in ((runtime.started, started), (runtime.draining, draining)):
        if there:
            path.touch()

    found = state(runtime, *workers)

    assert found.state == expected
    assert found.is_ready == (expected == "ready")
    ready = workers.count("READY")
    assert f"{ready} of 2 workers of version 1.0 are ready" in found.reason


@pytest.mark.parametrize(("started", "expected"), [(False, "starting"), (True, "down")])
def test_no_answer(runtime: Runtime, *, started: bool, expected: str) -> None:
    if started:
        runtime.started.touch()

    with refusing() as url:
        found = readiness(configuration(url), runtime)

    assert found.state == expected
    assert "no answer of the management API" in found.reason


@pytest.mark.parametrize(
    ("default", "other", "expected"),
    [("READY", "UNLOADING", "ready"), ("UNLOADING", "READY", "down")],
)
def test_default_version_decides(runtime: Runtime, default: str, other: str, expected: str) -> None:
    runtime.started.touch()
    fake = FakeTorchServe(runtime, [version(default, number="2.0"), version(other, number="1.0")])

    with serving(fake) as server:
        assert readiness(configuration(server.url), runtime).state == expected


@pytest.mark.parametrize(
    "values",
    [
        {"disable_token_authorization": "false"},
        {"certificate_file": "missing.pem", "management_address": "https://127.0.0.1:9"},
    ],
    ids=["no key file", "no certificate"],
)
def test_what_is_not_there_yet_is_no_exception(runtime: Runtime, values: dict[str, str]) -> None:
    found = readiness(configuration("http://127.0.0.1:9", **values), runtime)

    assert found.state == "starting"


def test_another_server_at_the_address_is_no_exception(runtime: Runtime) -> None:
    runtime.started.touch()

    with serving(lambda _: Answer(b"<html>")) as server:
        found = readiness(configuration(server.url), runtime)

    assert found.state == "down"


def test_folder_that_was_never_made_is_no_exception(runtime: Runtime, tmp_path: Path) -> None:
    never = Runtime(tmp_path / "never.properties")
    assert never.folder != runtime.folder

    with refusing() as url:
        values = configuration(url, disable_token_authorization="false")
        assert readiness(values, never).state == "starting"
