"""`fuzz`: attack with many cases, print what was seen; exit status 1 when something was found."""

import argparse
import time

from tqdm import tqdm

from archive_builder.command import CommandError, run, say
from reliability.fuzzing import processes, report
from reliability.fuzzing.arguments import parse
from reliability.fuzzing.cases import Cases
from reliability.fuzzing.worker import CASES_OF_A_BATCH, Finding, Tally


def main() -> int:
    """Run what the command line names."""
    options = parse()
    if options.assets is not None and not (options.assets / "images").is_dir():
        raise CommandError(f"--assets {options.assets}: no folder 'images' in it")
    start = time.monotonic()
    tally = _over_http(options) if options.url else _in_process(options)
    wall_s = time.monotonic() - start
    print(report.table(tally, wall_s), flush=True)
    if options.out:
        told = {"seed": options.seed, "first": options.first, "wall_s": round(wall_s, 1)}
        report.write(options.out, tally, **told)
    for each in tally.findings[:1]:
        say(f"Once more: ./scripts/fuzz --seed {options.seed} --case {each.number} --out DIR")
    return 1 if tally.findings else 0


def _in_process(options: argparse.Namespace) -> Tally:
    first, cases = options.first, options.cases
    if options.case is not None:
        first, cases = options.case, 1
        if options.out:
            _keep(options)
    # Whole batches, so that a case has the same company whatever the run begins with.
    batches = range(first // CASES_OF_A_BATCH, -(-(first + cases) // CASES_OF_A_BATCH))
    job = processes.Job(
        options.seed, options.assets, options.archive, not options.no_amplified, batches
    )
    total = Tally()
    # disable=None: not where stderr is no terminal.
    with tqdm(total=len(batches) * CASES_OF_A_BATCH, unit="case", disable=None) as progress:
        for tally in processes.run(job, options.processes):
            total.add(tally)
            progress.update(tally.cases)
            for each in tally.findings:
                say(f"case {each.number} ({each.kind}): {each.wrong}")
    return total


def _over_http(options: argparse.Namespace) -> Tally:
    from reliability.fuzzing.http_run import attack  # noqa: PLC0415  # needs nothing of the above

    first, cases = options.first, options.cases
    if options.case is not None:
        first, cases = options.case, 1
    numbers = range(first, first + cases)
    with tqdm(total=cases, unit="case", disable=None) as progress:
        return attack(options.url, options.seed, numbers, options.assets, progress.update)


def _keep(options: argparse.Namespace) -> None:
    case = Cases(options.seed, options.assets, amplify=not options.no_amplified)[options.case]
    report.keep(options.out, Finding(case.number, case.kind, "", case.request.contents))


if __name__ == "__main__":
    run(main)
