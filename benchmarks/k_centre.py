"""Choosing 500 films by k-centre greedy on 256-d float32 embeddings, against plain numpy.

    python -m benchmarks.k_centre                          a quick run, as `make bench` does
    python -m benchmarks.k_centre --films 1000000          the full size, about 1.1 GB
    python -m benchmarks.k_centre --films 1000000 --memory    what the choice takes by itself
    python -m benchmarks.k_centre --films 10000 --scikit-activeml

The last stands beside scikit-activeml's CoreSet, which is no dependency of lungal; run it with the
Python of an environment of its own (`pip install scikit-activeml`) from the root of this project.
Embeddings are of two kinds: without any structure, which leaves least to be saved, and in heaps,
as those of similar films are. Both ways must choose the same films, or cover as well.
"""

import argparse
import resource
import time

import numpy as np

from benchmarks.timing import Ratio, compare
from lungal.acquisition.selectors.k_centre import farthest_first

FILMS, CHOSEN, LENGTH, HEAPS = 20_000, 500, 256, 200
Films = np.ndarray


def make_films(count: int, *, heaps: bool) -> Films:
    """Return (N, 256) float32 embeddings that depend on the arguments alone."""
    random = np.random.default_rng(0)
    films = random.standard_normal((count, LENGTH), dtype=np.float32)
    if heaps:
        films *= 0.5
        middles = 2 * random.standard_normal((HEAPS, LENGTH), dtype=np.float32)
        for start in range(0, count, FILMS):
            block = films[start : start + FILMS]
            block += middles[random.integers(0, HEAPS, len(block))]
    return films


def plain(films: Films, count: int) -> list[int]:
    """Choose by the algorithm as it is written down: all distances after each choice."""
    squares = np.einsum("ne,ne->n", films, films)
    left = np.full(len(films), np.inf, np.float32)
    chosen = [0]
    for _ in range(count - 1):
        newest = films[chosen[-1]]
        left = np.minimum(left, squares + (newest**2).sum() - 2 * (films @ newest))
        left[chosen] = -1
        chosen.append(int(left.argmax()))
    return chosen


def ours(films: Films, count: int) -> list[int]:
    """Choose as the selectors do."""
    return [film for film, _ in farthest_first(films, films[:0], count, first=0)]


def scikit_activeml(films: Films, count: int) -> list[int]:
    """Choose by scikit-activeml's CoreSet, the first film being labelled."""
    from skactiveml.pool import CoreSet

    labels = np.full(len(films), np.nan)
    labels[0] = 0
    chosen = CoreSet(random_state=0).query(films, labels, batch_size=count - 1)
    return [0, *chosen.tolist()]


def radius(films: Films, chosen: list[int]) -> float:
    """Return how far the film is that lies farthest from all that were chosen."""
    centres = films[chosen]
    lengths = (centres**2).sum(axis=1)
    farthest = 0.0
    for start in range(0, len(films), 1000):
        block = films[start : start + 1000]
        apart = (block**2).sum(axis=1)[:, None] + lengths - 2 * block @ centres.T
        farthest = max(farthest, float(apart.min(axis=1).max()))
    return farthest**0.5


def run(count: int = FILMS, rounds: int = 3) -> dict[str, Ratio]:
    """Check that both cover alike, then time them, on embeddings of both kinds."""
    ratios = {}
    for kind in ("without structure", "in heaps"):
        films = make_films(count, heaps=kind == "in heaps")
        mine, theirs = radius(films, ours(films, CHOSEN)), radius(films, plain(films, CHOSEN))
        if abs(mine - theirs) > 0.01 * theirs:
            raise AssertionError(f"the radius is {mine}, by the plain algorithm {theirs}")
        ratios[kind] = compare(_timed(ours, films), _timed(plain, films), rounds)
    return ratios


def _timed(way, films):  # type: ignore[no-untyped-def]
    return lambda: way(films, CHOSEN)


def main() -> None:
    """Time as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=FILMS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--scikit-activeml", action="store_true")
    args = parser.parse_args()
    if args.memory:
        films = make_films(args.films, heaps=False)
        before = _peak()
        ours(films, CHOSEN)
        taken, given = _peak() - before, films.nbytes / 1e9
        print(f"{args.films:,} films: embeddings {given:.2f} GB, the choice {taken:.3f} GB more")
        return
    if args.scikit_activeml:
        films = make_films(args.films, heaps=True)
        for way in (ours, plain, scikit_activeml):
            began = time.perf_counter()
            chosen = way(films, CHOSEN)
            taken = time.perf_counter() - began
            print(f"{way.__name__}: {taken:.2f} s, radius {radius(films, chosen):.3f}")
        return
    for kind, ratio in run(args.films, args.rounds).items():
        print(f"{CHOSEN} of {args.films:,} films {kind}, lungal / plain numpy: {ratio}")
    print(f"peak memory {_peak():.2f} GB")


def _peak() -> float:
    """Return the most memory that the process has had, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
