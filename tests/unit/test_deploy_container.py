"""The image and the Compose file, without an engine: linted, and compared with the checkout."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest

from archive_builder import ROOT
from densenet_classifier import __version__
from reverse_proxy.configuration import DEFAULT, ProxyConfiguration, clients_file
from server_control import serve
from server_control.configuration import Configuration
from tests.unit.container_files import (
    CONTAINER,
    IN_IMAGE,
    PROGRAMS,
    command,
    compose,
    copied,
    environment,
    instructions,
    of,
    proxy_file,
    scripts_in,
    secrets,
)

COMPOSE_SCHEMA = (
    Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
)
RUNS = "application"  # the stage that gathers what the final ones run
SERVICES = ("server", "proxy")
PACKAGES = ("archive_builder", "reverse_proxy", "server_control")


def test_hadolint_finds_nothing() -> None:
    result = subprocess.run(
        [str(PROGRAMS / "hadolint"), "--no-color", str(CONTAINER / "Containerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("source", sorted({*copied()}))
def test_what_is_copied_is_there_and_may_be_seen_by_a_build(source: str) -> None:
    assert list(ROOT.glob(source))
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    parents = [Path(source), *Path(source).parents]
    assert any(f"!{parent.as_posix()}" in allowed for parent in parents)


def test_a_build_sees_nothing_but_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    first, *rules = (line for line in lines if not line.startswith("#"))
    assert first == "*"
    for allowed in (rule[1:] for rule in rules if rule.startswith("!")):
        assert any(Path(source).is_relative_to(allowed) for source in copied()), allowed


def imported(module: Path) -> set[str]:
    """Return the packages of this project that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return {name for name in found if (ROOT / name).is_dir() or (ROOT / "handler" / name).exists()}


def test_the_image_has_what_its_modules_import() -> None:
    there = set(copied(RUNS)) | {path.stem for path in (ROOT / "handler").iterdir()}
    for module in (path for name in PACKAGES for path in (ROOT / name).glob("*.py")):
        assert imported(module) <= there, module


def test_the_image_has_the_scripts_that_are_called_and_they_their_modules() -> None:
    scripts = {Path(source).name for source in copied(RUNS) if source.startswith("scripts/")}
    called = scripts_in(" ".join(each.text for each in instructions() if each.stage in SERVICES))
    assert called <= scripts
    for script in sorted(scripts - {"_python"}):
        text = (ROOT / "scripts" / script).read_text(encoding="utf-8")
        (module,) = re.findall(r'_python" \S+ ([\w.]+)', text)
        assert module.split(".")[0] in copied(RUNS), script


