"""`status`: what is running, as a table for people or as JSON."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from archive_builder.command import run
from server_control.configuration import selected_path
from server_control.management import Model, Worker
from server_control.readiness import readiness
from server_control.runtime import Runtime
from server_control.table import table

_COLUMNS = ("worker", "pid", "status", "up", "threads", "memory")


def main() -> int:
    """Print the state; status 0 when a server runs, 1 when none does."""
    parser = argparse.ArgumentParser(
        prog="status", description="Show the running server, its workers and its queue."
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    runtime = Runtime(selected_path())
    configuration = runtime.running()
    found = readiness(configuration, runtime)
    if options.json:
        document = {
            "state": found.state,
            "reason": found.reason,
            "url": configuration.prediction_url,
            "models": [_document(model) for model in found.models],
        }
        print(json.dumps(document, indent=2))
        return 0
    print(f"{configuration.prediction_url}\n{found.state}: {found.reason}")
    for model in found.models:
        print("\n" + "\n".join(_lines(model)))
    return 0


def _document(model: Model) -> dict[str, Any]:
    workers = [{**asdict(worker), **_process(worker)} for worker in model.workers]
    return {**asdict(model), "workers": workers}


def _lines(model: Model) -> list[str]:
    default = ", answers where no version is named" if model.is_default else ""
    rows = [_COLUMNS, *(_row(worker) for worker in model.workers)]
    return [
        f"version {model.version} ({model.archive}){default}",
        f"queue: {model.pending} of {model.capacity} requests wait",
        table(rows),
    ]


def _row(worker: Worker) -> tuple[str, ...]:
    # Not below zero: clocks are put back.
    up = max(datetime.now(UTC) - datetime.fromisoformat(worker.started), timedelta())
    process = _process(worker)
    memory = process["memory_bytes"]
    return (
        worker.id,
        str(worker.pid),
        worker.status + (f" {worker.gpu}" if worker.gpu else ""),
        str(up).split(".")[0],
        str(process["threads"] or "-"),
        f"{memory / 2**20:.0f} MiB" if memory else "-",
    )


def _process(worker: Worker) -> dict[str, int | None]:
    """Return threads and resident memory; None where the process cannot be seen from here."""
    try:
        process = psutil.Process(worker.pid)
        return {"threads": process.num_threads(), "memory_bytes": process.memory_info().rss}
    except (psutil.Error, ValueError):
        return {"threads": None, "memory_bytes": None}


if __name__ == "__main__":
    run(main)
