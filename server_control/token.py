"""`token`: print a token of the running server that is valid now."""

import argparse
from datetime import UTC, datetime

from archive_builder.command import run, say
from server_control.configuration import selected_path
from server_control.keys import KINDS, read, renew, token
from server_control.runtime import Runtime


def main() -> int:
    """Print the token alone on stdout, until when it is valid on stderr."""
    parser = argparse.ArgumentParser(
        prog="token",
        description="Print a valid token of the running server, a new one if the old has expired.",
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument(
        "--renew", action="store_true", help="make a new one; the old one ends at once"
    )
    options = parser.parse_args()
    runtime = Runtime(selected_path())
    configuration = runtime.running()
    if options.renew and configuration.asks_for_tokens:
        renew(configuration, runtime, options.kind)
    text = token(configuration, runtime, options.kind)
    if text is None:
        say("This server asks for no tokens (disable_token_authorization=true).")
        return 1
    left = read(runtime, options.kind).expires - datetime.now(UTC)
    print(text)
    say(f"valid for {left.total_seconds() / 60:.0f} minutes")
    return 0


if __name__ == "__main__":
    run(main)
