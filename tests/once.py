"""What is made once for all processes of one run of the tests: see the fixture `once`."""

from collections.abc import Callable
from pathlib import Path

# once(name, fill) -> folder
Once = Callable[[str, Callable[[Path], object]], Path]
