"""Where the organs of one film lie: outlines in film pixels, before anything is drawn.

Outlines are laid out in an upright frame, x from the patient's midline and y from the film's top,
and moved together to where the patient stood. `side` is -1 for the patient's right lung, on the
film's left, and 1 for the left lung.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lungal.data.sources.phantom.canvas import SIDE, Points, closed_curve, curve
from lungal.data.sources.phantom.population import Case, Patient

SIDES = (-1, 1)


@dataclass(frozen=True, slots=True)
class Pose:
    """How the patient stood before the plate."""

    shift: tuple[float, float]  # of the midline from the film's centre, film pixels
    tilt: float  # radians
    scale: float

    def place(self, points: ArrayLike) -> Points:
        """Return (K, 2) points of the upright frame as film pixels."""
        centred = (np.asarray(points, np.float64) - (0, SIDE / 2)) * self.scale
        turn = np.array(
            [[np.cos(self.tilt), np.sin(self.tilt)], [-np.sin(self.tilt), np.cos(self.tilt)]]
        )
        return np.asarray(centred @ turn + (SIDE / 2 + self.shift[0], SIDE / 2 + self.shift[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Lung:
    """One lung's border, film pixels. The three curves join end to end, from apex to apex."""

    side: int
    lateral: Points  # from the apex down to the costophrenic angle
    dome: Points  # the hemidiaphragm, from the costophrenic to the cardiophrenic angle
    medial: Points  # up along the mediastinum

    @property
    def outline(self) -> Points:
        """The whole border, closed."""
        return np.vstack([self.lateral, self.dome, self.medial])


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """All that the parts of the drawing must agree on."""

    patient: Patient
    view: str
    pose: Pose
    half_width: float  # of the chest, upright frame
    apex: float  # y, upright frame
    domes: tuple[float, float]  # y of right and left, upright frame
    lungs: tuple[Lung, Lung]
    heart: Points
    heart_top: float  # y, upright frame

    def lung(self, side: int) -> Lung:
        """Return the lung on the film's left (-1) or right (1)."""
        return self.lungs[SIDES.index(side)]

    @property
    def heart_ratio(self) -> float:
        """The cardiothoracic ratio: the heart's width over the chest's inner width."""
        width = np.ptp(self.heart[:, 0]) / self.pose.scale
        return float(width / (2 * self.half_width))


def build(case: Case) -> Anatomy:
    """Return the anatomy of one film; a finding of Cardiomegaly widens the heart."""
    rng = case.stream("pose")
    patient, is_ap = case.patient, case.view == "AP"
    wobble = 1.6 if is_ap else 1.0
    pose = Pose(
        shift=(float(rng.normal(0, 9 * wobble)), float(rng.normal(0, 8 * wobble))),
        tilt=float(np.clip(rng.normal(0, 0.012 * wobble), -0.05, 0.05)),
        scale=float(rng.uniform(0.97, 1.03)),
    )
    right_dome = patient.dome + rng.normal(0, 10) - (rng.uniform(20, 60) if is_ap else 0)
    domes = (float(right_dome), float(right_dome + rng.uniform(16, 38)))
    lungs = tuple(_lung(pose, patient, side, domes[i]) for i, side in enumerate(SIDES))
    ratio = _heart_ratio(case)
    top = patient.apex + rng.uniform(236, 262) - (26 if "Cardiomegaly" in case.findings else 0)
    bottom = float(np.mean(domes)) + 52
    heart = pose.place(_heart(2 * patient.half_width * ratio, float(top), bottom))
    return Anatomy(
        patient=patient,
        view=case.view,
        pose=pose,
        half_width=patient.half_width,
        apex=patient.apex,
        domes=domes,
        lungs=(lungs[0], lungs[1]),
        heart=heart,
        heart_top=float(top),
    )


def _heart_ratio(case: Case) -> float:
    # AP films magnify the heart, which lies far from the plate; up to 0.5 is still healthy there.
    magnified = case.patient.heart_ratio + (0.025 if case.view == "AP" else 0.0)
    if "Cardiomegaly" not in case.findings:
        return magnified
    return float(case.lesion_stream("Cardiomegaly").uniform(0.545, 0.66))


def _lung(pose: Pose, patient: Patient, side: int, dome: float) -> Lung:
    width, apex = patient.half_width, patient.apex
    angle = dome + 118  # the costophrenic angle
    waist = (apex + angle) / 2
    lateral = [
        (0.40, apex), (0.61, apex + 32), (0.80, apex + 122), (0.92, apex + 245),
        (0.975, waist + 10), (1.0, waist + 150), (0.995, angle - 70), (0.985, angle),
    ]  # fmt: skip
    floor = [
        (0.985, angle), (0.91, dome + 58), (0.79, dome + 20), (0.62, dome), (0.44, dome + 5),
        (0.29, dome + 26), (0.19, dome + 48),
    ]  # fmt: skip
    medial = [
        (0.19, dome + 48), (0.16, dome - 60), (0.15, waist + 20), (0.16, apex + 190),
        (0.17, apex + 95), (0.23, apex + 30), (0.40, apex),
    ]  # fmt: skip
    return Lung(side, *(_border(pose, part, side * width) for part in (lateral, floor, medial)))


def _border(pose: Pose, points: list[tuple[float, float]], width: float) -> Points:
    return pose.place(curve(np.array(points) * (width, 1)))


def _heart(width: float, top: float, bottom: float) -> Points:
    right, left, height = -0.345 * width, 0.655 * width, bottom - top
    return closed_curve(
        [
            (0.50 * right, top), (0.80 * right, top + 0.24 * height),
            (right, top + 0.55 * height), (0.90 * right, top + 0.82 * height),
            (0.40 * right, bottom), (0.45 * left, bottom + 4),
            (0.86 * left, bottom - 0.05 * height), (left, top + 0.79 * height),
            (0.90 * left, top + 0.57 * height), (0.66 * left, top + 0.29 * height),
            (0.44 * left, top + 0.08 * height), (0.10 * left, top - 0.02 * height),
        ]
    )  # fmt: skip
