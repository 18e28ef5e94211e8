"""One training of a campaign: a detector learns from the labelled films and looks at all others.

What it saw is kept by a hash of what it learnt from: arms that stand at the same films share it,
and a campaign that was killed goes on where it was.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungal.data.files import alone
from lungal.data.folds import deal
from lungal.params import ViewName
from lungal.records import Detections, GroundTruth
from lungal.simulation.films import Films
from lungal.simulation.learner import Learner, Look
from lungal.simulation.reader import TrueReader
from lungal.simulation.sight import Looks, Sight, read_sight, write_sight


@dataclass(frozen=True, slots=True)
class Trainings:
    """The trainings of campaigns on the same films.

    Args:
        learner: trains.
        films: of the campaigns.
        reader: knows the truth of the films that are labelled.
        views: in which the pool is looked at, where that is asked for.
        members: of a committee, where one is asked.
        folder: what was seen stays here.
    """

    learner: Learner
    films: Films
    reader: TrueReader
    views: tuple[ViewName, ...]
    members: int
    folder: Path

    def observe(self, labelled: Collection[str], *, seed: int, looks: Collection[str]) -> Sight:
        """Return what a detector that knows these films sees.

        Args:
            labelled: image_ids of the films to learn from.
            seed: of the training.
            looks: other looks at the pool that are needed: `views`, `committee`.

        Raises:
            DetectorError: if it cannot learn from these films.
        """
        truths = self.reader.tell(list(labelled))
        val = self.reader.tell(self.films.val)
        folder = self.folder / self._key(truths, val, seed, looks)
        # Two arms may choose the same films at the same time: the second waits for the first.
        with alone(folder.with_suffix(".lock")):
            if not folder.exists():
                work = folder.with_suffix(".work")
                write_sight(folder, self._look(truths, val, seed, looks, work))
                shutil.rmtree(work, ignore_errors=True)
        return read_sight(folder)

    def _look(
        self,
        truths: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        seed: int,
        looks: Collection[str],
        work: Path,
    ) -> Sight:
        known = [truth.image_id for truth in truths]
        waiting = sorted(set(self.films.train) - set(known))
        look = self._learn(truths, val, seed, work / "model")
        return Sight(
            val=list(look(self.films.val, None)),
            test=list(look(self.films.test, None)),
            labelled=list(look(known, None)),
            pool=list(look(waiting, None)),
            views=[(name, list(look(waiting, name))) for name in self._views(looks)],
            committee=self._ask_committee(truths, val, seed, waiting, work)
            if "committee" in looks
            else (),
        )

    def _ask_committee(
        self,
        truths: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        seed: int,
        waiting: Sequence[str],
        work: Path,
    ) -> Looks:
        patients = {truth.image_id: self.films.patients[truth.image_id] for truth in truths}
        asked: list[tuple[str, Sequence[Detections]]] = []
        for number, fold in enumerate(deal(patients, self.members), start=1):
            others = [truth for truth in truths if truth.image_id not in set(fold)]
            look = self._learn(others, val, seed, work / f"member-{number}")
            asked.append((f"{number}", list(look(waiting, None))))
        return asked

    def _learn(
        self, truths: Sequence[GroundTruth], val: Sequence[GroundTruth], seed: int, work: Path
    ) -> Look:
        return self.learner.learn(truths, val, seed=seed, work=work)

    def _views(self, looks: Collection[str]) -> tuple[ViewName, ...]:
        return self.views if "views" in looks else ()

    def _key(
        self,
        truths: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        seed: int,
        looks: Collection[str],
    ) -> str:
        digest = hashlib.sha256()
        parts = [
            self.learner.key,
            self.films.stored,
            seed,
            self.films.train,
            self.films.test,
            self._views(looks),
            self.members if "committee" in looks else 0,
        ]
        digest.update(json.dumps(parts).encode())
        for truth in (*truths, *val):
            digest.update(truth.image_id.encode())
            digest.update(truth.boxes.tobytes())
            digest.update(truth.labels.tobytes())
        return digest.hexdigest()[:16]
