"""What the machine could do at best: the same model and decoder without any server.

Runs as a program of its own, so that nothing else shares its memory and threads, and prints one
JSON object: for each precision the best rate and the latency of one image on all cores, and the
same of decoding.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import cores
from densenet_classifier.images import Pixels, decode
from densenet_classifier.openvino_runtime import openvino
from densenet_classifier.settings import Settings

_HINTS = {"float32": "f32", "bf16": "bf16"}
BATCHES = (1, 2, 4, 8, 16)
_QUICK_BATCHES = (1, 8)
_WARM_UP_RUNS = 3


def default_precision() -> str:
    """Return bf16 where the processor has it, else float32, as the service chooses."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "float32"


def compile_network(
    core: openvino.Core,
    path: Path,
    precision: str,
    batch: int,
    *,
    streams: int,
    threads: int,
    pinned: bool = True,
) -> openvino.CompiledModel:
    """Return the network for exactly this batch size: uint8 [batch, 224, 224, 3] to logits.

    `pinned` is for a process that has all cores: of several, each would take the first core.
    """
    model = core.read_model(path)
    model.reshape([batch, 224, 224, 3])
    hints = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": pinned,
        # What an int8 network does not do in int8 it does in the default precision.
        "INFERENCE_PRECISION_HINT": _HINTS[
            default_precision() if precision == "int8" else precision
        ],
    }
    return core.compile_model(model, "CPU", hints)


def inference(
    path: Path, precision: str, images: Pixels, seconds: float, batches: Sequence[int]
) -> dict[str, Any]:
    """Return rates by streams and batch size, the best of them, and one image's latency in ms."""
    core, count = openvino.Core(), cores()
    rates, latency = {}, 0.0
    for streams, threads in dict.fromkeys([(1, count), (count, count)]):
        for batch in batches:
            network = compile_network(
                core, path, precision, batch, streams=streams, threads=threads
            )
            rates[f"{streams} x {threads // streams}, batch {batch}"] = _rate(
                network, images, batch, streams, seconds
            )
            if streams == 1 and batch == 1:
                latency = _latency_ms(network, images, seconds)
    best = max(rates, key=rates.__getitem__)
    return {"rate": rates[best], "best": best, "rates": rates, "latency_ms": latency}


def decoding(paths: Sequence[Path], seconds: float) -> dict[str, Any]:
    """Return the rate on all cores, by threads or processes, and one photograph's latency in ms."""
    count = cores()
    run = partial(_decode_for, [str(path) for path in paths], seconds)
    with ThreadPoolExecutor(count) as threads:
        rates = {"threads": sum(threads.map(run, range(count)))}
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        pool.map(_decode_few, [str(paths[0])] * count * 2)  # imports everything
        rates["processes"] = sum(pool.map(run, range(count), chunksize=1))
    best = max(rates, key=rates.__getitem__)
    contents, settings = [path.read_bytes() for path in paths], Settings()
    latency = _median_ms(lambda at: decode(contents[at], settings), len(paths), seconds)
    return {"rate": rates[best], "best": best, "rates": rates, "latency_ms": latency}


def _latency_ms(network: openvino.CompiledModel, images: Pixels, seconds: float) -> float:
    """Return the median time of one image in ms; the network takes batches of one."""
    request = network.create_infer_request()
    return _median_ms(lambda at: request.infer(images[at : at + 1]), len(images), seconds)


def _rate(
    network: openvino.CompiledModel, images: Pixels, batch: int, streams: int, seconds: float
) -> float:
    """Return images a second, with as many requests under way as keep every stream busy."""
    queue = openvino.AsyncInferQueue(network, streams + 1)
    batches = [
        np.take(images, range(at, at + batch), axis=0, mode="wrap")
        for at in range(0, len(images), batch)
    ]
    for at in range(_WARM_UP_RUNS * (streams + 1)):
        queue.start_async(batches[at % len(batches)])
    queue.wait_all()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        queue.start_async(batches[done % len(batches)])
        done += 1
    queue.wait_all()
    return done * batch / (time.perf_counter() - began)


def _decode_for(paths: Sequence[str], seconds: float, start: int) -> float:
    """Decode for so long, beginning with one of the photographs, and return images a second."""
    contents, settings = [Path(path).read_bytes() for path in paths], Settings()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        decode(contents[(start + done) % len(contents)], settings)
        done += 1
    return done / (time.perf_counter() - began)


def _decode_few(path: str) -> float:
    return _decode_for([path], 0.1, 0)


def _median_ms(run: Callable[[int], Any], count: int, seconds: float) -> float:
    """Return the median time of `run(0)`, `run(1)` ... `run(count - 1)` and again, in ms."""
    times: list[float] = []
    end = time.perf_counter() + max(seconds, 0.5)
    while time.perf_counter() < end or len(times) < count:
        began = time.perf_counter()
        run(len(times) % count)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def main() -> None:
    """Measure as asked and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", action="append", default=[], metavar="PRECISION=FILE")
    parser.add_argument("--photographs", type=Path, nargs="+", required=True)
    parser.add_argument("--large", type=Path, nargs="+", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    settings = Settings()
    images = np.stack([decode(path.read_bytes(), settings) for path in options.photographs])
    result: dict[str, Any] = {
        "decode": decoding(options.photographs, options.seconds),
        "decode_large": decoding(options.large, options.seconds),
        "inference": {},
    }
    for each in options.network:
        precision, _, path = each.partition("=")
        result["inference"][precision] = inference(
            Path(path),
            precision,
            images,
            options.seconds,
            _QUICK_BATCHES if options.quick else BATCHES,
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
