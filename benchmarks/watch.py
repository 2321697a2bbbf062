"""When TorchServe's workers become READY, each counted from the start of its own process."""

import threading
import time
from types import TracebackType
from typing import Self

import psutil
import requests

_POLL_S = 0.05
_TIMEOUT_S = 2.0


class WorkerWatch:
    """Polls the management API; as a context manager in a thread, while something else starts."""

    def __init__(self, model_url: str) -> None:
        self._url = model_url
        self._ready_s: dict[int, float] = {}
        self._wanted = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def ready_s(self) -> float | None:
        """Seconds of the slowest worker from its start to READY; None when none was seen."""
        return max(self._ready_s.values(), default=None)

    def all_ready(self) -> bool:
        """Ask once and tell whether as many workers are READY as there should be."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.get(self._url, timeout=_TIMEOUT_S)
            (model,) = response.json()
        except (requests.RequestException, ValueError):
            return False  # not yet listening, or no model yet
        now = time.time()
        for worker in model.get("workers", []):
            if worker["status"] == "READY" and worker["pid"] not in self._ready_s:
                try:
                    began = psutil.Process(worker["pid"]).create_time()
                except psutil.NoSuchProcess:
                    continue
                self._ready_s[worker["pid"]] = now - began
        return 0 < int(model.get("minWorkers", 0)) <= len(self._ready_s)

    def _run(self) -> None:
        while not self._ended.is_set() and not self.all_ready():
            self._ended.wait(_POLL_S)
