"""Run by Python before a worker's first line: torch is loaded when it is used, JSON when judged.

TorchServe's worker imports torch for a single `isinstance` that is never asked about texts and
bytes, the only answers of our handler. With OpenVINO nothing else needs it, and a worker without
it starts a second earlier and holds 450 MB less. TorchServe puts the unpacked archive on the
worker's PYTHONPATH, where Python looks for this name.

Nor is TorchServe to decode what is declared to be JSON or text: a body of 32 MiB can hold millions
of values, a gigabyte, and the handler counts them first.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class LazyTorch:
    """Finds torch as the path does, and has it loaded at the first look into it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of torch; of all else None, so that others find it."""
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, LazyTorch)
os.environ.setdefault("TS_DECODE_INPUT_REQUEST", "false")
