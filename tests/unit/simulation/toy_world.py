"""A world in which campaigns take milliseconds: findings are learnt by counting them."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from lungal.data.digests import hash_json
from lungal.params import SimulateParams
from lungal.records import CLASSES, Detections, LabelledBox
from lungal.simulation.arms import Arm
from lungal.simulation.campaign import Campaign
from lungal.simulation.films import Films
from lungal.simulation.reader import TrueReader
from lungal.simulation.training import Trainings
from lungal.testing import make_select

SIDE = 256
SHARES = np.array([0.4, 0.2, 0.14, 0.1, 0.07, 0.05, 0.03, 0.01])


def made_up_truth(films, seed=0):
    """Films of which each holds one finding, or none; common ones first in CLASSES."""
    random = np.random.default_rng(seed)
    truth = {}
    for number in range(films):
        corner = random.uniform(0, SIDE / 2, 2).round()
        sides = random.uniform(30, SIDE / 2, 2).round()
        label = CLASSES[random.choice(len(CLASSES), p=SHARES)]
        box = LabelledBox(label, *corner.tolist(), *(corner + sides).tolist())
        truth[f"{number:08d}_000"] = (box,) if random.random() < 0.9 else ()
    return truth


@dataclass
class Counting:
    """Sees a finding the better the more of its kind were labelled, and takes others for it.

    What it sees is there whether anybody has read the film or not: `scenes` is what films look
    like, which is not what the reader of a campaign says of them.
    """

    scenes: dict[str, tuple[LabelledBox, ...]]
    learnt: list[int] = field(default_factory=list)
    name: str = "counting"

    @property
    def key(self):
        scenes = {name: [box.label for box in boxes] for name, boxes in self.scenes.items()}
        return hashlib.sha256(json.dumps(scenes).encode()).hexdigest()[:16]

    def learn(self, labelled, val, *, seed, work):
        work.mkdir(parents=True, exist_ok=True)
        self.learnt.append(len(labelled))
        known = Counter(CLASSES[label] for truth in labelled for label in truth.labels)
        return lambda image_ids, view: (self._see(name, known, seed, view) for name in image_ids)

    def _see(self, name, known, seed, view):
        rng = np.random.default_rng([seed, int(name[:8]), 0 if view is None else 1])
        boxes, scores, labels = [], [], []
        for box in self.scenes[name]:
            sure = known[box.label] / (known[box.label] + 3)
            boxes.append(box.xyxy)
            scores.append(float(np.clip(sure * rng.uniform(0.6, 1.0), 0.02, 0.99)))
            labels.append(CLASSES.index(box.label))
        for _ in range(2):
            corner = rng.uniform(0, SIDE / 2, 2)
            boxes.append((*corner, *(corner + rng.uniform(20, SIDE / 2, 2))))
            scores.append(float(rng.uniform(0.02, 0.5)))
            labels.append(int(rng.integers(len(CLASSES))))
        order = np.argsort(scores)[::-1]
        embedding = np.bincount(labels[:1], minlength=len(CLASSES)) + rng.uniform(0, 0.1, 8)
        return Detections(
            name,
            np.array(boxes, np.float32)[order],
            np.array(scores, np.float32)[order],
            np.array(labels, np.int32)[order],
            embedding=embedding.astype(np.float32),
        )


def make_campaign(folder: Path, *, films=300, truth=None, scenes=None, views=(), **sizes):
    """A campaign on made-up films; a third judges, all classes among them: NaN equals nothing."""
    scenes = scenes or made_up_truth(films)
    names, known = sorted(scenes), truth or scenes
    cast = Films(
        train=tuple(names[: len(names) * 6 // 10]),
        val=tuple(names[len(names) * 6 // 10 : len(names) * 7 // 10]),
        test=tuple(names[len(names) * 7 // 10 :]),
        patients={name: name[:8] for name in names},
        reports={name: frozenset(box.label for box in scenes[name]) for name in names[::2]},
        sizes=dict.fromkeys(names, (SIDE, SIDE)),
        stored="files",
        content=hash_json({name: [asdict(box) for box in known[name]] for name in names}),
    )
    reader = TrueReader(known, cast.sizes, 0.2, 10)
    trainings = Trainings(Counting(scenes), cast, reader, views, 2, folder / "trainings")
    params = SimulateParams(**{"initial": 12, "budget": 8, "rounds": 2, "members": 2, **sizes})
    return Campaign(trainings, params, 0.4)


def make_arm(name, control=None, **select):
    return Arm(name, make_select(budget=8, **select), control)
