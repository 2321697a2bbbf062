from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archive_builder import ROOT
from archive_builder.command import CommandError
from server_control.configuration import Configuration, parse_properties


def configuration(**values: str) -> Configuration:
    return Configuration(Path("/etc/ts/config.properties"), values)


def load(path: Path, text: str) -> Configuration:
    path.write_text(text, encoding="utf-8")
    return Configuration.load({"TS_CONFIG_FILE": str(path)})


# The form of the file.


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param("a=1\nb=2\n", {"a": "1", "b": "2"}, id="two lines"),
        pytest.param("a=1", {"a": "1"}, id="no newline at the end"),
        pytest.param("# a=1\nb=2\n", {"b": "2"}, id="comment"),
        pytest.param("  # a=1\n", {}, id="indented comment"),
        pytest.param("! a=1\n", {}, id="comment with an exclamation mark"),
        pytest.param("a=1 # one\n", {"a": "1 # one"}, id="no comment after a value"),
        pytest.param("\n  \na=1\n\n", {"a": "1"}, id="blank lines"),
        pytest.param("  a = 1  \n", {"a": "1"}, id="spaces around key and value"),
        pytest.param("a=x y\n", {"a": "x y"}, id="space in the value"),
        pytest.param("a=b=c==\n", {"a": "b=c=="}, id="equals signs in the value"),
        pytest.param("a=\n", {"a": ""}, id="empty value"),
        pytest.param("a={ \\\n  1}\nb=2\n", {"a": "{ 1}", "b": "2"}, id="continued line"),
        pytest.param("a=1\na=2\n", {"a": "2"}, id="the last of two counts"),
        pytest.param("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}, id="lines of Windows"),
    ],
)
def test_properties(text: str, values: dict[str, str]) -> None:
    assert parse_properties(text) == values


# Which file.


def test_variable_selects_the_file(tmp_path: Path) -> None:
    found = load(tmp_path / "other.properties", "a=1\n")

    assert found == Configuration(tmp_path / "other.properties", {"a": "1"})


@pytest.mark.parametrize(
    "environment", [{}, {"TS_CONFIG_FILE": ""}], ids=["no variable", "empty variable"]
)
def test_file_is_the_projects_own_unless_selected(environment: dict[str, str]) -> None:
    assert Configuration.load(environment).path == ROOT / "config.properties"


def test_relative_selection_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.properties").touch()
    monkeypatch.chdir(tmp_path)

    found = Configuration.load({"TS_CONFIG_FILE": "here.properties"})

    assert found.path == tmp_path / "here.properties"


def test_missing_file_is_an_error_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "missing.properties"

    with pytest.raises(CommandError) as caught:
        Configuration.load({"TS_CONFIG_FILE": str(path)})

    assert str(path) in str(caught.value)
    assert "No such file" in str(caught.value)


# Paths.


@pytest.mark.parametrize(
    "key",
    ["model_store", "workflow_store", "metrics_config", "private_key_file", "certificate_file"],
)
def test_relative_path_is_relative_to_the_files_folder(tmp_path: Path, key: str) -> None:
    found = load(tmp_path / "c.properties", f"{key}=sub/thing\n")

    assert found.values[key] == str(tmp_path / "sub" / "thing")


def test_absolute_path_stays(tmp_path: Path) -> None:
    found = load(tmp_path / "c.properties", "model_store=/var/models\n")

    assert found.model_store == Path("/var/models")


def test_value_that_is_no_path_stays(tmp_path: Path) -> None:
    found = load(tmp_path / "c.properties", "allowed_urls=none\n")

    assert found.values["allowed_urls"] == "none"


def test_missing_model_store_is_an_error() -> None:
    with pytest.raises(CommandError, match=r"/etc/ts/config\.properties: model_store is missing"):
        _ = configuration().model_store


def test_text_reads_back_as_the_same_settings(tmp_path: Path) -> None:
    found = load(tmp_path / "c.properties", "# note\nmodel_store=models\nb = x=y\n")

    assert parse_properties(found.text()) == dict(found.values)


# The model.


def test_model_name_is_that_of_the_one_archive() -> None:
    assert configuration(load_models="densenet121.mar").model_name == "densenet121"


def test_model_name_may_hold_dots() -> None:
    assert configuration(load_models="birds-v1.2.mar").model_name == "birds-v1.2"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"load_models": "all"}, id="all"),
        pytest.param({"load_models": "a.mar,b.mar"}, id="two archives"),
        pytest.param({"load_models": "a.mar, b.mar"}, id="two archives with a space"),
        pytest.param({"load_models": "densenet121"}, id="no archive's name"),
        pytest.param({"load_models": "none"}, id="none"),
        pytest.param({"load_models": ""}, id="empty"),
        pytest.param({}, id="missing"),
    ],
)
def test_anything_but_one_archive_is_an_error(values: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="load_models must name one archive"):
        _ = configuration(**values).model_name


# Addresses.


