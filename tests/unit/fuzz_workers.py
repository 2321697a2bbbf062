"""Stand-ins for what a process of the fuzzer does, which another process has to find by name."""

import os
from multiprocessing.connection import Connection
from typing import Any

from reliability.fuzzing.worker import Tally

BAD = 2  # the batch that ends the process


def ends_in_one_batch(_: Any, batches: range, sender: Connection) -> None:
    for number in batches:
        sender.send(number)
        if number == BAD:
            os._exit(7)
        sender.send(Tally(neighbours=1))
