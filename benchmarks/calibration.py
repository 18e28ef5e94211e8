"""What scores mean on test films, by curves that were learnt on the validation films of a campaign.

    lungal simulate --preset phantom
    python -m benchmarks.calibration .simulations/phantom

For each of its detectors the curves are learnt on the validation films and looked at on the test
films: how often detections are right whose calibrated score lies between two values. Raw scores, a
temperature (Guo et al. 2017), Platt's sigmoid of all classes together, and what lungal fits.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from lungal.data.detections import read_detections
from lungal.data.manifest import read_truth
from lungal.evaluation.calibration import logits
from lungal.evaluation.calibration_fit import fit_calibration, fit_platt
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES, Detections, GroundTruth

IOU = 0.4
EDGES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
FEWEST = 20
"""Detections between two edges from which a mean is shown."""
Judged = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Scores, hits and labels of all detections."""


def judge(films: Sequence[Detections], truths: Sequence[GroundTruth]) -> Judged:
    """Return the detections and which of them are right."""
    matches = match_films(truths, films, IOU)
    labels = np.zeros(len(matches.scores), int)
    for label in range(len(CLASSES)):
        labels[matches.of_class(label)] = label
    return matches.scores.astype(np.float64), matches.hits, labels


def sigmoid(line: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-line))


def temperature(val: Judged) -> float:
    """Return the temperature of greatest likelihood."""
    signed = np.where(val[1], -1.0, 1.0) * logits(val[0])
    loss = lambda log: np.logaddexp(0, signed / np.exp(log)).sum()  # noqa: E731
    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def curves(
    films: Sequence[Detections], truths: Sequence[GroundTruth]
) -> dict[str, Callable[[Judged], np.ndarray]]:
    """Return by name what makes probabilities of judged detections, learnt on these films."""
    val = judge(films, truths)
    heat, (slope, offset) = temperature(val), fit_platt(logits(val[0]), val[1])
    ours = fit_calibration(truths, films, iou=IOU).curves

    def by_class(test: Judged) -> np.ndarray:
        out = np.empty_like(test[0])
        for label, curve in enumerate(ours):
            out[test[2] == label] = curve(test[0][test[2] == label])
        return out

    return {
        "raw": lambda test: test[0],
        "temperature": lambda test: sigmoid(logits(test[0]) / heat),
        "Platt, all classes": lambda test: sigmoid(slope * logits(test[0]) + offset),
        "lungal": by_class,
    }


def compare(place: Path) -> None:
    """Print, for each way, how often detections are right less what their score says."""
    truth = read_truth(place / "data/truth.jsonl")
    off: dict[str, list[list[float]]] = {}
    folders = sorted((place / "models/.training/simulation/trainings").glob("*/val.parquet"))
    for path in folders:
        val, test = (read_detections(path.with_name(f"{part}.parquet")) for part in ("val", "test"))
        truths = [
            [GroundTruth.of(film.image_id, truth[film.image_id]) for film in films]
            for films in (val, test)
        ]
        judged = judge(test, truths[1])
        for name, curve in curves(val, truths[0]).items():
            said = curve(judged)
            places = np.digitize(said, EDGES)
            of_edges = [places == place for place in range(1, len(EDGES))]
            off.setdefault(name, []).append(
                [
                    float(judged[1][mine].mean() - said[mine].mean())
                    if mine.sum() >= FEWEST
                    else np.nan
                    for mine in of_edges
                ]
            )
    ranges = [f"{low:g}-{high:g}" for low, high in pairwise(EDGES)]
    print(f"{len(folders)} detectors".ljust(20), *(name.rjust(8) for name in ranges))
    for name, rows in off.items():
        table = np.ma.masked_invalid(rows).mean(axis=0)
        print(name.ljust(20), *(f"{value:+8.2f}" if value else "       -" for value in table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", type=Path, help="a folder in which a preset was played")
    compare(parser.parse_args().place)
