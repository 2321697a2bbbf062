import hashlib
from pathlib import Path

import pytest

from archive_builder.download import DownloadError, download
from tests.unit.local_http import Answer, refusing, serving

CONTENT = bytes(range(256)) * 5000  # more than one piece of 1 MiB
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]
OTHER = b"another file"
OTHER_PREFIX = hashlib.sha256(OTHER).hexdigest()[:8]

GOOD = Answer(CONTENT)
FAILURES = {
    "wrong hash": Answer(OTHER),
    "cut": Answer(CONTENT[:1000], missing=len(CONTENT) - 1000),
    "nothing before the cut": Answer(missing=len(CONTENT)),
    "status 404": Answer(b"not found", status=404),
    "status 503": Answer(b"later", status=503),
}
failures = pytest.mark.parametrize("failure", FAILURES.values(), ids=list(FAILURES))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_good_file_is_on_disk_byte_for_byte(target: Path) -> None:
    with serving(lambda _: GOOD) as server:
        download(f"{server.url}/weights.pth", target, PREFIX)

    assert target.read_bytes() == CONTENT


def test_good_file_leaves_only_the_lock_beside_it(target: Path) -> None:
    with serving(lambda _: GOOD) as server:
        download(server.url, target, PREFIX)

    assert names(target.parent) == {"weights.pth", ".weights.pth.lock"}


def test_url_is_asked_for_once(target: Path) -> None:
    with serving(lambda _: GOOD) as server:
        download(f"{server.url}/models/weights.pth", target, PREFIX)

    assert [request.path for request in server.requests] == ["/models/weights.pth"]


@failures
def test_failure_leaves_nothing_but_the_lock(target: Path, failure: Answer) -> None:
    with serving(lambda _: failure) as server, pytest.raises(DownloadError):
        download(server.url, target, PREFIX)

    assert names(target.parent) == {".weights.pth.lock"}


@failures
def test_older_good_target_survives_a_failure(target: Path, failure: Answer) -> None:
    target.write_bytes(CONTENT)

    with serving(lambda _: failure) as server, pytest.raises(DownloadError):
        download(server.url, target, PREFIX)

    assert target.read_bytes() == CONTENT


@failures
def test_second_call_after_a_failure_succeeds(target: Path, failure: Answer) -> None:
    with serving(lambda _: failure) as server, pytest.raises(DownloadError):
        download(server.url, target, PREFIX)

    with serving(lambda _: GOOD) as server:
        download(server.url, target, PREFIX)

    assert target.read_bytes() == CONTENT


def test_wrong_hash_names_what_was_found_and_what_was_wanted(target: Path) -> None:
    with serving(lambda _: Answer(OTHER)) as server:
        with pytest.raises(DownloadError) as caught:
            download(server.url, target, PREFIX)

        assert str(caught.value) == (
            f"{server.url}: SHA-256 begins with {OTHER_PREFIX}, not with {PREFIX}"
        )


def test_hash_that_differs_in_its_last_wanted_digit_is_wrong(target: Path) -> None:
    almost = PREFIX[:-1] + ("0" if PREFIX[-1] != "0" else "1")

    with serving(lambda _: GOOD) as server, pytest.raises(DownloadError, match="begins with"):
        download(server.url, target, almost)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        pytest.param("cut", "the transfer was cut", id="cut"),
        pytest.param("status 404", "HTTP status 404", id="status 404"),
        pytest.param("status 503", "HTTP status 503", id="status 503"),
    ],
)
def test_error_names_the_url_and_the_cause(target: Path, failure: str, words: str) -> None:
    with serving(lambda _: FAILURES[failure]) as server:
        with pytest.raises(DownloadError) as caught:
            download(f"{server.url}/w.pth", target, PREFIX)

        assert str(caught.value).startswith(f"{server.url}/w.pth: ")
        assert words in str(caught.value)


def test_refused_connection_is_no_connection(target: Path) -> None:
    with refusing() as url, pytest.raises(DownloadError, match="no connection"):
        download(url, target, PREFIX)

    assert names(target.parent) == {".weights.pth.lock"}


def test_longer_leftover_of_a_killed_writer_is_overwritten(target: Path) -> None:
    target.with_name(".weights.pth.part").write_bytes(b"x" * (len(CONTENT) + 1000))

    with serving(lambda _: GOOD) as server:
        download(server.url, target, PREFIX)

    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {"weights.pth", ".weights.pth.lock"}


def test_progress_is_not_shown_where_nobody_watches(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda _: GOOD) as server:
        download(server.url, target, PREFIX)

    assert capsys.readouterr() == ("", "")
