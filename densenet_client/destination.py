"""Where `predict` sends its images: the address named, or the server of this checkout.

To our own server it brings the token and the certificate that this server runs with.
"""

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archive_builder.command import CommandError
from densenet_client.arguments import TOKEN_VARIABLE
from server_control.configuration import Configuration, selected_path
from server_control.keys import token
from server_control.runtime import Runtime


class Destination(NamedTuple):
    """An address, the token that it asks for, and how it is known: see `Client`."""

    url: str
    token: str | None
    ca: Path | None = None
    certificate: Path | None = None


def destination(options: argparse.Namespace) -> Destination:
    """Return what the command line and the environment name, else our own server's."""
    named = options.token or os.environ.get(TOKEN_VARIABLE, "").strip() or None
    if options.url:
        return Destination(options.url, named, options.ca)
    # What runs counts, whatever the file and the environment say by now.
    runtime = Runtime(selected_path())
    try:
        configuration = runtime.running()
    except CommandError:
        configuration = Configuration.load()  # whether anybody answers there is seen at once
    if named is None:
        with suppress(CommandError):
            named = token(configuration, runtime, "inference")
    certificate = None if options.ca else runtime.certificate(configuration)
    return Destination(configuration.prediction_url, named, options.ca, certificate)
