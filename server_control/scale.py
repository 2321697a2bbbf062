"""`scale`: set the number of workers of the running server.

More workers start beside the ones at work. For fewer TorchServe kills some, so the server is
emptied before, see `drain.py`.
"""

import argparse

from archive_builder.command import CommandError, run, say
from server_control.configuration import Configuration, selected_path
from server_control.drain import add_options, drained
from server_control.management import Model, describe, scale
from server_control.runtime import Runtime

_TIMEOUT_S = 180.0


def main() -> int:
    """Scale and wait until the workers are ready."""
    options = _parse_options()
    runtime = Runtime(selected_path())
    with runtime.locked():
        configuration = runtime.running()
        model = _find(configuration, runtime, options.version)
        if options.workers >= len(model.workers) or options.now:
            scale(configuration, runtime, model, options.workers, _TIMEOUT_S)
        else:
            _scale_down(configuration, runtime, model, options)
    model = _find(configuration, runtime, model.version)
    if model.ready < options.workers:
        message = f"{model.ready} of {options.workers} workers are ready; see ./scripts/status"
        raise CommandError(message)
    say(f"{model.ready} workers of version {model.version} are ready.")
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scale", description="Set the number of workers; they share the cores equally."
    )
    parser.add_argument("workers", type=int, metavar="N")
    parser.add_argument("--version", help="of the model; default: the one that answers")
    add_options(parser)
    parser.add_argument(
        "--now", action="store_true", help="scale down at once; requests in work get 500 or 507"
    )
    options = parser.parse_args()
    if options.workers < 1:
        parser.error("a server without workers answers nobody; ./scripts/stop ends it")
    return options


def _find(configuration: Configuration, runtime: Runtime, version: str | None) -> Model:
    models = describe(configuration, runtime)
    for model in models:
        if version in {None, model.version}:
            return model
    message = f"no version {version} is served, but {', '.join(model.version for model in models)}"
    raise CommandError(message)


def _scale_down(
    configuration: Configuration, runtime: Runtime, model: Model, options: argparse.Namespace
) -> None:
    note = runtime.running_note()
    with drained(configuration, runtime, note, settle_s=options.settle_s, drain_s=options.drain_s):
        scale(configuration, runtime, model, options.workers, _TIMEOUT_S)


if __name__ == "__main__":
    run(main)
