"""The script that makes a certificate to try TLS with."""

import shutil
import ssl
import subprocess
from pathlib import Path

from archive_builder import ROOT

SCRIPT = ROOT / "scripts" / "make-certificate"


def make(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SCRIPT, folder],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pair_of_files_that_fit(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    result = make(folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{folder}/server.pem\n"
    assert {path.name for path in folder.iterdir()} == {"server.pem", "server.key"}
    # PKCS#8, as TorchServe wants it, and RSA.
    assert (folder / "server.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (folder / "server.key").stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        folder / "server.pem", folder / "server.key"
    )
    words = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", folder / "server.pem"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "Public Key Algorithm: rsaEncryption" in words
    names = "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"
    assert names in words


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("precious")
    result = make(tmp_path)
    assert result.returncode == 1
    assert result.stderr == f"error: {tmp_path}/server.key exists already; remove it first\n"
    assert [path.name for path in tmp_path.iterdir()] == ["server.key"]
    assert (tmp_path / "server.key").read_text() == "precious"


def test_without_openssl_it_says_so(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    result = make(tmp_path / "new", PATH=str(programs))
    assert result.returncode == 1
    assert "openssl is missing" in result.stderr
    assert not (tmp_path / "new").exists()
