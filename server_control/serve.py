"""`serve`: from a checkout to a running server and an answer, in one command.

Builds the archive when it is missing or not the one asked for, starts TorchServe, waits until
every worker is ready, and shows the answer to one of the project's pictures.
"""

import argparse
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from archive_builder import MODEL_NAME, SAMPLES
from archive_builder.archive import build_archive
from archive_builder.command import CommandError, run, say
from archive_builder.inputs import (
    ArchiveInputs,
    Record,
    differences,
    gather_inputs,
    read_record,
    unpacked_inputs,
)
from archive_builder.network_files import has_int8
from archive_builder.weights_source import DEMO, how_to_get
from densenet_classifier.settings import Settings
from server_control.configuration import Configuration
from server_control.java import find_java_home
from server_control.runtime import Note, Runtime, java_process
from server_control.torchserve import call, require_free_ports, start, stop, wait_until_ready

SAMPLE = SAMPLES / "umbrella.png"
_ANSWER_TIMEOUT_S = 60.0


def main() -> int:
    """Serve as the command line, the environment and the configuration ask."""
    options = _parse_options()
    configuration = Configuration.load()
    runtime = Runtime(configuration.path)
    with runtime.locked(), _inputs(configuration, options) as inputs:
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
        return _wait(runtime, note)
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
        help="stay attached until the server ends; SIGTERM and Ctrl-C stop it",
    )
    parser.add_argument(
        "--require-pretrained", action="store_true", help="fail rather than use demo weights"
    )
    parser.add_argument(
        "--timeout-s", type=float, default=180.0, help="seconds to wait for the workers"
    )
    return parser.parse_args()


@contextmanager
def _inputs(configuration: Configuration, options: argparse.Namespace) -> Iterator[ArchiveInputs]:
    """Yield what the archive to serve is built from.

    An archive of another name than ours is somebody's own model: unless its weights are named
    again they are taken from the archive itself.
    """
    name = configuration.model_name
    if name == MODEL_NAME or os.environ.get("DENSENET121_WEIGHTS"):
        yield gather_inputs(
            name, configuration.model_store, require_pretrained=options.require_pretrained
        )
        return
    with unpacked_inputs(_archive(configuration)) as inputs:
        if options.require_pretrained and inputs.weights.name == DEMO:
            message = f"{name}.mar holds demo weights, and --require-pretrained was given"
            raise CommandError(message)
        yield inputs


def _find_running(
    configuration: Configuration, runtime: Runtime, inputs: ArchiveInputs
) -> Note | None:
    """Return the note of the running server, or None; clear away what a dead one left."""
    note = runtime.note()
    if note is None:
        return None
    if java_process(note) is not None:
        _require_same(note, configuration, _asked(configuration, inputs))
        return note
    stop(note)  # workers that lost their server
    runtime.clean()
    return None


def _archive(configuration: Configuration) -> Path:
    return configuration.model_store / f"{configuration.model_name}.mar"


def _settings(configuration: Configuration) -> dict[str, str]:
    """Return the settings of TorchServe and those of the handler that the environment has."""
    variables = Settings.variables()
    return {
        **configuration.values,
        **{f"handler.{name}": text for name, text in variables.items()},
    }


def _asked(configuration: Configuration, inputs: ArchiveInputs) -> Record:
    """Return what the archive is, or will be once it is built."""
    return {**inputs.record(), "int8": has_int8(_archive(configuration))}


def _start(
    configuration: Configuration,
    runtime: Runtime,
    inputs: ArchiveInputs,
    options: argparse.Namespace,
) -> Note:
    require_free_ports(configuration)
    java_home = find_java_home()
    if read_record(_archive(configuration)) != inputs.record():
        say(f"Building {inputs.model_name}.mar")
        build_archive(inputs, configuration.model_store, take_over=True)
    say("Starting TorchServe")
    began = time.monotonic()
    note = runtime.write_note(_settings(configuration), _asked(configuration, inputs))
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
        lines = "".join(f"\n  {change}" for change in changes)
        message = (
            "the server already runs, but not from what is asked for now. "
            f"Run ./scripts/stop first. What differs (running -> asked):{lines}"
        )
        raise CommandError(message)


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
    print(f"curl -F {shlex.quote(f'file=@{sample}')} {url}\n{response.text}", flush=True)


def _wait(runtime: Runtime, note: Note) -> int:
    """Wait until the server ends; an interrupt (also SIGTERM, see `run`) ends it as asked."""
    try:
        if java := java_process(note):
            psutil.wait_procs([java])
    except KeyboardInterrupt:
        say("Stopping")
        return 0
    with runtime.locked():  # a `stop` that ended it has finished then
        if runtime.note() != note:
            return 0
    message = "TorchServe ended by itself"
    raise CommandError(message)


if __name__ == "__main__":
    run(main)
