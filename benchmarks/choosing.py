"""Choosing 500 films by each selector, its audit included, against a plain numpy k-centre.

    python -m benchmarks.choosing                                  20,000 films, all selectors
    python -m benchmarks.choosing --films 1000000 --selectors claspd coreset

Both get the same pool: made-up films, two of each patient, with scores, findings and embeddings
without structure of 256 numbers, beside 2,000 labelled ones. One turn each.
"""

import argparse

from benchmarks.k_centre import CHOSEN, FILMS, LENGTH, plain
from benchmarks.timing import seconds_of
from lungal.acquisition.choosing import choose_from
from lungal.acquisition.selection import SELECTORS
from lungal.params import SelectParams
from lungal.testing import make_pool

LABELLED = 2000


def main() -> None:
    """Time as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=FILMS)
    parser.add_argument("--selectors", nargs="+", choices=SELECTORS, default=list(SELECTORS))
    args = parser.parse_args()
    pool = make_pool(args.films, labelled=LABELLED, length=LENGTH)
    theirs = seconds_of(lambda: plain(pool.embeddings, CHOSEN))
    print(f"plain numpy k-centre, {CHOSEN} of {args.films:,} films: {theirs:.1f} s", flush=True)
    for name in args.selectors:
        params = SelectParams(selector=name)
        ours = seconds_of(lambda: choose_from(pool, CHOSEN, params, number=1))  # noqa: B023
        print(f"{name}: ratio {ours / theirs:.2f}, {ours:.1f} s", flush=True)


if __name__ == "__main__":
    main()
