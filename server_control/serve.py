"""`serve`: from a checkout to a running server and an answer, in one command.

Builds the archive when it is missing or not the one asked for, starts TorchServe, waits until
every worker is ready, and shows the answer to one of the project's pictures.
"""

import argparse
import shlex
import time
from pathlib import Path

import psutil
import requests

from archive_builder import SAMPLES
from archive_builder.command import CommandError, run, say
from archive_builder.contents import Record
from archive_builder.inputs import ArchiveInputs, differences
from archive_builder.weights_source import DEMO, how_to_get
from densenet_classifier.settings import Settings
from server_control.archives import asked_for, inputs_of, prepare
from server_control.configuration import Configuration
from server_control.drain import add_options
from server_control.environment import require_known_variables
from server_control.java import find_java_home
from server_control.management import call
from server_control.runtime import Note, Runtime, java_process
from server_control.stop import end
from server_control.torchserve import require_free_ports, start, stop, wait_until_ready

SAMPLE = SAMPLES / "umbrella.png"
_ANSWER_TIMEOUT_S = 60.0


def main() -> int:
    """Serve as the command line, the environment and the configuration ask."""
    options = _parse_options()
    configuration = Configuration.load()
    require_known_variables()
    if not options.anyone_may_connect:
        _require_tokens(configuration)
    runtime = Runtime(configuration.path)
    asked = inputs_of(configuration, require_pretrained=options.require_pretrained)
    with runtime.locked(), asked as inputs:
        note = _find_running(configuration, runtime, inputs)
        if note is not None:
            say("Already running, from the same configuration, weights and code.")
            options.foreground = False  # who started it ends it
        else:
            note = _start(configuration, runtime, inputs, options)
    if not options.foreground:
        _show_answer(configuration, runtime, note)
        return 0
    try:
        _show_answer(configuration, runtime, note)
        return _wait(runtime, note, options)
    finally:
        with runtime.locked():
            if runtime.note() == note:  # not yet ended by `stop`
                stop(note)
                runtime.clean()


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serve",
        description="Serve DenseNet-121 with TorchServe. TS_CONFIG_FILE selects another "
        "configuration, DENSENET121_WEIGHTS and INDEX_TO_NAME other weights and labels.",
    )
    parser.add_argument(
        "--foreground",
        action="store_true",
        help="stay attached until the server ends; SIGTERM and Ctrl-C stop it, as ./scripts/stop "
        "does, a second one at once",
    )
    add_options(parser)
    parser.add_argument(
        "--require-pretrained", action="store_true", help="fail rather than use demo weights"
    )
    parser.add_argument(
        "--anyone-may-connect",
        action="store_true",
        help="listen on other addresses than this machine's own though no tokens are asked for",
    )
    parser.add_argument(
        "--timeout-s", type=float, default=180.0, help="seconds to wait for the workers"
    )
    return parser.parse_args()


def _require_tokens(configuration: Configuration) -> None:
    """Refuse to serve the world without tokens."""
    if (addresses := configuration.open_to_others()) and not configuration.asks_for_tokens:
        message = (
            f"{', '.join(addresses)}: others than this machine can connect there, and no tokens "
            "are asked for. Set disable_token_authorization=false, as deploy/config.properties "
            "has it; or say --anyone-may-connect"
        )
        raise CommandError(message)


def _find_running(
    configuration: Configuration, runtime: Runtime, inputs: ArchiveInputs | None
) -> Note | None:
    """Return the note of the running server, or None; clear away what a dead one left."""
    note = runtime.note()
    if note is None:
        return None
    if java_process(note) is not None:
        _require_same(note, configuration, asked_for(configuration, inputs))
        return note
    stop(note)  # workers that lost their server
    runtime.clean()
    return None


def _settings(configuration: Configuration) -> dict[str, str]:
    """Return the settings of TorchServe and those of the handler that the environment has."""
    variables = Settings.variables()
    return {
        **configuration.values,
        **{f"handler.{name}": text for name, text in variables.items()},
    }


