"""Secrets are kept from workers by their names, and out of what is said."""

import re
from datetime import UTC, datetime

import pytest

from reverse_proxy.clients import Client
from reverse_proxy.hosts import Target
from server_control.configuration import Configuration
from server_control.keys import Key
from server_control.ports import PRODUCTION
from server_control.serve import _without_password

SECRET = "s" * 32
KEPT = re.compile(Configuration.read(PRODUCTION).values["blacklist_env_vars"])


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AZURE_CLIENT_SECRET", "HF_TOKEN", "DB_PASSWORD",
     "MYSQL_PASSWD", "PGPASSWORD", "SSH_PASSPHRASE", "TS_KEYSTORE_PASS", "DENSENET121_TOKEN",
     "OPENAI_API_KEY", "OPENAI_APIKEY", "GOOGLE_APPLICATION_CREDENTIALS", "PRIVATE_KEY"],
)  # fmt: skip
def test_a_variable_that_is_named_like_a_secret_is_kept_from_workers(name: str) -> None:
    # TorchServe compares the whole name.
    assert KEPT.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LANG", "TEMP", "TMPDIR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
     "DENSENET121_PRECISION", "LD_LIBRARY_PATH", "METRICS_LOCATION"],
)  # fmt: skip
def test_what_workers_need_is_not(name: str) -> None:
    assert not KEPT.fullmatch(name)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (
            f"configuration.keystore_pass: {SECRET} -> absent",
            "configuration.keystore_pass: another",
        ),
        ("configuration.keystore_pass: absent -> a: b", "configuration.keystore_pass: another"),
        ("configuration.keystore: a -> b", "configuration.keystore: a -> b"),
    ],
)
def test_a_password_that_differs_is_not_shown(change: str, shown: str) -> None:
    assert _without_password(change) == shown


@pytest.mark.parametrize(
    "holder",
    [Client("shop", SECRET), Target("https://127.0.0.1", SECRET), Key(SECRET, datetime.now(UTC))],
    ids=lambda each: type(each).__name__,
)
def test_a_message_that_shows_the_whole_object_shows_no_token(holder: object) -> None:
    assert SECRET not in f"{holder!r} {holder}"
