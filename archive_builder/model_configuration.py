"""What TorchServe's model configuration says that is packed into archives.

Apart from `contents`, since reading YAML would delay every command that only looks at an archive.
"""

from typing import Any

import yaml

from archive_builder import HANDLER
from archive_builder.contents import CONFIGURATION


def model_configuration() -> dict[str, Any]:
    """Return it as TorchServe hands it to the handler."""
    found: dict[str, Any] = yaml.safe_load((HANDLER / CONFIGURATION).read_text(encoding="utf-8"))
    return found
