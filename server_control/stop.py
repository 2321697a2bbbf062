"""`stop`: end the server that this checkout started, and remove what it leaves behind."""

import argparse

from archive_builder.command import CommandError, run, say
from server_control.configuration import selected_path
from server_control.drain import add_options, drained
from server_control.runtime import Note, Runtime, processes
from server_control.torchserve import stop


def main() -> int:
    """Stop the server of the selected configuration and wait until it is gone."""
    parser = argparse.ArgumentParser(
        prog="stop",
        description="Stop the server that ./scripts/serve started (TS_CONFIG_FILE selects which), "
        "once it has answered the requests that it has.",
    )
    add_options(parser)
    parser.add_argument("--now", action="store_true", help="stop without finishing anything")
    options = parser.parse_args()
    runtime = Runtime(selected_path())
    with runtime.locked():
        note = runtime.note()
        if note is None or not processes(note):
            runtime.clean()
            say("No server of this checkout is running.")
            return 0
        if options.now:
            stop(note, patience_s=0)
        else:
            end(runtime, note, settle_s=options.settle_s, drain_s=options.drain_s)
        if left := processes(note):
            message = f"still running: {', '.join(str(process.pid) for process in left)}"
            raise CommandError(message)
        runtime.clean()
    say("Stopped.")
    return 0


def end(runtime: Runtime, note: Note, *, settle_s: float, drain_s: float) -> None:
    """Empty the server and end it; what cannot be finished in `drain_s` is told and lost."""
    try:
        # One that never was ready has no requests, and would be waited for in vain.
        if runtime.started.exists():
            with drained(runtime.running(), runtime, note, settle_s=settle_s, drain_s=drain_s):
                stop(note, patience_s=0)  # there is nothing left to finish
    except (CommandError, OSError) as error:  # a full disk has no room for the marks
        say(f"Stopping all the same: {error}")
    stop(note)


if __name__ == "__main__":
    run(main)
