"""`stop`: end the server that this checkout started, and remove what it leaves behind."""

import argparse

from archive_builder.command import CommandError, run, say
from server_control.configuration import selected_path
from server_control.runtime import Runtime, processes
from server_control.torchserve import stop


def main() -> int:
    """Stop the server of the selected configuration and wait until it is gone."""
    argparse.ArgumentParser(
        prog="stop",
        description="Stop the server that ./scripts/serve started (TS_CONFIG_FILE selects which).",
    ).parse_args()
    runtime = Runtime(selected_path())
    with runtime.locked():
        note = runtime.note()
        if note is None or not processes(note):
            runtime.clean()
            say("No server of this checkout is running.")
            return 0
        stop(note)
        if left := processes(note):
            message = f"still running: {', '.join(str(process.pid) for process in left)}"
            raise CommandError(message)
        runtime.clean()
    say("Stopped.")
    return 0


if __name__ == "__main__":
    run(main)
