"""What was observed about a batch -> a log line a request and TorchServe's metrics.

The lines go to the worker's standard output, which TorchServe logs; server_control/log4j2.xml
writes them to a file of their own. A metric that the server's `metrics_config` does not declare is
not told at all: TorchServe would log each value that it cannot place.
"""

import logging
import os
from typing import Any

from densenet_classifier.telemetry import Batch, Observation

logger = logging.getLogger(__name__)


class Telemetry:
    """The metrics and the log of one worker."""

    def __init__(self, context: Any) -> None:  # noqa: ANN401
        """Take who this worker is, and which metrics are declared, from TorchServe's context."""
        manifest = context.manifest or {}
        version = str(manifest.get("model", {}).get("modelVersion", ""))
        self._labels = {"model_name": context.model_name, "model_version": version}
        self._identity = {"model": context.model_name, "model_version": version}
        kinds = context.metrics.cache.values() if context.metrics else ()
        self._metrics = {name: metric for kind in kinds for name, metric in kind.items()}

    def tell(self, batch: Batch) -> None:
        """Tell one batch."""
        # The pid of now: it stands in the log beside what ended this process.
        lines = batch.lines(**self._identity, worker_pid=os.getpid())
        # One write for all: each is flushed.
        if text := "\n".join(lines):
            logger.info("%s", text)
        for observation in batch.observations():
            self._tell(observation)

    def _tell(self, observation: Observation) -> None:
        metric = self._metrics.get(observation.metric)
        if metric is None:
            return
        labels = {**self._labels, "reason": observation.reason or ""}
        names = metric.dimension_names
        metric.add_or_update(observation.value, [labels.get(name, "") for name in names])
