"""A child that does some work and may be killed in it."""

import os
from collections.abc import Callable


def in_a_child(arm: Callable[[], None], work: Callable[[], object]) -> bool:
    """Do work in a forked child; return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            arm()
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  a child must not go on as a second pytest
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
