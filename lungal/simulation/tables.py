"""A verdict and its campaign as tables, for people, DVC's plots and pictures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lungal.records import CLASSES
from lungal.simulation.curves import CURRENCIES, Curve, ahead, learning_curves, mean_curve
from lungal.simulation.findings import compare_findings
from lungal.simulation.inference import UNKNOWN, paired_t
from lungal.simulation.points import DIGITS, point_table
from lungal.simulation.results import FULL, Pick, Point
from lungal.simulation.verdict import Verdict


def tables(
    verdict: Verdict, points: Sequence[Point], picks: Sequence[Pick], learner: str
) -> dict[str, pd.DataFrame]:
    """Return all tables by name: what a report writes as CSV.

    `points`: as measured. `curves`: mean curves with their distance from the reference. `classes`:
    mean score of each class by round. `findings`: AUBC of each class against the reference's.
    `aubc`, `savings`, `stopping`: the verdict's. `gained`: true boxes of each class on the films
    that were chosen, a mean over seeds. `chosen`: scores of the films that were chosen.
    """
    return {
        "points": point_table(points, learner),
        "curves": curve_table(verdict, points),
        "classes": class_table(points),
        "findings": finding_table(verdict, points),
        "aubc": aubc_table(verdict),
        "savings": savings_table(verdict),
        "stopping": stopping_table(verdict),
        "gained": gained_table(picks),
        "chosen": chosen_table(picks),
    }


def curve_table(verdict: Verdict, points: Sequence[Point]) -> pd.DataFrame:
    """Return a row per arm, currency and round of the mean curves.

    ahead is the mean over seeds of the distance from the reference at the same budget of the same
    seed; low and high are the ends of score's band, which is as wide as the t interval of that
    distance: where the band does not touch the reference's curve, the two differ. Undefined where
    the reference was not measured at the budget of each seed, was played for other seeds, and with
    one seed.
    """
    rows: list[tuple[object, ...]] = []
    for currency in CURRENCIES:
        curves = learning_curves(points, currency)
        reference = curves.get(verdict.reference or "", {})
        for arm, seeds in curves.items():
            mean = mean_curve(list(seeds.values()))
            distances = _distances(seeds, reference, len(mean.budgets))
            for number, (budget, score) in enumerate(zip(mean.budgets, mean.scores, strict=True)):
                # Of two seeds out of five the mean would be of other seeds than the curve's.
                here = distances[:, number]
                shift = paired_t(here if not np.isnan(here).any() else here[:0])
                low, high = shift.bounds(verdict.rules.level)
                band = score + low - shift.value, score + high - shift.value
                if arm == verdict.reference or set(seeds) != set(reference):
                    band = UNKNOWN, UNKNOWN
                rows.append((arm, currency, number, budget, score, *band, shift.value))
    columns = ["arm", "currency", "round", "budget", "score", "low", "high", "ahead"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def _distances(
    seeds: Mapping[int, Curve], reference: Mapping[int, Curve], rounds: int
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    both = [
        ahead(curve, reference[seed])[:rounds] for seed, curve in seeds.items() if seed in reference
    ]
    return np.array(both, np.float64) if both else np.full((1, rounds), np.nan)


def class_table(points: Sequence[Point]) -> pd.DataFrame:
    """Return a row per arm, round and class: mean films and score over seeds; FULL is round 0."""
    rows = []
    found: dict[tuple[str, int], list[Point]] = defaultdict(list)
    for point in points:
        found[point.arm, point.round if point.arm != FULL else 0].append(point)
    for (arm, number), of_round in found.items():
        scores = np.array([point.classes for point in of_round], np.float64)
        films = float(np.mean([point.films for point in of_round]))
        for label, name in enumerate(CLASSES):
            known = scores[:, label][~np.isnan(scores[:, label])]
            score = float(known.mean()) if len(known) else UNKNOWN
            rows.append((arm, number, name, films, score))
    columns = ["arm", "round", "class", "films", "score"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def finding_table(verdict: Verdict, points: Sequence[Point]) -> pd.DataFrame:
    """Return a row per arm and class: its AUBC in films less the reference's, not corrected."""
    compared = compare_findings(points, verdict.reference, level=verdict.rules.level)
    rows = [
        (
            one.arm,
            name,
            one.reference,
            one.seeds,
            one.aubc,
            one.of_reference,
            one.difference,
            *one.interval,
        )
        for name, of_class in compared.items()
        for one in of_class
    ]
    columns = ["arm", "class", "reference", "seeds", "aubc", "of_reference", "difference"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high"]).round(DIGITS)


def aubc_table(verdict: Verdict) -> pd.DataFrame:
    """Return a row per currency, arm and reference."""
    rows = [
        (
            currency,
            one.arm,
            one.reference,
            one.seeds,
            one.aubc,
            one.of_reference,
            one.difference,
            *one.interval,
            *one.together,
            one.p,
            one.p_holm,
            one.won,
        )
        for currency, compared in verdict.comparisons.items()
        for one in compared
    ]
    columns = ["currency", "arm", "reference", "seeds", "aubc", "of_reference", "difference"]
    columns += ["low", "high", "low_together", "high_together", "p", "p_holm", "won"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def savings_table(verdict: Verdict) -> pd.DataFrame:
    """Return a row per currency, share and arm; infinite where nothing bounds it."""
    rows = [
        (
            currency,
            share,
            one.target,
            arm,
            verdict.reference,
            one.needed.low,
            one.needed.high,
            one.of_reference.low,
            one.of_reference.high,
            one.text,
            one.measured.low,
            one.measured.high,
            *one.interval,
            *one.together,
            one.censored,
        )
        for (currency, share, arm), one in verdict.savings.items()
    ]
    columns = ["currency", "share", "target", "arm", "reference", "needed_from", "needed_to"]
    columns += ["reference_from", "reference_to", "saving", "saving_from", "saving_to"]
    columns += ["low", "high", "low_together", "high_together", "censored_draws"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def stopping_table(verdict: Verdict) -> pd.DataFrame:
    """Return a row per arm; a, b and c are the fitted curve's."""
    rows = [
        (
            one.arm,
            one.films,
            one.batch,
            *((one.law.a, one.law.b, one.law.c) if one.law else [UNKNOWN] * 3),
            one.gain,
            one.upper,
            {True: "stop", False: "read on", None: "cannot be told"}[one.stop],
            one.reason,
        )
        for one in verdict.suggestions
    ]
    columns = ["arm", "films", "batch", "a", "b", "c", "gain", "upper", "suggestion", "reason"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def gained_table(picks: Sequence[Pick]) -> pd.DataFrame:
    """Return a row per arm and class: boxes a seed found on the films chosen, and films a seed."""
    rows = []
    for arm, mine in _by_arm(picks).items():
        seeds = len({pick.seed for pick in mine})
        boxes = np.zeros(len(CLASSES))
        for pick in mine:
            boxes[: len(pick.boxes)] += pick.boxes
        rows += [
            (arm, name, boxes[label] / seeds, len(mine) / seeds)
            for label, name in enumerate(CLASSES)
        ]
    return pd.DataFrame(rows, columns=["arm", "class", "boxes", "films"]).round(DIGITS)


def chosen_table(picks: Sequence[Pick]) -> pd.DataFrame:
    """Return a row per film chosen: its place, score, and boxes it turned out to hold."""
    rows = [
        (pick.arm, pick.seed, pick.round, pick.rank, pick.image_id, pick.score, sum(pick.boxes))
        for mine in _by_arm(picks).values()
        for pick in sorted(mine, key=lambda pick: (pick.seed, pick.round, pick.rank))
    ]
    columns = ["arm", "seed", "round", "rank", "image_id", "score", "boxes"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def _by_arm(picks: Sequence[Pick]) -> dict[str, list[Pick]]:
    found: dict[str, list[Pick]] = defaultdict(list)
    for pick in picks:
        found[pick.arm].append(pick)
    return found
