"""`predict`: classify images with a running server and print what they show.

Exit status 0 when every image got an answer, 1 when any did not, 2 for wrong usage.
"""

import argparse
import sys
from io import BytesIO

from archive_builder.command import run
from densenet_client.arguments import argument_parser
from densenet_client.classify import Wish, classify
from densenet_client.client import Client
from densenet_client.destination import destination
from densenet_client.names import Source, sources
from densenet_client.output import Csv, JsonLines, Table, Writer


def main() -> int:
    """Classify what the command line names."""
    # A file name need not be UTF-8: it goes out with the bytes it came in with.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    parser = argument_parser()
    options = parser.parse_args()
    where = destination(options)
    try:
        client = Client(
            where.url,
            token=where.token,
            ca=where.ca,
            certificate=where.certificate,
            timeout_s=options.timeout,
            max_image_bytes=options.max_bytes,
        )
        if options.explain:
            _ = client.explanation_url  # that there is one is known before anything is sent
            options.explain.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        parser.error(str(error))
    if sys.stdin is None and "-" in options.names:
        parser.error("-: there is no standard input")
    listing = BytesIO() if sys.stdin is None else sys.stdin.buffer
    found = sources(options.names, listing)
    wish = Wish(options.top_k, options.min_probability, options.explain)
    with client:
        return classify(client, found, wish, options.concurrency, _writer(options, found))


def _writer(options: argparse.Namespace, found: list[Source]) -> Writer:
    top_k, overlay = options.top_k is not None, options.explain is not None
    if options.json:
        return JsonLines()
    if options.csv:
        return Csv(top_k=top_k, overlay=overlay)
    return Table((source.name for source in found), top_k=top_k, overlay=overlay)


if __name__ == "__main__":
    run(main)
