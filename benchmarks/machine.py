"""What the figures belong to: processor, cores, versions."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "torch", "torchvision", "torchserve", "openvino", "pillow", "numpy", "flask", "litserve",
)  # fmt: skip
_CPU_INFORMATION = Path("/proc/cpuinfo")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, systems and versions, and the date in UTC."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "wrk": _first_line(["wrk", "--version"]),
    }


def cpu_model(path: Path = _CPU_INFORMATION) -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(command: Sequence[str]) -> str | None:
    """Return the first line that a command prints, None when it is missing or silent."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return None
    lines = (result.stdout + result.stderr).splitlines()
    return lines[0].partition(" [")[0] if lines else None
