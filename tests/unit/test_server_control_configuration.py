from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archive_builder import ROOT
from archive_builder.command import CommandError
from server_control.configuration import Configuration, ServedArchive, parse_properties


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
        pytest.param("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}, id="lines of Windows"),
    ],
)
def test_properties(text: str, values: dict[str, str]) -> None:
    assert parse_properties(text) == values


def test_key_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a stands there twice"):
        parse_properties("a=1\nb=2\na=1\n")


# Which file.


def test_variable_selects_the_file(tmp_path: Path) -> None:
    found = load(tmp_path / "other.properties", "debug=1\n")

    assert found == Configuration(tmp_path / "other.properties", {"debug": "1"})


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
    found = load(tmp_path / "c.properties", "# note\nmodel_store=models\nvmargs = -Dx=y\n")

    assert parse_properties(found.text()) == dict(found.values)


# The environment.


@pytest.mark.parametrize(
    ("file", "environment", "url"),
    [
        pytest.param("", {}, "http://127.0.0.1:8080", id="default"),
        pytest.param("inference_address=http://127.0.0.1:1", {}, "http://127.0.0.1:1", id="file"),
        pytest.param(
            "inference_address=http://127.0.0.1:1",
            {"TS_INFERENCE_ADDRESS": "http://127.0.0.1:2"},
            "http://127.0.0.1:2",
            id="environment above the file",
        ),
        pytest.param(
            "inference_address=http://127.0.0.1:1",
            {"TS_INFERENCE_ADDRESS": ""},
            "http://127.0.0.1:1",
            id="empty variable",
        ),
    ],
)
def test_precedence(tmp_path: Path, file: str, environment: dict[str, str], url: str) -> None:
    path = tmp_path / "c.properties"
    path.write_text(file)

    found = Configuration.load({**environment, "TS_CONFIG_FILE": str(path)})

    assert found.inference_url == url


def test_relative_path_of_the_environment_is_not_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.properties"
    path.write_text("model_store=store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    found = Configuration.load({"TS_CONFIG_FILE": str(path), "TS_MODEL_STORE": "store"})

    assert found.model_store == tmp_path / "elsewhere" / "store"


def test_unknown_key_of_the_file_is_an_error_naming_both(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"c\.properties cannot be read: .*disable_tokens"):
        load(tmp_path / "c.properties", "disable_tokens=false\n")


def test_unknown_variable_is_an_error_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "c.properties"
    path.touch()

    with pytest.raises(CommandError, match=r"the environment sets .* no setting modelstore"):
        Configuration.load({"TS_CONFIG_FILE": str(path), "TS_MODELSTORE": "x"})


# TLS.


TLS = {"certificate_file": "/tls/server.pem", "private_key_file": "/tls/server.key"}


@pytest.mark.parametrize(
    ("values", "used"),
    [
        pytest.param({}, False, id="no TLS"),
        pytest.param({"enable_grpc_ssl": "false"}, False, id="no TLS of gRPC either"),
        pytest.param({"inference_address": "https://127.0.0.1:8080"}, True, id="inference"),
        pytest.param({"management_address": "https://127.0.0.1:8081"}, True, id="management"),
        pytest.param({"enable_grpc_ssl": "true"}, True, id="gRPC"),
    ],
)
def test_certificate_is_used_where_there_is_tls(values: dict[str, str], *, used: bool) -> None:
    found = configuration(**TLS, **values)

    assert found.certificate == (Path("/tls/server.pem") if used else None)
    told = parse_properties(found.text())
    assert {key: told.get(key) for key in TLS} == (TLS if used else dict.fromkeys(TLS))


# Tokens, and who can connect.


@pytest.mark.parametrize(
    ("values", "asks"),
    [({}, True), ({"disable_token_authorization": "false"}, True)]
    + [({"disable_token_authorization": text}, False) for text in ("true", "TRUE")]
    # As Java reads it: everything but "true" is false.
    + [({"disable_token_authorization": text}, True) for text in ("yes", "1", "")],
)
def test_tokens_are_asked_for_unless_disabled(values: dict[str, str], *, asks: bool) -> None:
    assert configuration(**values).asks_for_tokens is asks


@pytest.mark.parametrize(
    ("values", "life"),
    [
        ({}, timedelta(hours=1)),
        ({"token_expiration_min": "20160"}, timedelta(days=14)),
        ({"token_expiration_min": "0.5"}, timedelta(seconds=30)),
        # TorchServe takes its default then.
        ({"token_expiration_min": "a day"}, timedelta(hours=1)),
        ({"token_expiration_min": "inf"}, timedelta(hours=1)),
    ],
)
def test_a_token_lives_as_long_as_the_file_says(values: dict[str, str], life: timedelta) -> None:
    assert configuration(**values).token_life == life


def test_default_addresses_are_open_to_nobody_else() -> None:
    assert configuration().open_to_others() == []


def test_addresses_that_others_reach_are_named() -> None:
    found = configuration(
        inference_address="http://0.0.0.0:1",
        management_address="http://[::1]:2",
        metrics_address="http://metrics.example:3",
        grpc_inference_address="127.1.2.3",
        grpc_management_address="192.0.2.1",
    )

    assert found.open_to_others() == [
        "inference_address",
        "metrics_address",
        "grpc_management_port",
    ]


# The model.


def test_model_name_is_that_of_the_one_archive() -> None:
    assert configuration(load_models="densenet121.mar").model_name == "densenet121"


def test_archives_of_several_versions_have_the_models_name() -> None:
    found = configuration(load_models="m=m-1.mar,m=m-2.mar", model_store="/store")

    assert found.model_name == "m"
    assert found.archives == (
        ServedArchive("m", Path("/store/m-1.mar"), built=False),
        ServedArchive("m", Path("/store/m-2.mar"), built=False),
    )


def test_an_archive_without_the_models_name_is_built() -> None:
    found = configuration(load_models="m.mar,m=m-2.mar", model_store="/store")

    assert [(each.path.name, each.built) for each in found.archives] == [
        ("m.mar", True),
        ("m-2.mar", False),
    ]


def test_model_name_may_hold_dots() -> None:
    assert configuration(load_models="birds-v1.2.mar").model_name == "birds-v1.2"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"load_models": "all"}, id="all"),
        pytest.param({"load_models": "a.mar,b.mar"}, id="two models"),
        pytest.param({"load_models": "m=a.mar,n=b.mar"}, id="two models by name"),
        pytest.param({"load_models": "m=a.mar,m=a.mar"}, id="an archive twice"),
        pytest.param({"load_models": "a.mar,a.mar"}, id="an archive twice, without a name"),
        pytest.param({"load_models": "m=a.mar,m.mar,m.mar"}, id="two archives to be built"),
        pytest.param({"load_models": "=a.mar"}, id="empty name"),
        pytest.param({"load_models": "m=a.mar,"}, id="empty entry"),
        pytest.param({"load_models": "m=../a.mar"}, id="outside the model store"),
        pytest.param({"load_models": "m=http://host/a.mar"}, id="an address"),
        pytest.param({"load_models": "a.mar, b.mar"}, id="two archives with a space"),
        pytest.param({"load_models": "densenet121"}, id="no archive's name"),
        pytest.param({"load_models": "none"}, id="none"),
        pytest.param({"load_models": ""}, id="empty"),
        pytest.param({}, id="missing"),
    ],
)
def test_anything_but_archives_of_one_model_is_an_error(values: dict[str, str]) -> None:
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
