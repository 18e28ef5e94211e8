"""Campaigns that were never played, with the numbers that a test asks for."""

import numpy as np

from lungal.records import CLASSES
from lungal.simulation.results import FULL, Pick, Point

SPEEDS = {
    "stratified_random": 1.0,
    "random": 0.95,
    "ppal": 1.2,
    "claspd": 1.7,
    "shuffled": 0.95,
    "oracle": 2.5,
}


def point(arm, seed, number, score, *, films=None, boxes=None, seconds=None, classes=None):
    films = 60 + 40 * number if films is None else films
    return Point(
        arm,
        seed,
        number,
        films,
        2 * films if boxes is None else boxes,
        30.0 * (films - 60) if seconds is None else seconds,
        score,
        (score,) * len(CLASSES) if classes is None else classes,
    )


def points_of(arm, seed, scores, **how):
    return [point(arm, seed, number, score, **how) for number, score in enumerate(scores)]


def campaign(speeds=None, *, seeds=5, rounds=7, noise=0.004, full=0.52):
    """Power laws; an arm of speed 2 learns from a film as much as another from two."""
    random = np.random.default_rng(3)
    points, picks = [], []
    for seed in range(seeds):
        luck = random.normal(0, 0.01)
        for arm, speed in (speeds or SPEEDS).items():
            for number in range(rounds):
                worth = 60 + 40 * number * speed
                dither = random.normal(0, noise) if number else 0.0
                score = 0.6 - 0.99 * worth**-0.35 + luck + dither
                points.append(point(arm, seed, number, score))
                picks += [
                    Pick(
                        arm,
                        seed,
                        number,
                        rank,
                        f"film_{seed}_{number}_{rank}.png",
                        0.9 - 0.1 * rank,
                        {"uncertainty": 0.9 - 0.1 * rank, "stratum": CLASSES[rank]},
                        tuple(int(k == rank) for k in range(len(CLASSES))),
                    )
                    for rank in (1, 2, 3)
                    if number
                ]
        points.append(point(FULL, seed, 0, full + random.normal(0, 0.003), films=900))
    return points, picks
