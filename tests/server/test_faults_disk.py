"""Disks that fill: a server that runs goes on, one that is to start says so and leaves nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from server_control.runtime import processes
from tests.server.asking import ANSWERED, UMBRELLA, asking, authorization, outcome_of
from tests.server.harness import DEMO_WEIGHTS, Server
from tests.server.small_disk import full, small_disk
from tests.server.waiting import wait_for


@pytest.fixture(scope="module")
def disk(
    demo_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """Return a running server, with tokens, and the small disk that its folder is on."""
    server = Server(
        tmp_path_factory.mktemp("disk"),
        demo_store,
        environment=DEMO_WEIGHTS,
        settings={"disable_token_authorization": "false"},
    )
    with small_disk(server.runtime.folder, "4m") as folder:
        try:
            server.serve()
            yield server, folder
        finally:
            server.script("stop", "--now")
    shutil.rmtree(server.runtime.folder)


def test_a_server_answers_though_nothing_can_be_logged(disk: tuple[Server, Path]) -> None:
    server, folder = disk
    log = server.runtime.logs / "requests.log"
    with full(folder):
        size = log.stat().st_size
        with asking(server.url, authorization(server)) as clients:
            clients.go_on()
        assert {each.outcome for each in clients.asked} == {ANSWERED}
        assert server.script("ready").returncode == 0
        assert log.stat().st_size < size + 4096
    # And writes on when there is room.
    size = log.stat().st_size
    assert outcome_of(server.url, UMBRELLA, authorization(server)) == ANSWERED
    wait_for(lambda: log.stat().st_size > size)


@pytest.mark.parametrize("kind", ["inference", "management"])
def test_a_token_is_not_renewed_where_it_could_not_be_kept(
    kind: str, disk: tuple[Server, Path]
) -> None:
    server, folder = disk
    before = server.runtime.key_file.read_text()
    with full(folder):
        refused = server.script("token", kind, "--renew")
        assert refused.returncode == 1
        assert "No space left on device" in refused.stderr
        assert server.runtime.key_file.read_text() == before
        assert outcome_of(server.url, UMBRELLA, authorization(server)) == ANSWERED
    assert server.script("token", kind, "--renew").returncode == 0
    assert server.runtime.key_file.read_text() != before


def test_a_server_stops_on_a_full_disk(disk: tuple[Server, Path]) -> None:
    server, folder = disk
    note = server.note()
    with full(folder):
        stopped = server.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert processes(note) == []
    assert not Path(note.temp).exists()


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which private folders are made."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_start_without_room_for_its_note_leaves_nothing(server: Server, temp: Path) -> None:
    with small_disk(server.runtime.folder, "64k") as folder, full(folder):
        result = server.script("serve")
        assert result.returncode == 1
        assert "the disk is full" in result.stderr.splitlines()[-1]
        assert server.runtime.note() is None
        assert list(temp.iterdir()) == []


def test_a_start_without_room_for_the_unpacked_archive_leaves_nothing(server: Server) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="t-") as temp,  # sockets want short paths
        small_disk(Path(temp), "8m") as folder,
    ):
        result = server.script("serve", TMPDIR=str(folder))
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        assert server.runtime.note() is None
        assert list(folder.iterdir()) == []
