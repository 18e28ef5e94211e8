"""Campaigns played side by side, each in a process of its own."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from lungal.records import OnProgress
from lungal.simulation.arms import Arm
from lungal.simulation.campaign import Campaign
from lungal.simulation.chains import chain_name, find_chain, write_chain
from lungal.simulation.results import Chain

Turn = tuple[Arm | None, int]
"""An arm, or None for that of all labels, and a seed."""

POLL_SECONDS = 1.0
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""What numerical libraries ask, as they are imported, for the number of their threads."""

_done: Any = None
"""In a worker: the trainings that all workers have done, a shared counter."""


def play_all(
    campaign: Campaign,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    *,
    workers: int,
    folders: Sequence[Path],
    on_step: OnProgress,
) -> list[Chain]:
    """Play the campaign of each arm with each seed, and that of all labels with each seed.

    What is found in a folder is not played again. Killed, it goes on after the last training that
    was finished.

    Args:
        campaign: what they have in common.
        arms: ways of choosing.
        seeds: a campaign for each.
        workers: processes, each with its share of the machine's threads.
        folders: of campaigns that were played; new ones are written to the first.
        on_step: told of the trainings that are done.

    Returns:
        By seed, and within a seed that of all labels first, then the arms in order.
    """
    turns: list[Turn] = [(arm, seed) for seed, arm in product(seeds, (None, *arms))]
    names = [chain_name(campaign, *turn) for turn in turns]
    chains = {name: find_chain(name, folders) for name in names}
    missing = [turn for turn, name in zip(turns, names, strict=True) if chains[name] is None]
    if missing:
        _play(campaign, missing, workers, folders[0], on_step)
    return [chains[name] or _read(folders[0], name) for name in names]


def _read(folder: Path, name: str) -> Chain:
    chain = find_chain(name, [folder])
    assert chain is not None, name  # noqa: S101  a worker has just written it
    return chain


def _play(
    campaign: Campaign, turns: Sequence[Turn], workers: int, folder: Path, on_step: OnProgress
) -> None:
    seeds = sorted({seed for arm, seed in turns if arm is not None})
    whole = [turn for turn in turns if turn[0] is None]
    arms = [turn for turn in turns if turn[0] is not None]
    total = len(seeds) + len(whole) + campaign.params.rounds * len(arms)
    with _crew(workers) as (pool, count):
        # What the arms of a seed start from comes first, so that no two processes train it.
        starts = [pool.submit(_start, campaign, seed) for seed in seeds]
        starts += [pool.submit(_finish, campaign, turn, folder) for turn in whole]
        _wait(starts, lambda: on_step(count(), total))
        _wait(
            [pool.submit(_finish, campaign, turn, folder) for turn in arms],
            lambda: on_step(count(), total),
        )


@contextmanager
def _crew(workers: int) -> Iterator[tuple[ProcessPoolExecutor, Callable[[], int]]]:
    # A forked process would inherit TensorFlow's locks and not its threads.
    context = multiprocessing.get_context("spawn")
    done = context.Value("i", 0)
    share = max(1, (os.cpu_count() or 1) // workers)
    with _environment(dict.fromkeys(THREADS, str(share))):
        pool = ProcessPoolExecutor(workers, context, _enter, (done,))
        try:
            yield pool, lambda: done.value
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        pool.shutdown()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _wait(futures: Sequence[Future[None]], tell: Callable[[], None]) -> None:
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
        for future in finished:
            future.result()  # raises what was raised there
        tell()


def _enter(done: Any) -> None:
    global _done
    _done = done
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # Of a parent that was killed nothing else would tell a worker, which would train for hours.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start(campaign: Campaign, seed: int) -> None:
    campaign.start(seed)
    _count()


def _finish(campaign: Campaign, turn: Turn, folder: Path) -> None:
    arm, seed = turn
    if arm is None:
        chain = campaign.play_full(seed)
        _count()
    else:
        chain = campaign.play(arm, seed, on_round=_count)
    write_chain(folder / chain_name(campaign, arm, seed), chain)


def _count() -> None:
    with _done.get_lock():
        _done.value += 1
