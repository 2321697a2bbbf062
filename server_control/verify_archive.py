"""`verify-archive`: is every file of an archive the one that was packed? One line per finding."""

import argparse
from pathlib import Path

from archive_builder.command import CommandError, run, say
from archive_builder.verify import Report, verify
from server_control.configuration import Configuration


def main() -> int:
    """Verify as the command line asks; status 1 when something is wrong."""
    options = _parse_options()
    archives = options.archives or [each.path for each in Configuration.load().archives]
    if options.sha256 and len(archives) != 1:
        message = f"--sha256 belongs to one archive, and these are {len(archives)}"
        raise CommandError(message)
    reports = [verify(archive, options.sha256) for archive in archives]
    for report in reports:
        _show(report)
    return int(any(report.findings for report in reports))


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify-archive",
        description="Check every file of model archives against the hashes that they carry.",
        epilog="There is no signature: who can write an archive can write hashes that fit it. "
        "Only --sha256, with a value that was kept elsewhere, finds that.",
    )
    parser.add_argument(
        "archives",
        nargs="*",
        type=Path,
        metavar="ARCHIVE",
        help="default: those of the configuration (TS_CONFIG_FILE selects which)",
    )
    parser.add_argument(
        "--sha256", help="what the whole archive's must be, as build-archive printed it"
    )
    return parser.parse_args()


def _show(report: Report) -> None:
    print(report.archive)
    print(f"sha256   {report.sha256}")
    if record := report.record:
        weights = record["weights"]
        print(f"model    {record['model_name']} {record['model_version']}")
        print(f"code     {record['version']}")
        print(f"weights  {weights['name']} {weights['sha256']}")
        print(f"int8     {'yes' if report.int8 else 'no'}")
        print(f"files    {report.files}")
    for finding in report.findings:
        say(f"error: {report.archive.name}: {finding}")
    if not report.findings:
        print("intact")


if __name__ == "__main__":
    run(main)
