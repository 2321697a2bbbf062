from pathlib import Path

import pytest

from archive_builder.command import CommandError
from densenet_client import destination as module
from densenet_client.arguments import argument_parser
from densenet_client.destination import Destination, destination
from server_control.configuration import Configuration
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import PAST, FakeTorchServe, configuration, write_keys
from tests.unit.local_http import serving

HERE = "https://127.0.0.1:9"


@pytest.fixture(autouse=True)
def selected(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the selected configuration, of a server that does not run."""
    for name in ("DENSENET121_TOKEN", "TS_INFERENCE_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.properties"
    path.write_text(configuration("http://127.0.0.1:10").text())
    monkeypatch.setenv("TS_CONFIG_FILE", str(path))
    assert Runtime(path).folder == runtime.folder
    return path


def start(runtime: Runtime, values: Configuration) -> None:
    runtime.write_note(values.values, {})
    runtime.write_configuration(values)


def find(*arguments: str) -> Destination:
    return destination(argument_parser().parse_args(["image.png", *arguments]))


def test_server_that_does_not_run_is_looked_for_where_it_would_be() -> None:
    assert find() == Destination("http://127.0.0.1:10/predictions/m", None, None)


def test_environment_wins_where_no_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_INFERENCE_ADDRESS", HERE)

    assert find().url == f"{HERE}/predictions/m"


def test_running_server_is_found_where_it_is(runtime: Runtime) -> None:
    start(runtime, configuration(HERE))

    assert find() == Destination(f"{HERE}/predictions/m", None, None)


def test_running_server_is_found_though_its_file_is_gone(runtime: Runtime, selected: Path) -> None:
    start(runtime, configuration(HERE))
    selected.unlink()

    assert find().url == f"{HERE}/predictions/m"


def test_file_that_is_missing_is_an_error_where_no_server_runs(selected: Path) -> None:
    selected.unlink()

    with pytest.raises(CommandError, match="cannot be read"):
        find()


def test_token_and_certificate_of_the_running_server(
    runtime: Runtime, certificates: list[Path]
) -> None:
    file = certificates[0] / "server.pem"
    start(
        runtime,
        configuration(HERE, disable_token_authorization="false", certificate_file=str(file)),
    )
    write_keys(runtime)

    found = find()

    assert found.token == "i-0"  # noqa: S105 - of no server
    assert found.ca is None
    assert found.certificate is not None
    assert found.certificate.read_bytes() == file.read_bytes()
    assert found.certificate.parent == runtime.folder


def test_expired_token_is_renewed(runtime: Runtime) -> None:
    write_keys(runtime, PAST)

    with serving(FakeTorchServe(runtime)) as server:
        start(runtime, configuration(server.url, disable_token_authorization="false"))

        assert find().token == "i-1"  # noqa: S105 - of no server


@pytest.mark.parametrize("keys", [True, False])
def test_named_token_is_taken(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, *, keys: bool
) -> None:
    start(runtime, configuration(HERE, disable_token_authorization="false"))
    if keys:
        write_keys(runtime, PAST)
    monkeypatch.setenv("DENSENET121_TOKEN", " of-the-variable\n")

    assert find().token == "of-the-variable"  # noqa: S105 - of no server
    assert find("--token", "of-the-option").token == "of-the-option"  # noqa: S105 - of no server


def test_server_without_its_keys_is_found_nevertheless(runtime: Runtime) -> None:
    start(runtime, configuration(HERE, disable_token_authorization="false"))

    assert find() == Destination(f"{HERE}/predictions/m", None, None)


def test_named_certificate_is_taken(runtime: Runtime, certificates: list[Path]) -> None:
    file = certificates[0] / "server.pem"
    start(runtime, configuration(HERE, certificate_file=str(file)))

    assert find("--ca", "other.pem").ca == Path("other.pem")


def test_another_server_gets_nothing_of_ours(
    runtime: Runtime, certificates: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificates[0] / "server.pem"
    start(
        runtime,
        configuration(HERE, disable_token_authorization="false", certificate_file=str(file)),
    )
    write_keys(runtime)

    assert find("--url", "http://elsewhere/x") == Destination("http://elsewhere/x", None, None)
    monkeypatch.setattr(module, "selected_path", None)  # nor is it even looked for
    assert find("--url", "http://elsewhere/x", "--token", "t").token == "t"  # noqa: S105
