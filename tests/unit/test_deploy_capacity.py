"""CAPACITY.md: inputs are those of PERFORMANCE.md, and every computed figure is what they give."""

import math
import re

import pytest
import yaml

from archive_builder import ROOT
from archive_builder.model_configuration import model_configuration

CAPACITY = (ROOT / "docs" / "CAPACITY.md").read_text(encoding="utf-8")
PERFORMANCE = (ROOT / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
AUTOSCALER = ROOT / "deploy" / "kubernetes" / "base" / "autoscaler.yaml"
MODEL = model_configuration()
KINDS = ("bf16", "int8")


def rows(first: str, text: str = CAPACITY) -> list[list[str]]:
    """Return the rows of the table whose header begins with `first`."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None, first
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def inputs(kind: str) -> dict[str, float]:
    """Return the inputs by their first word."""
    column = 1 + KINDS.index(kind)
    return {row[0].split(":")[0]: float(row[column]) for row in rows("input")}


def measured(server: str, connections: int) -> list[float]:
    """Return requests/s, p50 and p99 in ms of a server, from PERFORMANCE.md."""
    (row,) = (row for row in rows("server", PERFORMANCE) if row[0] == server)
    return [float(each) for each in re.findall(r"[\d.]+", row[{1: 1, 8: 2, 32: 3}[connections]])]


@pytest.mark.parametrize(("kind", "server"), [("bf16", "ours"), ("int8", "ours-int8")])
def test_the_inputs_are_the_measured_ones(kind: str, server: str) -> None:
    (row,) = (row for row in rows("server", PERFORMANCE) if row[0] == server)
    worker = row[8].split("/")[0]
    assert inputs(kind)["rate"] == measured(server, 32)[0]
    assert (inputs(kind)["worker"], inputs(kind)["all"]) == (float(worker), float(row[9]))


def hosts(load: float, kind: str) -> int:
    given = inputs(kind)
    return math.ceil(load / (given["rate"] * given["utilisation"])) + int(given["spare"])


@pytest.mark.parametrize("row", rows("load, images/s"), ids=lambda row: row[0])
def test_the_hosts_for_a_load(row: list[str]) -> None:
    assert [int(cell) for cell in row[1:]] == [hosts(float(row[0]), kind) for kind in KINDS]


def test_the_autoscaler_reaches_the_load_that_is_named() -> None:
    most = yaml.safe_load(AUTOSCALER.read_text(encoding="utf-8"))["spec"]["maxReplicas"]
    named = re.search(r"`maxReplicas: (\d+)` is thereby good for (\d+) images/s in bf16", CAPACITY)
    assert named is not None
    assert (int(named[1]), hosts(float(named[2]), "bf16")) == (most, most)


@pytest.mark.parametrize("row", rows("in flight"), ids=lambda row: row[0])
def test_littles_law(row: list[str]) -> None:
    flight, rate, computed, median = (float(cell) for cell in row)
    assert computed == round(1000 * flight / rate)
    if flight == 256:
        assert f"256 connections: {rate} ({median} /" in PERFORMANCE
    else:
        assert [rate, median] == measured("ours", int(flight))[:2]


def test_the_waiting_in_sentences() -> None:
    rate = inputs("bf16")["rate"]
    in_work = MODEL["maxWorkers"] * MODEL["batchSize"]
    waiting = f"`jobQueueSize: {MODEL['jobQueueSize']}`, and {in_work} in work"
    longest = (MODEL["jobQueueSize"] + in_work) / rate
    assert f"({waiting}) is {longest:.1f} s" in CAPACITY.replace("\n", " ")
    assert f"for 200 ms at {rate} images/s, {0.2 * rate:.0f} requests" in CAPACITY
    (metric,) = yaml.safe_load(AUTOSCALER.read_text(encoding="utf-8"))["spec"]["metrics"]
    target = int(metric["pods"]["target"]["averageValue"].removesuffix("m"))
    assert (
        f"{target} ms in the queue on average, is {target / 1000 * rate:.0f} requests" in CAPACITY
    )


@pytest.mark.parametrize("row", rows("workers"), ids=lambda row: row[0])
def test_the_memory_of_workers(row: list[str]) -> None:
    for cell, kind in zip(row[1:], KINDS, strict=True):
        given = inputs(kind)
        assert int(cell) == given["all"] + (int(row[0]) - 2) * given["worker"]


def cost(share: float, kind: str) -> float:
    given = inputs(kind)
    return given["price"] * 1e6 / (given["rate"] * share * 3600)


@pytest.mark.parametrize("row", rows("share of the rate"), ids=lambda row: row[0])
def test_the_cost_of_a_million(row: list[str]) -> None:
    assert row[1:] == [f"{cost(float(row[0]), kind):.2f}" for kind in KINDS]


def test_the_worked_example() -> None:
    count = hosts(250, "bf16")
    an_hour = count * inputs("bf16")["price"]
    images = 250 * 3600 / 1e6
    sentence = f"are {count} hosts, {an_hour:.2f} an hour, for {images:.1f} million images"
    assert f"{sentence}: {an_hour / images:.2f} a million" in CAPACITY
