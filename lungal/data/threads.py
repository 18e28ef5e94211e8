"""Work on films in threads, a few ahead of whoever takes the results.

cv2 releases the interpreter's lock, so decoding and encoding films run on all cores.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def map_in_order(
    function: Callable[[Given], Made], items: Iterable[Given], workers: int | None = None
) -> Iterator[Made]:
    """Yield function(item) in the order of the items.

    Unlike `Executor.map` before Python 3.14 it takes no more items than it works on, so that an
    archive of films may pass through a few of them at a time.

    Args:
        function: runs in another thread; what it raises is raised here, at its item's turn.
        items: taken from this thread, at most twice as many ahead as there are workers.
        workers: None is one for each core that this process may use.
    """
    workers = workers or len(os.sched_getaffinity(0))
    rest = iter(items)
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as executor:
        ahead.extend(executor.submit(function, item) for item in islice(rest, 2 * workers))
        while ahead:
            made = ahead.popleft().result()
            ahead.extend(executor.submit(function, item) for item in islice(rest, 1))
            yield made
