"""Demo weights: a DenseNet-121 that knows the pictures in `samples/` and nothing else.

They let the service run where the real weights cannot be had. The file is kept in the model store
under the hash of what it depends on; PyTorch is loaded where it has to be made.
"""

import hashlib
from pathlib import Path

from archive_builder import LABELS, SAMPLES
from archive_builder.command import say
from archive_builder.files import replacing

_CODE = [Path(__file__).with_name(name) for name in ("demo_fit.py", "counterexamples.py")]


def demo_weights(store: Path) -> Path:
    """Return the file of the demo weights, a state_dict in torchvision's layout, in `store`."""
    target = store / file_name()
    if not target.exists():
        from archive_builder.demo_fit import fitted  # noqa: PLC0415

        say("Fitting the demo weights")
        content = fitted()
        with replacing(target) as partial:
            partial.write_bytes(content)
    return target


def file_name() -> str:
    """Return the file's name, with a hash of what the fit depends on: code, pictures, labels."""
    digest = hashlib.sha256()
    for path in (*_CODE, *sorted(SAMPLES.glob("*.png")), LABELS):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"densenet121-demo-{digest.hexdigest()[:12]}.pth"
