"""The production configuration behind its proxy: where secrets are found, and what listens.

One server and one proxy are used as people use them, rightly and wrongly, and their tokens are
renewed. Then everything that others may come to read is searched for every secret there was: logs,
consoles, command lines, the workers' environment.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import grpc
import psutil
import pytest

from archive_builder import SAMPLES
from reverse_proxy.nginx import find_nginx
from server_control.keys import KINDS, read
from server_control.runtime import java_process, processes
from tests.proxy.harness import Proxy, running, wait_for
from tests.server.harness import DEMO_WEIGHTS, Server
from tests.server.test_production import OF_THE_MODEL, PREDICTIONS, ask
from tests.sockets import open_to_others, whole_tree

UMBRELLA = SAMPLES / "umbrella.png"
# What an operator's shell may hold; deploy/config.properties keeps all of it from the workers.
NAMES = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "DB_PASSWORD", "TS_KEYSTORE_PASS", "SSH_PASSPHRASE",
         "AZURE_CLIENT_CREDENTIAL", "OPENAI_API_KEY", "PRIVATE_PEM")  # fmt: skip
_WRONG = "kQ7wrong"  # of the length of TorchServe's


@dataclass
class Pair:
    """A server, a proxy in front of it, every secret there was, and what the scripts said."""

    server: Server
    proxy: Proxy
    variables: dict[str, str]
    tokens: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> set[str]:
        return self.tokens | set(self.variables.values())

    def script(self, name: str, *arguments: str) -> None:
        result = self.server.script(name, *arguments)
        assert result.returncode == 0, result.stderr
        # `token` is asked for one and prints it; what it says besides is stderr.
        self.said += [result.stderr, "" if name == "token" else result.stdout]

    def note_tokens(self) -> None:
        text = self.server.runtime.key_file.read_text()
        self.tokens |= {read(self.server.runtime, kind).token for kind in KINDS}
        self.tokens.add(text.split('"API"')[1].split('"key"')[1].split('"')[1])


@pytest.fixture(scope="module")
def pair(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH")
    find_nginx()
    folder = tmp_path_factory.mktemp("secrets")
    variables = {name: token_hex(16) for name in NAMES}
    server = Server(folder, demo_store, environment=DEMO_WEIGHTS | variables)
    server.write_production_configuration()
    host = f'name = "one"\nconfiguration = "{server.path}"'
    try:
        served = server.serve()
        with running(Proxy(folder / "proxy", folder / "certificates", [host])) as proxy:
            pair = Pair(server, proxy, variables, said=[served.stdout, served.stderr])
            pair.tokens |= {proxy.token, _WRONG}
            pair.note_tokens()
            use(pair)
            yield pair
    finally:
        server.stop()


def use(pair: Pair) -> None:
    """Do what people do: ask with tokens that are right, wrong, old and missing; renew; look."""
    server, proxy = pair.server, pair.proxy
    body = UMBRELLA.read_bytes()
    for kind, what in (("inference", "GET /ping"), ("management", "GET /models")):
        old = read(server.runtime, kind).token
        pair.script("token", kind, "--renew")
        pair.note_tokens()
        new = read(server.runtime, kind).token
        assert old != new
        for bearer, ok in ((new, True), (old, False), (_WRONG, False), (None, False)):
            assert (ask(server, kind, what, bearer=bearer).status_code != 400) == ok
    ask_over_grpc(pair)
    pair.script("status")
    pair.script("predict", str(UMBRELLA))
    wait_for(lambda: proxy.post(data=body).status_code == 200, "the proxy has the new token")
    for header in (f"Bearer {_WRONG}", _WRONG, f"Basic {proxy.token}", f"Bearer {proxy.token}x"):
        answer = proxy.post(data=body, headers={"Authorization": header})
        assert answer.status_code == 401
        pair.said.append(answer.text + str(answer.headers))
    pair.said.append(proxy.script("--add-client", "tester").stderr)  # there already: refused
    result = server.script("serve", TS_KEYSTORE_PASS="another")
    assert "keystore_pass: another" in result.stderr
    pair.said.append(result.stderr)


def ask_over_grpc(pair: Pair) -> None:
    port = pair.server.configuration.values["grpc_inference_port"]
    root = (pair.server.folder / "certificates" / "server.pem").read_bytes()
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root)) as channel:
        call: Any = channel.unary_unary(PREDICTIONS)
        for token in (read(pair.server.runtime, "inference").token, _WRONG):
            metadata = (("authorization", f"Bearer {token}"),)
            try:
                call(OF_THE_MODEL, metadata=metadata, timeout=60)
            except grpc.RpcError as error:
                pair.said.append(str(error))


def found_in(secrets: Iterable[str], text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [secret for secret in secrets if secret.encode() in data]


def files_below(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def test_no_log_holds_a_secret(pair: Pair) -> None:
    pair.server.count_batches()  # at rest
    runtime = pair.server.runtime
    logs = [runtime.console, *files_below(runtime.logs, pair.proxy.state / "logs")]
    names = {path.name for path in logs}
    assert {"ts_log.log", "model_log.log", "requests.log", "access_log.log", "access.log"} <= names
    assert {"console.log", "front-error.log", "balance-error.log"} <= names
    everything = b"".join(path.read_bytes() for path in logs)
    assert b"/predictions/densenet121" in everything
    assert b'"client": "tester"' in everything
    for path in logs:
        assert found_in(pair.secrets, path.read_bytes()) == [], path.name


def test_no_console_and_no_answer_holds_a_secret(pair: Pair) -> None:
    assert len(pair.said) > 8
    assert found_in(pair.secrets - {_WRONG}, "".join(pair.said) + pair.proxy.output) == []


def test_no_command_line_of_the_machine_holds_a_secret(pair: Pair) -> None:
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert any(pair.server.note().temp in line for line in lines)
    assert any(str(pair.proxy.root) in line for line in lines)
    for line in lines:
        assert found_in(pair.secrets, line) == []


def test_the_workers_know_no_secret_of_the_environment(pair: Pair) -> None:
    workers = pair.server.workers()
    assert len(workers) == 2
    for worker in workers:
        assert found_in(pair.secrets, str(worker.environ())) == []


def test_no_process_has_a_token_in_its_environment(pair: Pair) -> None:
    proxy = pair.proxy.process
    java = java_process(pair.server.note())
    assert proxy is not None
    assert java is not None
    tree = whole_tree([java, psutil.Process(proxy.pid)])
    assert len(tree) > 7  # Java, two workers, the proxy, two nginxes with workers of their own
    for process in tree:
        assert found_in(pair.tokens, Path(f"/proc/{process.pid}/environ").read_bytes()) == []


def test_what_lies_in_temporary_folders_is_for_the_owner_alone(pair: Pair) -> None:
    temp = Path(pair.server.note().temp)
    for folder in (temp, pair.server.runtime.folder, pair.server.folder / "certificates"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for path in files_below(temp):
        assert found_in(pair.secrets, path.read_bytes()) == [], path


def test_keys_are_the_owners_alone(pair: Pair) -> None:
    keys = [
        pair.server.runtime.key_file,
        pair.server.folder / "certificates" / "server.key",
        pair.proxy.folder / "clients",
    ]
    for path in keys:
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_tokens_lie_in_their_own_files_and_nowhere_else(pair: Pair) -> None:
    # The host's token stands in nginx's configuration too, in a folder that is nobody else's.
    private = pair.proxy.root / "private"
    assert private.stat().st_mode & 0o777 == 0o700
    allowed = {pair.server.runtime.key_file, pair.proxy.folder / "clients"}
    folders = (pair.server.runtime.folder, pair.server.folder, pair.proxy.state, pair.proxy.root)
    for path in files_below(*folders):
        if path not in allowed and path.parent != private:
            assert found_in(pair.tokens, path.read_bytes()) == [], path


def test_the_search_finds_what_is_there(pair: Pair) -> None:
    text = pair.server.runtime.key_file.read_text()
    assert len(found_in(pair.tokens, text)) == 3
    assert all(len(secret) >= 8 for secret in pair.secrets)


def test_server_and_proxy_listen_where_they_say_and_nowhere_else(pair: Pair) -> None:
    server, proxy = pair.server, pair.proxy
    found = open_to_others(processes(server.note()))
    assert found.tcp == set(server.configuration.listeners().values())
    assert {host for host, _ in found.tcp} == {"127.0.0.1"}
    assert found.udp == found.outgoing == set()
    assert {Path(name).parent for name in found.unix} == {Path(server.note().temp)}
    assert proxy.process is not None
    front = open_to_others([psutil.Process(proxy.process.pid)])
    assert front.tcp == {("127.0.0.1", proxy.port), ("127.0.0.1", proxy.plain_port)}
    assert front.udp == set()
    assert front.outgoing <= found.tcp
    assert {Path(name).parent for name in front.unix} == {proxy.root / "sockets"}


def test_the_proxy_is_no_way_to_what_needs_another_token(pair: Pair) -> None:
    for path in ("/ping", "/models", "/metrics", "/token?type=inference", "/api-description"):
        assert pair.proxy.get(path).status_code == 404