def _start(
    configuration: Configuration,
    runtime: Runtime,
    inputs: ArchiveInputs | None,
    options: argparse.Namespace,
) -> Note:
    require_free_ports(configuration)
    java_home = find_java_home()
    prepare(configuration, inputs)
    say("Starting TorchServe")
    began = time.monotonic()
    note = runtime.write_note(_settings(configuration), asked_for(configuration, inputs))
    try:
        start(configuration, runtime, note, java_home, foreground=options.foreground)
        workers = wait_until_ready(configuration, runtime, note, options.timeout_s)
    except BaseException:
        # Failed or interrupted: nothing half-started stays behind.
        stop(note)
        runtime.clean()
        raise
    say(f"{workers} workers are ready after {time.monotonic() - began:.1f} s")
    return note


def _require_same(note: Note, configuration: Configuration, asked: Record) -> None:
    changes = differences(note.configuration, _settings(configuration), "configuration.")
    changes += differences(note.archive, asked)
    if changes:
        lines = "".join(f"\n  {_without_password(change)}" for change in changes)
        message = (
            "the server already runs, but not from what is asked for now. "
            f"Run ./scripts/stop first. What differs (running -> asked):{lines}"
        )
        raise CommandError(message)


def _without_password(change: str) -> str:
    """Return a line of `differences`, fit for a screen or a journal."""
    name, colon, _ = change.partition(": ")
    return f"{name}{colon}another" if name.endswith(".keystore_pass") else change


def _show_answer(configuration: Configuration, runtime: Runtime, note: Note) -> None:
    weights = note.archive["weights"]["name"]
    if weights == DEMO:
        known = ", ".join(sorted(path.stem for path in SAMPLES.glob("*.png")))
        say(
            f"\nThese are DEMO WEIGHTS. They know the pictures in samples/ ({known}) and nothing "
            f"else.\nFor real answers {how_to_get(configuration.model_store)};\n"
            "then ./scripts/stop and ./scripts/serve again."
        )
    url = configuration.prediction_url
    try:
        with SAMPLE.open("rb") as file:
            response = call(
                configuration,
                runtime,
                "POST",
                url,
                key="inference",
                timeout_s=_ANSWER_TIMEOUT_S,
                files={"file": file},
            )
    except requests.RequestException as error:
        message = f"{url} gives no answer: {error}"
        raise CommandError(message) from error
    if not response.ok:
        message = f"{url} answered {response.status_code}: {response.text.strip()}"
        raise CommandError(message)
    say(f"\nServing {configuration.model_name} at {url} (weights: {weights})\n")
    here = Path.cwd()
    sample = SAMPLE.relative_to(here) if SAMPLE.is_relative_to(here) else SAMPLE
    options = _curl_options(configuration)
    form = shlex.quote(f"file=@{sample}")
    runtime.started.touch()
    print(f"curl {options}-F {form} {url}\n{response.text}", flush=True)


def _curl_options(configuration: Configuration) -> str:
    """Return what else curl needs: the certificate it should trust, the token it should send."""
    options = ""
    if configuration.certificate is not None and configuration.inference_url.startswith("https"):
        options += f"--cacert {shlex.quote(str(configuration.certificate))} "
    if configuration.asks_for_tokens:
        options += '-H "Authorization: Bearer $(./scripts/token inference)" '
    return options


def _wait(runtime: Runtime, note: Note, options: argparse.Namespace) -> int:
    """Wait until the server ends; an interrupt (also SIGTERM, see `run`) ends it as asked."""
    try:
        if java := java_process(note):
            psutil.wait_procs([java])
    except KeyboardInterrupt:
        say("Stopping")
        with runtime.locked():
            if runtime.note() == note:
                end(runtime, note, settle_s=options.settle_s, drain_s=options.drain_s)
        return 0
    with runtime.locked():  # a `stop` that ended it has finished then
        if runtime.note() != note:
            return 0
    message = "TorchServe ended by itself"
    raise CommandError(message)


if __name__ == "__main__":
    run(main)
