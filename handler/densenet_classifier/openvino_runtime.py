"""OpenVINO without its reports: `from densenet_classifier.openvino_runtime import openvino`.

Each import of the package tells an analytics service about it, by way of the package
openvino_telemetry; where that one cannot be imported, a stand-in does nothing.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ["openvino"]