def test_all_stages_share_one_tagged_base_with_the_python_that_is_tested() -> None:
    (base,) = (text for text in of("ARG") if text.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.(11|12)-slim-\w+", base)
    stages = {each.stage for each in instructions()}
    for text in of("FROM"):
        origin = text.split()[0]
        assert origin == "${BASE}" or origin in stages, text


def test_only_the_pinned_requirements_are_installed() -> None:
    runs = " ".join(of("RUN"))
    assert "pip install" not in runs
    assert re.findall(r"environment\.py (\S+)", runs) == [
        "requirements.txt",
        "requirements-java.txt",
    ]


def test_the_archive_is_never_of_demo_weights() -> None:
    (build,) = (text for text in of("RUN", "archive"))
    assert "./scripts/build-archive --require-pretrained" in build
    assert "./scripts/verify-archive" in build
    assert "--require-pretrained" in command("ENTRYPOINT", "server")


@pytest.mark.parametrize("stage", SERVICES)
def test_the_user_is_a_number_and_not_root(stage: str) -> None:
    assert of("USER", stage)[-1] == "10001:10001"


def test_the_entry_point_is_a_command_line_of_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    script, *arguments = command("ENTRYPOINT", "server")
    assert script == "./scripts/serve"
    monkeypatch.setattr(sys, "argv", ["serve", *arguments])
    options = serve._parse_options()
    assert (options.foreground, options.require_pretrained) == (True, True)


def test_the_variables_of_the_image_make_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where deploy/ lies does not matter here; that there is such a file does.
    variables = environment("server")
    variables["TS_CONFIG_FILE"] = variables["TS_CONFIG_FILE"].replace(IN_IMAGE, f"{ROOT}/")
    monkeypatch.chdir(ROOT)
    configuration = Configuration.load(variables)
    (archive,) = configuration.archives
    assert not archive.built  # served as it is
    assert archive.path == ROOT / "deploy" / ".." / "model_store" / "densenet121.mar"
    assert configuration.asks_for_tokens
    assert configuration.open_to_others() == []


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    assert f'image.version="{__version__}"' in " ".join(of("LABEL", "server"))
    tags = {each["image"] for each in compose()["services"].values()}
    assert tags == {f"densenet121-{name}:{__version__}" for name in SERVICES}
    for document in (CONTAINER / "Containerfile", CONTAINER / "README.md"):
        assert set(re.findall(r"densenet121-\w+:([\d.]+\d)", document.read_text())) == {__version__}


def test_the_compose_file_follows_its_specification() -> None:
    schema = json.loads(COMPOSE_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(compose(), schema)


@pytest.mark.parametrize("name", [*SERVICES, "net"])
def test_a_service_has_no_rights(name: str) -> None:
    service: dict[str, Any] = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "user", "pid", "devices"} & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_built_here_and_writes_only_to_its_mounts(name: str) -> None:
    service: dict[str, Any] = compose()["services"][name]
    run, *others = service["volumes"]
    assert run == f"run:{IN_IMAGE}.run"
    assert all(mount["read_only"] for mount in others)
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert service["build"]["target"] == name
    assert (CONTAINER / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_only_the_proxy_is_reached_from_outside() -> None:
    services = compose()["services"]
    assert [name for name in services if "ports" in services[name]] == ["net"]
    (port,) = services["net"]["ports"]
    assert of("EXPOSE") == of("EXPOSE", "proxy") == [port.split(":")[1]]


def test_the_network_outlives_whoever_starts_again() -> None:
    services = compose()["services"]
    assert {services[name]["network_mode"] for name in SERVICES} == {"service:net"}
    net = services["net"]
    assert net["entrypoint"] == ["sleep", "infinity"]
    assert net["init"] is True  # process 1 would not heed SIGTERM
    assert net["healthcheck"] == {"disable": True}
    # It runs what another service builds, and never an image of that name from elsewhere.
    assert net["image"] == services["server"]["image"]
    assert net["pull_policy"] == "never"


def test_the_server_ends_before_the_proxy() -> None:
    assert compose()["services"]["server"]["depends_on"] == ["proxy"]


def test_the_proxy_finds_its_secrets_and_the_server(tmp_path: Path) -> None:
    text = proxy_file()
    for secret in secrets():
        (tmp_path / secret).touch(mode=0o600)
    (tmp_path / "clients").write_text(f"example {'a' * 32}\n", encoding="ascii")
    file = tmp_path / "proxy.toml"
    file.write_text(text.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    configuration = ProxyConfiguration.load(file)
    (port,) = of("EXPOSE", "proxy")
    assert configuration.listen == (f"0.0.0.0:{port}",)
    (host,) = tomllib.loads(text)["hosts"]
    local = (CONTAINER / host["configuration"]).resolve()
    assert str(local) == environment("server")["TS_CONFIG_FILE"].replace(IN_IMAGE, f"{ROOT}/")


def test_the_folder_of_secrets_is_mounted_and_not_its_files() -> None:
    # A mounted file stays what it was when another takes its name, and all writers here do that.
    assert secrets() == {"clients", "server.pem", "server.key"}
    assert "secrets" not in compose()
    assert "secrets" not in compose()["services"]["proxy"]
    _, mount = compose()["services"]["proxy"]["volumes"]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", "/run/secrets", True)
    assert mount["bind"] == {"create_host_path": False}
    default = re.fullmatch(r"\$\{SECRETS_FOLDER:-(.+)\}", mount["source"])
    assert default is not None
    # Where --add-client and make-certificate write.
    assert (CONTAINER / default[1]).resolve() == clients_file(DEFAULT).parent
    certificate = (ROOT / "scripts" / "make-certificate").read_text(encoding="utf-8")
    folder = (CONTAINER / default[1]).resolve().relative_to(ROOT)
    assert f"folder=${{1:-$root/{folder}}}" in certificate
    readme = (CONTAINER / "README.md").read_text(encoding="utf-8")
    uid = of("USER", "proxy")[-1].partition(":")[0]
    assert f"chown -R {uid} {folder}\n" in readme
