"""The file of clients: read, refused, added to."""

import os
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from reverse_proxy.clients import Client, add_client, read_clients

TOKEN = "Aa0._~+/-" + "x" * 23 + "=="


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "clients"
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def test_lines_comments_and_order(tmp_path: Path) -> None:
    text = f"# whose\nshop {TOKEN}\n\nphone.app-2   {'b' * 40}\n"
    clients = read_clients(written(tmp_path, text))
    assert clients == (Client("shop", TOKEN), Client("phone.app-2", "b" * 40))


@pytest.mark.parametrize(
    "line",
    [
        "shop",
        f"sh;op {TOKEN}",
        f"shop {TOKEN} more",
        "shop short",
        f'shop "{TOKEN}"',
        f"shop {TOKEN};",
    ],
)
def test_a_wrong_line_is_named_without_its_token(tmp_path: Path, line: str) -> None:
    with pytest.raises(CommandError, match="line 2: must be NAME TOKEN") as error:
        read_clients(written(tmp_path, f"first {'c' * 32}\n{line}\n"))
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("second", [f"one {'b' * 32}", f"two {'a' * 32}"], ids=["name", "token"])
def test_names_and_tokens_are_somebodys_own(tmp_path: Path, second: str) -> None:
    with pytest.raises(CommandError, match="the name or the token of one"):
        read_clients(written(tmp_path, f"one {'a' * 32}\n{second}\n"))


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, f"one {'a' * 32}\n")
    file.chmod(0o644)
    with pytest.raises(CommandError, match="others may read it; chmod 600"):
        read_clients(file)
    file.chmod(0o440)
    assert len(read_clients(file)) == 1


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--add-client NAME makes it"):
        read_clients(tmp_path / "clients")


def test_clients_are_added(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "clients"
    first, second = add_client(file, "one"), add_client(file, "two")
    assert read_clients(file) == (Client("one", first), Client("two", second))
    assert first != second
    assert len(first) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert "one" in file.read_text()


def test_an_addition_keeps_owner_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, f"one {'a' * 32}\n")
    file.chmod(0o440)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _, uid, gid: given.append((uid, gid)))
    before = file.stat()
    add_client(file, "two")
    assert file.stat().st_ino != before.st_ino
    assert file.stat().st_mode & 0o777 == 0o440
    assert given == [(before.st_uid, before.st_gid)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    file = written(tmp_path, f"one {'a' * 32}\n")
    os.chown(file, 10001, 10001)
    add_client(file, "two")
    assert (file.stat().st_uid, file.stat().st_gid) == (10001, 10001)


def test_who_may_not_keep_the_owner_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, f"one {'a' * 32}\n")

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(CommandError, match="as it was: Operation not permitted"):
        add_client(file, "two")
    assert [client.name for client in read_clients(file)] == ["one"]
    assert not list(tmp_path.glob(".*.partial"))


def test_comments_outlast_an_addition(tmp_path: Path) -> None:
    file = written(tmp_path, "# whose\n")
    add_client(file, "one")
    assert file.read_text().startswith("# whose\none ")


@pytest.mark.parametrize("name", ["one", "a b", "", "x" * 65, "ä"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, f"one {'a' * 32}\n")
    with pytest.raises(CommandError):
        add_client(file, name)
    assert len(read_clients(file)) == 1


def test_tokens_are_in_no_representation() -> None:
    assert TOKEN not in repr(Client("one", TOKEN))
