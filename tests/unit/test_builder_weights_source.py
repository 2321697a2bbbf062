import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive_builder import fetch_weights
from archive_builder.command import CommandError
from archive_builder.download import DownloadError
from archive_builder.weights_source import WeightsSource, fetch_official, find_weights, how_to_get
from densenet_classifier.weights import IMAGENET1K_V1, WeightsRecord
from tests.unit.local_http import Answer, Server, refusing, serving

OFFICIAL = b"stand-in for the official file"
OWN = b"somebody's own weights"
DEMO = b"stand-in for the demo weights"
PATH = "/models/densenet121-test.pth"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record(url: str) -> WeightsRecord:
    prefix = sha256(OFFICIAL)[:8]
    return dataclasses.replace(IMAGENET1K_V1, url=url + PATH, sha256_prefix=prefix)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "model_store"
    folder.mkdir()
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.pth"
    path.write_bytes(OWN)
    return path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: Answer(OFFICIAL)) as server:
        yield server


@pytest.fixture
def online(server: Server) -> WeightsRecord:
    return record(server.url)


@pytest.fixture
def offline() -> Iterator[WeightsRecord]:
    with refusing() as url:
        yield record(url)


@pytest.fixture(autouse=True)
def cheap_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def demo_weights(store: Path) -> Path:
        path = store / "demo.pth"
        path.write_bytes(DEMO)
        return path

    monkeypatch.setattr("archive_builder.weights_source.demo_weights", demo_weights)


# The order of precedence.


def test_first_comes_the_file_that_the_variable_names(
    store: Path, own: Path, online: WeightsRecord
) -> None:
    (store / online.file_name).write_bytes(OFFICIAL)

    found = find_weights(store, environment={"DENSENET121_WEIGHTS": str(own)}, official=online)

    assert found == WeightsSource(own, f"custom:{sha256(OWN)[:12]}", sha256(OWN))


def test_demo_by_name_comes_before_the_official_file(store: Path, online: WeightsRecord) -> None:
    (store / online.file_name).write_bytes(OFFICIAL)

    found = find_weights(store, environment={"DENSENET121_WEIGHTS": "demo"}, official=online)

    assert found == WeightsSource(store / "demo.pth", "demo", sha256(DEMO))


def test_second_comes_the_official_file_in_the_store(store: Path, offline: WeightsRecord) -> None:
    path = store / offline.file_name
    path.write_bytes(OFFICIAL)

    found = find_weights(store, environment={}, official=offline)

    assert found == WeightsSource(path, "imagenet1k-v1", sha256(OFFICIAL))


def test_third_comes_the_official_file_downloaded(store: Path, online: WeightsRecord) -> None:
    found = find_weights(store, environment={}, official=online)

    assert found.path.read_bytes() == OFFICIAL
    assert found == WeightsSource(store / "densenet121-test.pth", "imagenet1k-v1", sha256(OFFICIAL))


def test_fourth_come_the_demo_weights(store: Path, offline: WeightsRecord) -> None:
    found = find_weights(store, environment={}, official=offline)

    assert found == WeightsSource(store / "demo.pth", "demo", sha256(DEMO))


def test_empty_variable_is_like_none(store: Path, online: WeightsRecord) -> None:
    found = find_weights(store, environment={"DENSENET121_WEIGHTS": ""}, official=online)

    assert found.name == "imagenet1k-v1"


