"""Whose token is renewed when, and what a renewal that fails changes for the others."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders
from reverse_proxy.hosts import Host, LocalHost, Observation
from reverse_proxy.supervisor import Supervisor
from server_control.readiness import IS_READY


@dataclass
class Renewals:
    """Hosts that want new tokens all the time, which the one called "full" cannot have."""

    supervisor: Supervisor
    hosts: tuple[str, ...] = ("full", "two")
    tried: list[str] = field(default_factory=list)

    def seen(self) -> dict[Host, Observation]:
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        return {
            LocalHost(name, Path(name)): Observation(
                IS_READY, "", renewal=long_ago + timedelta(days=at)
            )
            for at, name in enumerate(self.hosts)
        }

    def renew(self, host: LocalHost) -> None:
        self.tried.append(host.name)
        if host.name == "full":
            raise CommandError("no room")

    def turn(self) -> float:
        """Renew the token whose turn it is, and return the pause after it in seconds."""
        self.supervisor._renewing_since = -1000.0
        self.supervisor._begin_renewal()
        assert self.supervisor._renewing is not None
        with suppress(CommandError):
            self.supervisor._renew(self.supervisor._renewing)
        return self.supervisor._renewal_pause_s


@pytest.fixture
def renewals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Renewals:
    file = tmp_path / "proxy.toml"
    file.write_text('listen = ["127.0.0.1:8080"]\n[[hosts]]\nname = "a"\nconfiguration = "a"\n')
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path, "")
    supervisor = Supervisor(ProxyConfiguration.load(file), folders)
    made = Renewals(supervisor)

    def renew(host: LocalHost) -> None:
        made.renew(host)

    monkeypatch.setattr(supervisor, "_seen", made.seen)
    monkeypatch.setattr(supervisor, "_apply", lambda: None)
    monkeypatch.setattr(LocalHost, "renew", renew)
    return made


def test_a_host_whose_renewal_fails_keeps_no_other_from_its_own(renewals: Renewals) -> None:
    for _ in range(4):
        renewals.turn()
    assert renewals.tried == ["full", "two"] * 2


def test_the_pause_grows_with_each_renewal_that_fails(renewals: Renewals) -> None:
    renewals.hosts = ("full",)
    assert [renewals.turn() for _ in range(8)] == [20, 40, 80, 160, 320, 640, 640, 640]
    renewals.hosts = ("two",)
    assert renewals.turn() == 10
