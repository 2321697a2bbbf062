"""`ready`: what a probe asks, answered by the exit status.

Ready: every worker has loaded and answered a prediction of its own, and one of them still can.
Alive: TorchServe answers at all; where it does not, only a restart helps.
"""

import argparse

import requests

from archive_builder.command import CommandError, run
from server_control.configuration import Configuration, selected_path
from server_control.own_http import request
from server_control.readiness import readiness
from server_control.runtime import Runtime


def main() -> int:
    """Print the state; status 0 when the answer is yes, 1 when it is no."""
    parser = argparse.ArgumentParser(
        prog="ready",
        description="Exit with status 0 when the server can take requests, else with 1.",
    )
    parser.add_argument(
        "--alive", action="store_true", help="ask only whether TorchServe answers at all"
    )
    options = parser.parse_args()
    runtime = Runtime(selected_path())
    try:
        configuration = runtime.running()
    except CommandError as error:
        print(f"down: {error}")
        return 1
    return _alive(configuration, runtime) if options.alive else _ready(configuration, runtime)


def _ready(configuration: Configuration, runtime: Runtime) -> int:
    found = readiness(configuration, runtime)
    print(f"{found.state}: {found.reason}")
    return 0 if found.is_ready else 1


def _alive(configuration: Configuration, runtime: Runtime) -> int:
    url = f"{configuration.inference_url}/ping"
    try:
        # Any answer is a sign of life; without a token it is 400.
        response = request("GET", url, certificate=runtime.certificate(configuration))
    except requests.RequestException as error:
        print(f"dead: {error}")
        return 1
    print(f"alive: {url} answered {response.status_code}")
    return 0


if __name__ == "__main__":
    run(main)