def test_variables_are_those_of_the_process(
    store: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENSENET121_WEIGHTS", str(own))

    assert find_weights(store).path == own


# A file of one's own.


def test_own_name_is_custom_and_twelve_digits(store: Path, own: Path) -> None:
    found = find_weights(store, environment={"DENSENET121_WEIGHTS": str(own)})

    assert found.name == f"custom:{sha256(OWN)[:12]}"


@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_own_file_that_is_none_is_an_error_naming_the_variable(
    store: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()

    with pytest.raises(CommandError) as caught:
        find_weights(store, environment={"DENSENET121_WEIGHTS": str(path)})

    assert str(caught.value) == f"DENSENET121_WEIGHTS={path}: there is no such file"


# The network.


@pytest.mark.parametrize(
    "asked", [pytest.param("demo", id="demo"), pytest.param("own", id="own file")]
)
def test_named_weights_never_contact_the_network(
    store: Path, own: Path, server: Server, asked: str
) -> None:
    environment = {"DENSENET121_WEIGHTS": asked if asked == "demo" else str(own)}

    find_weights(store, environment=environment, official=record(server.url))

    assert server.requests == []


def test_official_file_in_the_store_needs_no_network(store: Path, server: Server) -> None:
    official = record(server.url)
    (store / official.file_name).write_bytes(OFFICIAL)

    find_weights(store, environment={}, official=official)

    assert server.requests == []


def test_second_call_uses_what_the_first_downloaded(store: Path, server: Server) -> None:
    for _ in range(2):
        find_weights(store, environment={}, official=record(server.url))

    assert [request.path for request in server.requests] == [PATH]


def test_mirror_is_used_in_place_of_the_official_address(
    store: Path, server: Server, offline: WeightsRecord
) -> None:
    environment = {"DENSENET121_WEIGHTS_URL": f"{server.url}/mirror/any-name.pth"}

    found = find_weights(store, environment=environment, official=offline)

    assert [request.path for request in server.requests] == ["/mirror/any-name.pth"]
    assert found == WeightsSource(store / offline.file_name, "imagenet1k-v1", sha256(OFFICIAL))


def test_mirror_with_another_file_is_not_believed(store: Path, offline: WeightsRecord) -> None:
    with serving(lambda _: Answer(OWN)) as server, pytest.raises(DownloadError, match="SHA-256"):
        fetch_official(store, environment={"DENSENET121_WEIGHTS_URL": server.url}, official=offline)

    assert not (store / offline.file_name).exists()


def test_download_says_where_from(
    store: Path, online: WeightsRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    find_weights(store, environment={}, official=online)

    assert capsys.readouterr().err == f"Downloading {online.url}\n"


def test_no_network_is_told_on_stderr(
    store: Path, offline: WeightsRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    find_weights(store, environment={}, official=offline)

    output, told = capsys.readouterr()
    assert output == ""
    assert told.splitlines()[-1] == (
        f"The official weights could not be downloaded ({offline.url}: no connection)."
    )


def test_official_file_with_a_wrong_hash_is_an_error(store: Path, online: WeightsRecord) -> None:
    path = store / online.file_name
    path.write_bytes(OWN)

    with pytest.raises(CommandError) as caught:
        find_weights(store, environment={}, official=online)

    message = str(caught.value)
    assert message.startswith(f"{path} is not the official file")
    assert sha256(OWN)[:8] in message
    assert path.read_bytes() == OWN


def test_another_file_than_the_official_one_is_an_error_not_a_reason_for_demo_weights(
    store: Path, offline: WeightsRecord
) -> None:
    with serving(lambda _: Answer(OWN)) as server:
        environment = {"DENSENET121_WEIGHTS_URL": server.url}

        with pytest.raises(CommandError, match="SHA-256 begins with"):
            find_weights(store, environment=environment, official=offline)

    assert not list(store.glob("*.pth"))


def test_empty_mirror_is_none(store: Path, online: WeightsRecord) -> None:
    found = find_weights(store, environment={"DENSENET121_WEIGHTS_URL": ""}, official=online)

    assert found.name == online.name


# require_pretrained.


@pytest.mark.parametrize("asked", ["", "demo"], ids=["no network", "demo by name"])
def test_required_pretrained_weights_refuse_demo_weights(
    store: Path, offline: WeightsRecord, asked: str
) -> None:
    with pytest.raises(CommandError, match="no pretrained weights") as caught:
        find_weights(
            store,
            require_pretrained=True,
            environment={"DENSENET121_WEIGHTS": asked},
            official=offline,
        )

    assert "./scripts/fetch-weights" in str(caught.value)
    assert not (store / "demo.pth").exists()


@pytest.mark.parametrize("present", [True, False], ids=["in the store", "downloaded"])
def test_required_pretrained_weights_take_the_official_file(
    store: Path, online: WeightsRecord, *, present: bool
) -> None:
    if present:
        (store / online.file_name).write_bytes(OFFICIAL)

    found = find_weights(store, require_pretrained=True, environment={}, official=online)

    assert found.name == "imagenet1k-v1"


def test_required_pretrained_weights_take_an_own_file(store: Path, own: Path) -> None:
    environment = {"DENSENET121_WEIGHTS": str(own)}

    found = find_weights(store, require_pretrained=True, environment=environment)

    assert found.path == own


def test_advice_names_file_folder_and_variable(store: Path) -> None:
    advice = how_to_get(store)

    for word in ("densenet121-a639ec97.pth", str(store), "DENSENET121_WEIGHTS"):
        assert word in advice


# The command fetch-weights.


def test_fetch_weights_prints_path_and_hash(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = WeightsSource(store / "w.pth", "imagenet1k-v1", sha256(OFFICIAL))
    monkeypatch.setattr("sys.argv", ["fetch-weights"])
    monkeypatch.setattr(fetch_weights, "fetch_official", lambda _store: source)

    assert fetch_weights.main() == 0
    assert capsys.readouterr().out == f"{store / 'w.pth'}\nsha256  {sha256(OFFICIAL)}\n"


def test_fetch_weights_fails_clearly_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_store: Path) -> WeightsSource:
        raise DownloadError("http://there: no connection")

    monkeypatch.setattr("sys.argv", ["fetch-weights"])
    monkeypatch.setattr(fetch_weights, "fetch_official", fail)

    with pytest.raises(CommandError, match="http://there: no connection"):
        fetch_weights.main()
