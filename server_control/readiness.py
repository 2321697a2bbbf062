"""Whether a server can answer: not as long as any worker loads, and again not when none is left.

TorchServe's `/ping` says Healthy while its only worker is dead. A worker is READY here once it
has loaded the model and answered a prediction of its own (`DenseNet121Handler.initialize`).
"""

from dataclasses import dataclass

from archive_builder.command import CommandError
from server_control.configuration import Configuration
from server_control.management import Model, describe
from server_control.runtime import Runtime

STARTING, IS_READY, DRAINING, DOWN = "starting", "ready", "draining", "down"


@dataclass(frozen=True)
class Readiness:
    """`state` is starting, ready, draining or down; `reason` says why, for people.

    `models` are what TorchServe described, every version that it serves.
    """

    state: str
    reason: str
    models: tuple[Model, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether new requests are welcome."""
        return self.state == IS_READY


def readiness(configuration: Configuration, runtime: Runtime) -> Readiness:
    """Return the state of the server that runs from `configuration`; nothing is raised.

    Asks the management API and reads the marks in the runtime's folder, nothing else, so that it
    works beside the server's container as well, with that folder and the loopback shared.
    """
    started = runtime.started.exists()
    try:
        models = tuple(describe(configuration, runtime))
    except CommandError as error:
        return Readiness(DOWN if started else STARTING, str(error))
    reason = "; ".join(_workers(model) for model in models)
    if not started:
        return Readiness(STARTING, reason, models)
    # Without a version in the path it is the default one that answers.
    if not models[0].ready:
        return Readiness(DOWN, reason, models)
    if runtime.draining.exists():
        reason = f"requests are finished, no new ones taken; {reason}"
        return Readiness(DRAINING, reason, models)
    return Readiness(IS_READY, reason, models)


def _workers(model: Model) -> str:
    return f"{model.ready} of {model.wanted} workers of version {model.version} are ready"
