import importlib.util
import re
import struct
import zipfile
from pathlib import Path

import pytest

from server_control.torchserve_keys import KEYS, PATHS, from_environment, require_known

# Read by TorchServe's launcher, not by its server (ts/model_server.py).
LAUNCHERS = {"plugins_path", "vmargs"}
# What the class says besides the names of its keys: values, and a name of workflows.
NO_KEYS = {
    "torchelastic_ts",
    "ts_request_sequence_end",
    "ts_request_sequence_id",
    "ts_request_sequence_start",
}
# Bytes after the tag of an entry of the constant pool (Java Virtual Machine Specification, 4.4).
SIZES = {
    **dict.fromkeys((7, 8, 16, 19, 20), 2),
    15: 3,
    **dict.fromkeys((3, 4, 9, 10, 11, 12, 17, 18), 4),
}


@pytest.fixture(scope="module")
def package() -> Path:
    spec = importlib.util.find_spec("ts")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def texts(package: Path) -> set[str]:
    """Return every text in the constant pool of the installed ConfigManager."""
    with zipfile.ZipFile(package / "frontend" / "model-server.jar") as jar:
        (name,) = (each for each in jar.namelist() if each.endswith("/util/ConfigManager.class"))
        content = jar.read(name)
    (count,) = struct.unpack_from(">H", content, 8)
    at, index = 10, 1
    found = set()
    while index < count:
        tag = content[at]
        if tag == 1:
            (size,) = struct.unpack_from(">H", content, at + 1)
            found.add(content[at + 3 : at + 3 + size].decode(errors="replace"))
            at += 3 + size
        elif tag in {5, 6}:  # long and double take two places
            at, index = at + 9, index + 1
        else:
            at += 1 + SIZES[tag]
        index += 1
    return found


def test_every_key_is_one_of_torchserve(texts: set[str]) -> None:
    assert KEYS - texts == LAUNCHERS


@pytest.mark.parametrize("key", sorted(LAUNCHERS))
def test_launcher_reads_its_keys(package: Path, key: str) -> None:
    assert f'"{key}"' in (package / "model_server.py").read_text(encoding="utf-8")


def test_no_key_of_torchserve_is_missing(texts: set[str]) -> None:
    names = {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)+", text)}

    assert names - KEYS == NO_KEYS


def test_paths_are_keys() -> None:
    assert set(PATHS) <= KEYS


def test_unknown_keys_are_named() -> None:
    with pytest.raises(ValueError, match=r"no setting disable_token_authorisation, modelstore$"):
        require_known({"modelstore": "", "load_models": "", "disable_token_authorisation": "false"})


@pytest.mark.parametrize(
    ("environment", "values"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"TS_LOAD_MODELS": "m.mar"}, {"load_models": "m.mar"}, id="a key"),
        pytest.param({"TS_LOAD_MODELS": ""}, {}, id="empty variable"),
        pytest.param({"TS_UNKNOWN": ""}, {}, id="empty variable of no key"),
        pytest.param({"PATH": "/bin", "XTS_DEBUG": "1", "ts_debug": "1"}, {}, id="others"),
        pytest.param(
            {"TS_CONFIG_FILE": "c", "TS_MODEL_SERVER_HOME": "/opt"}, {}, id="TorchServe's own"
        ),
        pytest.param(
            {"TS_OPEN_INFERENCE_PROTOCOL": "true"},
            {"ts_open_inference_protocol": "true"},
            id="a key that begins with ts_",
        ),
        pytest.param({"TS_MODEL_STORE": "/store"}, {"model_store": "/store"}, id="absolute path"),
    ],
)
def test_environment(environment: dict[str, str], values: dict[str, str]) -> None:
    assert from_environment(environment) == values


@pytest.mark.parametrize("key", PATHS)
def test_relative_path_in_the_environment_is_of_the_working_directory(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert from_environment({f"TS_{key.upper()}": "a/b"}) == {key: str(tmp_path / "a" / "b")}


def test_variable_of_no_key_is_an_error() -> None:
    with pytest.raises(ValueError, match="no setting inference_adress"):
        from_environment({"TS_INFERENCE_ADRESS": "http://127.0.0.1:1"})


@pytest.mark.parametrize("text", ["a\nmodel_store=/", "a\rb", "a\x85b"])
def test_value_of_several_lines_is_an_error(text: str) -> None:
    """It would be other settings in the file that TorchServe reads."""
    with pytest.raises(ValueError, match="load_models: more than one line"):
        from_environment({"TS_LOAD_MODELS": text})
