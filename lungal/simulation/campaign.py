"""A campaign: rounds of training, choosing and reading, on films whose truth is known.

All arms of a seed start from the same films and the same initial weights, are judged on the same
test films, and keep checkpoints and calibrate by the same validation films. So what differs
between them is the choice. It is made as the stage `select` makes it.
"""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from lungal.acquisition.difficulty import class_weights, difficulty
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.gathering import gather
from lungal.acquisition.pool import Choice
from lungal.data.initial import choose_initial
from lungal.evaluation.bootstrap import class_ap_over
from lungal.evaluation.calibration import Calibration, calibrate_films
from lungal.evaluation.calibration_fit import fit_calibration
from lungal.params import LabelParams, SimulateParams
from lungal.records import CLASSES, Detections
from lungal.simulation.arms import Arm, choose, explain
from lungal.simulation.loss import film_loss
from lungal.simulation.results import FULL, Chain, Pick, Point
from lungal.simulation.sight import Sight, by_film
from lungal.simulation.training import Trainings


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the campaigns of all arms and seeds have in common.

    Args:
        trainings: of its detectors.
        params: rounds, films a round, overlaps of the score.
        iou: overlap from which a detection is right, where scores are calibrated and where the
            oracle counts mistakes.
        looks: other looks at the pool that any of the arms needs. The first detector of a seed,
            which is every arm's, takes all of them: trained a second time it would be another.
    """

    trainings: Trainings
    params: SimulateParams
    iou: float
    looks: frozenset[str] = frozenset()

    def start(self, seed: int) -> None:
        """Train what all arms of a seed start from."""
        self.trainings.observe(self.initial(seed), seed=seed, looks=self.looks)

    def play(self, arm: Arm, seed: int, on_round: Callable[[], None] = lambda: None) -> Chain:
        """Play one arm.

        Args:
            arm: chooses.
            seed: of the initial films, the trainings and the choices.
            on_round: called after the training of each round but the start.

        Raises:
            DetectorError: if a detector cannot learn from the labelled films.
            SelectionError: if a choice is not what it should be.
        """
        labelled, seconds = self.initial(seed), 0.0
        points: list[Point] = []
        picks: list[Pick] = []
        for number in range(self.params.rounds + 1):
            looks = arm.looks if number else arm.looks | self.looks
            sight = self.trainings.observe(labelled, seed=seed, looks=looks)
            points.append(self._judge(sight, arm.name, seed, number, seconds))
            if number:
                on_round()
            if number == self.params.rounds or not sight.pool:
                break
            batch = self._choose(sight, arm, seed, number + 1)
            seconds += self._time([pick.image_id for pick in batch], sight.pool)
            picks += batch
            labelled |= {pick.image_id for pick in batch}
        return Chain(tuple(points), tuple(picks))

    def play_full(self, seed: int) -> Chain:
        """Train on all films at once: what the arms are measured by."""
        sight = self.trainings.observe(self.trainings.films.train, seed=seed, looks=())
        return Chain((self._judge(sight, FULL, seed, 0, 0.0),), ())

    def initial(self, seed: int) -> set[str]:
        """Return the films that are labelled before the first round.

        Raises:
            ParamsError: if there are not as many.
        """
        params = LabelParams(initial=self.params.initial, seed=seed)
        return choose_initial(self.trainings.films.train, self.trainings.reader.truth, params)

    def _judge(self, sight: Sight, arm: str, seed: int, number: int, seconds: float) -> Point:
        truths = self.trainings.reader.tell([film.image_id for film in sight.test])
        statistic = class_ap_over(self.params.iou)(truths, sight.test)
        score, *classes = statistic(np.ones(len(truths))).tolist()
        labelled = self.trainings.reader.tell([film.image_id for film in sight.labelled])
        return Point(
            arm,
            seed,
            number,
            films=len(labelled),
            boxes=sum(len(truth.boxes) for truth in labelled),
            seconds=seconds,
            score=score,
            classes=tuple(classes),
        )

    def _choose(self, sight: Sight, arm: Arm, seed: int, number: int) -> list[Pick]:
        truths = self.trainings.reader.tell([film.image_id for film in sight.val])
        calibration = Calibration()
        if arm.select.calibrate:
            calibration = fit_calibration(truths, sight.val, iou=self.iou)
        pool = gather(
            sight.pool,
            partial(calibrate_films, calibration=calibration),
            self.trainings.films.reports,
            views=dict(by_film(sight.views)),
            committee=dict(by_film(sight.committee)),
        )
        weights = None
        if arm.select.difficulty == "validation":
            seen = calibrate_films(sight.val, calibration)
            weights = class_weights(difficulty(truths, seen))
        choices = choose(
            arm,
            list(pool.values()),
            self.trainings.films.patients,
            seed=seed,
            number=number,
            labelled=calibrate_films(sight.labelled, calibration),
            weights=weights,
            losses=self._losses(pool.values()) if arm.control == "oracle" else None,
        )
        why = [explain(arm, pool[one.image_id], seed=seed, weights=weights) for one in choices]
        return [
            self._receipt(choice, reason, arm.name, seed, number)
            for choice, reason in zip(choices, why, strict=True)
        ]

    def _losses(self, pool: Iterable[Evidence]) -> dict[str, float]:
        tell, found = self.trainings.reader.tell, [film.detections for film in pool]
        return {
            film.image_id: film_loss(tell([film.image_id])[0], film, self.iou) for film in found
        }

    def _time(self, chosen: Collection[str], pool: Iterable[Detections]) -> float:
        seconds = self.trainings.reader.seconds
        return math.fsum(seconds(film) for film in pool if film.image_id in set(chosen))

    def _receipt(self, choice: Choice, reason: str, arm: str, seed: int, number: int) -> Pick:
        (truth,) = self.trainings.reader.tell([choice.image_id])
        boxes = np.bincount(truth.labels, minlength=len(CLASSES)).tolist()
        return Pick(
            arm,
            seed,
            number,
            choice.rank,
            choice.image_id,
            choice.score,
            choice.components,
            tuple(boxes),
            reason,
        )