@pytest.mark.parametrize(
    ("values", "url"),
    [
        pytest.param({}, "http://127.0.0.1:8080/predictions/m", id="default"),
        pytest.param(
            {"inference_address": "http://127.0.0.1:9000"},
            "http://127.0.0.1:9000/predictions/m",
            id="another port",
        ),
        pytest.param(
            {"inference_address": "https://host:9443/"},
            "https://host:9443/predictions/m",
            id="slash at the end",
        ),
    ],
)
def test_prediction_url(values: dict[str, str], url: str) -> None:
    assert configuration(load_models="m.mar", **values).prediction_url == url


@pytest.mark.parametrize(
    ("values", "url"),
    [
        pytest.param({}, "http://127.0.0.1:8081/models/m", id="default"),
        pytest.param(
            {"management_address": "http://127.0.0.1:9001"},
            "http://127.0.0.1:9001/models/m",
            id="another port",
        ),
    ],
)
def test_model_url(values: dict[str, str], url: str) -> None:
    assert configuration(load_models="m.mar", **values).model_url == url


def test_default_listeners_are_those_of_torchserve() -> None:
    assert configuration().listeners() == {
        "inference_address": ("127.0.0.1", 8080),
        "management_address": ("127.0.0.1", 8081),
        "metrics_address": ("127.0.0.1", 8082),
        "grpc_inference_port": ("127.0.0.1", 7070),
        "grpc_management_port": ("127.0.0.1", 7071),
    }


@pytest.mark.parametrize(
    ("values", "key", "listener"),
    [
        pytest.param(
            {"metrics_address": "http://0.0.0.0:9002"},
            "metrics_address",
            ("0.0.0.0", 9002),  # noqa: S104 - nothing listens here
            id="other host and port",
        ),
        pytest.param(
            {"inference_address": "http://localhost"},
            "inference_address",
            ("localhost", 80),
            id="port of http",
        ),
        pytest.param(
            {"inference_address": "https://localhost"},
            "inference_address",
            ("localhost", 443),
            id="port of https",
        ),
        pytest.param(
            {"management_address": "http://[::1]:9001"},
            "management_address",
            ("::1", 9001),
            id="IPv6",
        ),
        pytest.param(
            {"grpc_inference_port": "9070", "grpc_inference_address": "127.0.0.2"},
            "grpc_inference_port",
            ("127.0.0.2", 9070),
            id="gRPC inference",
        ),
        pytest.param(
            {"grpc_management_port": "9071"},
            "grpc_management_port",
            ("127.0.0.1", 9071),
            id="gRPC management",
        ),
    ],
)
def test_listener(values: dict[str, str], key: str, listener: tuple[str, int]) -> None:
    assert configuration(**values).listeners()[key] == listener


# The project's own file.


@pytest.fixture(scope="module")
def own() -> Configuration:
    return Configuration.load({})


LISTENERS = tuple(configuration().listeners())


@pytest.mark.parametrize("key", LISTENERS)
def test_own_listener_is_on_loopback_only(own: Configuration, key: str) -> None:
    assert own.listeners()[key][0] == "127.0.0.1"


@pytest.mark.parametrize("key", [*LISTENERS, "grpc_inference_address", "grpc_management_address"])
def test_own_listener_is_written_down(own: Configuration, key: str) -> None:
    """Not left to defaults: those of TorchServe's gRPC listen on every address."""
    assert key in own.values


@pytest.mark.parametrize("key", ["inference_address", "management_address", "metrics_address"])
def test_own_address_has_a_port(own: Configuration, key: str) -> None:
    assert urlsplit(own.values[key]).port is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enable_model_api", "false"),
        ("disable_token_authorization", "true"),
        ("allowed_urls", "none"),
        ("load_models", "densenet121.mar"),
    ],
)
def test_own_setting(own: Configuration, key: str, value: str) -> None:
    assert own.values[key] == value


def test_own_model_store_is_the_projects(own: Configuration) -> None:
    assert own.model_store == ROOT / "model_store"


def test_every_own_setting_stands_below_a_comment(own: Configuration) -> None:
    blocks = own.path.read_text(encoding="utf-8").split("\n\n")
    with_settings = [block for block in blocks if parse_properties(block)]

    assert [block for block in with_settings if not block.startswith("#")] == []


@pytest.mark.parametrize(
    "content",
    [b"just words\n", b"port: 8080\n", b"a=\xff\n"],
    ids=["no equals sign", "colon", "no UTF-8"],
)
def test_configuration_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.properties"
    path.write_bytes(content)

    with pytest.raises(CommandError, match="cannot be read"):
        Configuration.load({"TS_CONFIG_FILE": str(path)})


@pytest.mark.parametrize(
    "values",
    [
        {"grpc_inference_port": "abc"},
        {"inference_address": "http://127.0.0.1:99999"},
        {"metrics_address": "unix:/tmp/socket"},
    ],
    ids=["no number", "too large", "no address"],
)
def test_address_that_makes_no_sense_is_an_error(values: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=next(iter(values))):
        Configuration(Path("c.properties"), values).listeners()
