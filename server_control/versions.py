"""`versions`: the versions of the model that a running server has, and which of them answers.

Without a version in the address TorchServe's default one answers: at the start that of the first
archive of `load_models`, later the one set here. Setting it costs no request: those that wait go
to the version that they came for. It lasts until the server stops.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from archive_builder.command import CommandError, run, say
from server_control.configuration import selected_path
from server_control.management import Model, ask, describe
from server_control.runtime import Runtime
from server_control.table import table

_HEADINGS = ("VERSION", "DEFAULT", "WORKERS", "WEIGHTS", "ARCHIVE")


def main() -> int:
    """Show the versions, after changing the default where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="versions",
        description="Show the versions of the model that the server has (TS_CONFIG_FILE selects "
        "which server).",
    )
    parser.add_argument(
        "--default",
        metavar="VERSION",
        help="let this version answer where a request names none, until the server stops",
    )
    options = parser.parse_args()
    runtime = Runtime(selected_path())
    configuration = runtime.running()
    models = describe(configuration, runtime)
    if options.default is not None:
        chosen = _choose(models, options.default)
        path = f"/models/{chosen.name}/{chosen.version}"
        ask(configuration, runtime, "PUT", f"{path}/set-default")
        before = models[0].version
        models = describe(configuration, runtime)
        _tell(before, models[0].version)
    note = runtime.note()
    archives = archives_by_version(note.archive) if note else {}
    print(table([_HEADINGS, *(_row(model, archives) for model in models)]))
    return 0


def archives_by_version(archive: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of a note by version (`server_control.archives.asked_for`)."""
    records = [archive, *archive.get("versions", {}).values()]
    return {record.get("model_version", ""): record for record in records}


def _choose(models: Sequence[Model], version: str) -> Model:
    """Return the model of a version that can answer; TorchServe would take one that cannot."""
    chosen = [model for model in models if model.version == version]
    if not chosen:
        served = ", ".join(model.version for model in models)
        message = f"version {version} is not served; these are: {served}"
        raise CommandError(message)
    if not chosen[0].ready:
        message = f"version {version} has no worker that is ready; see ./scripts/scale"
        raise CommandError(message)
    return chosen[0]


def _tell(before: str, after: str) -> None:
    if before == after:
        say(f"Version {after} was the default already.")
        return
    say(
        f"Version {after} is the default now; back with ./scripts/versions --default {before}\n"
        "A server that starts takes the first archive of load_models."
    )


def _row(model: Model, archives: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    record = archives.get(model.version)
    return (
        model.version,
        "yes" if model.is_default else "",
        f"{model.ready} of {model.wanted}",
        record["weights"]["name"] if record else "?",
        model.archive,
    )


if __name__ == "__main__":
    run(main)
