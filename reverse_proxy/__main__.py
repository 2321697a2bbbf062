"""`proxy`: nginx in front of one or several TorchServes, in the foreground until it is told to end.

There is no `stop`: systemd, a container or a shell keeps it and ends it with SIGTERM (or Ctrl-C),
upon which what has come is answered; a second one ends it at once.
"""

import argparse
from pathlib import Path

from archive_builder.command import run, say
from reverse_proxy.clients import add_client
from reverse_proxy.configuration import DEFAULT, ProxyConfiguration, clients_file
from reverse_proxy.folders import prepared
from reverse_proxy.supervisor import Supervisor, tell


def main() -> int:
    """Do what the command line asks."""
    options = _parse_options()
    path = Path(options.config).resolve()
    if options.add_client:
        file = clients_file(path)
        token = add_client(file, options.add_client)
        say(f"Added {options.add_client} to {file}; this token is shown now and never again:")
        print(token)
        return 0
    configuration = ProxyConfiguration.load(path)
    with prepared(path, configuration.user) as folders:
        supervisor = Supervisor(configuration, folders)
        try:
            supervisor.run()
        except KeyboardInterrupt:
            tell("Ending; what has come is answered first")
            supervisor.end()
        finally:
            supervisor.kill()
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="proxy",
        description="Run nginx in front of TorchServe: TLS, tokens of clients, limits, and other "
        "hosts where one fails. Stays in the foreground; SIGTERM and Ctrl-C end it.",
    )
    parser.add_argument(
        "--config", default=DEFAULT, metavar="FILE", help="the proxy's file (default: %(default)s)"
    )
    parser.add_argument(
        "--add-client", metavar="NAME", help="make a token for a client, print it, and end"
    )
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
