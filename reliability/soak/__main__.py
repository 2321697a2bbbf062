"""`soak`: load a server of its own, watch it, judge; write soak.json, soak.md and soak.png."""

import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archive_builder.command import run, say
from benchmarks import archives, machine, photographs
from reliability.soak import figures
from reliability.soak.options import Options, read
from reliability.soak.plot import plot
from reliability.soak.report import markdown
from reliability.soak.requester import Requester, session
from reliability.soak.stack import Stack, most_waiting
from reliability.soak.traffic import Case, cases
from reliability.soak.watch import Sample, Watch

_IN_FLIGHT = 64  # of the measurement of capacity: enough for full batches on every worker
_CAPACITY_S = 30.0
_WARM_UP_S = 15.0
_QUICK_S = 2.0
# nginx and TorchServe keep idle connections for some time; what is left after it is a leak.
_IDLE_S = 75.0


@dataclass(frozen=True)
class Capacity:
    """Requests a second that are answered at most, and the cores that each kind keeps busy."""

    rate: float
    cores: dict[str, float]


def main() -> int:
    """Run as the command line asks; 0 when everything held."""
    options = read()
    # A short name: the path of a worker's socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        pictures = photographs.prepare(options.photographs, folder / "photographs", 1)
        weights = archives.find_weights(options.weights, folder / "weights")
        stack = Stack(folder, str(weights), options.proxy)
        say("Starting the server")
        with stack.running():
            return asyncio.run(_soak(options, stack, pictures))


async def _soak(options: Options, stack: Stack, pictures: photographs.Photographs) -> int:
    mix = cases(pictures.raw.paths)
    requester = Requester(stack.url)
    async with session(stack.headers, stack.tls) as requester.session:
        say("Learning the answers of an idle server, and its capacity")
        await requester.learn(mix)
        await requester.capacity(mix, _IN_FLIGHT, _QUICK_S if options.quick else _WARM_UP_S)
        earlier = await _capacity(options, stack, mix, requester)
    setting = _setting(options, pictures, earlier)
    before = await _idle(options, stack)
    say(f"Capacity is {earlier.rate:.1f} requests/s; sending {setting['rate']:.1f}")
    async with session(stack.headers, stack.tls) as requester.session:
        samples = await _load(options, setting, stack, mix, requester)
        # Once more: what other guests of the machine leave us changes within the hour.
        later = await _capacity(options, stack, mix, requester)
    setting["peak_rates"].append(later.rate)
    after = await _idle(options, stack)
    return _report(options, setting, requester, [before, *samples, after])


async def _capacity(
    options: Options, stack: Stack, mix: list[Case], requester: Requester
) -> Capacity:
    watch = Watch(stack)
    first = watch.sample()
    seconds = _QUICK_S if options.quick else _CAPACITY_S
    rate = await requester.capacity(mix, _IN_FLIGHT, seconds)
    return Capacity(rate, figures.cores(first, watch.sample()))


async def _load(
    options: Options, setting: dict[str, Any], stack: Stack, mix: list[Case], requester: Requester
) -> list[Sample]:
    with Watch(stack) as watch:

        def tell() -> None:
            memory = {kind: round(size) for kind, size in watch.samples[-1].memory_mb.items()}
            say(f"{watch.samples[-1].at_s:.0f} s {figures.outcomes(requester.records)} {memory} MB")

        await requester.load(mix, setting["rate"], setting["seconds"], options.seed, tell)
    return watch.samples


async def _idle(options: Options, stack: Stack) -> Sample:
    """Return what the servers hold once they are idle."""
    say("Waiting for idle connections to end")
    await asyncio.sleep(_QUICK_S if options.quick else _IDLE_S)
    return Watch(stack).sample()


def _setting(
    options: Options, pictures: photographs.Photographs, capacity: Capacity
) -> dict[str, Any]:
    about = pictures.about
    return {
        "machine": machine.describe(),
        "stack": f"TorchServe {'behind nginx, TLS and tokens' if options.proxy else 'alone'}",
        "photographs": f"{about['source']}, {about['mean_bytes']} bytes on average",
        "load": options.load,
        "seconds": options.minutes * 60,
        "seed": options.seed,
        "in_flight": _IN_FLIGHT,
        "peak_rates": [capacity.rate],
        "peak_cores": capacity.cores,
        "rate": options.load * capacity.rate,
        "most_waiting": most_waiting(),
    }


def _report(
    options: Options,
    setting: dict[str, Any],
    requester: Requester,
    samples: list[Sample],
) -> int:
    """Judge and write; the first sample and the last are those of idle servers."""
    records = requester.records
    found = {
        "outcomes": figures.outcomes(records),
        "statuses": figures.statuses(records),
        "latency_ms": {
            name: figures.percentiles(records, name) for name in figures.outcomes(records)
        },
        "failures": requester.failures,
        "cores": figures.cores(samples[1], samples[-2]),
    }
    judged = figures.verdicts(records, samples, setting)
    text = markdown(setting, found, judged)
    options.output.mkdir(parents=True, exist_ok=True)
    document = {
        "setting": setting,
        **found,
        "verdicts": [asdict(each) for each in judged],
        "trends": {kind: asdict(each) for kind, each in figures.trends(samples[1:-1]).items()},
        "samples": [asdict(each) for each in samples],
    }
    (options.output / "soak.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.output / "soak.md").write_text(text)
    title = f"{setting['stack']}: {setting['load']:g} times capacity, {setting['machine']['date']}"
    plot(options.output / "soak.png", records, samples[1:-1], title)
    print(text, end="")
    return 0 if all(each.holds for each in judged) else 1


if __name__ == "__main__":
    run(main)
