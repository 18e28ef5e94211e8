"""How good is a model that looks at a film more than once, and in which ways?

    uv run python -m benchmarks.second_look PROJECT...

Each PROJECT is a folder in which `dvc repro evaluate` was played. Its model looks at the validation
and the test films in every view, once; what it saw is then fused in several ways. Choose by the
validation films: the test films are for saying what came of it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungal.data.films import film_paths, read_films
from lungal.data.labels import ground_truth, read_labels
from lungal.detectors.fused import fuse
from lungal.detectors.tfod.infer import SavedModelDetector
from lungal.detectors.views import VIEWS, View, detect_views
from lungal.evaluation.matching import match_films
from lungal.evaluation.precision_recall import macro_ap
from lungal.params import DetectParams
from lungal.records import Detections, GroundTruth

IOUS, SCORES, LIMIT = (0.3, 0.4, 0.5), (0.2, 0.3), 100
LOOKS = {
    "once": ("as it is",),
    "zoom alone": ("zoom",),
    "zoom": ("as it is", "zoom"),
    "enlarge": ("as it is", "enlarge"),
    "shrink": ("as it is", "shrink"),
    "turn_left, turn_right": ("as it is", "turn_left", "turn_right"),
    "gamma_up, gamma_down": ("as it is", "gamma_up", "gamma_down"),
    "shrink, zoom": ("as it is", "shrink", "zoom"),
}
Seen = dict[str, list[Detections]]


def look(project: Path, split: str) -> tuple[list[GroundTruth], list[tuple[int, int]], Seen]:
    """Return the films' truth, their sizes, and what the project's model sees in each view."""
    truths = ground_truth(read_labels(project / "data/labels.parquet"), split)
    paths = film_paths(project / "data/manifest.parquet")
    films = list(read_films(paths, [truth.image_id for truth in truths]))
    detector = SavedModelDetector(
        project / "models/detector", DetectParams(score_threshold=0.0, fused=())
    )
    views = {"as it is": View(), **VIEWS}
    tuples = list(detect_views(detector, films, list(views.values())))
    seen = {name: [film[at] for film in tuples] for at, name in enumerate(views)}
    return truths, [(film.width, film.height) for film in films], seen


def judge(project: Path, split: str) -> dict[str, list[float]]:
    """Return for each of LOOKS the macro AP at each of IOUS, then `working` at each of SCORES."""
    truths, sizes, seen = look(project, split)
    views = {"as it is": View(), **VIEWS}
    scores = {}
    for name, parts in LOOKS.items():
        chosen = [views[part] for part in parts]
        per_film = zip(*(seen[part] for part in parts), strict=True)
        found = [
            fuse(each, chosen, *size, limit=LIMIT) if len(each) > 1 else each[0]
            for each, size in zip(per_film, sizes, strict=True)
        ]
        aps = [macro_ap(truths, found, iou) for iou in IOUS]
        scores[name] = [
            *aps,
            *(value for score in SCORES for value in working(truths, found, score)),
        ]
    return scores


def working(
    truths: Sequence[GroundTruth], found: Sequence[Detections], score: float
) -> tuple[float, float]:
    """Return sensitivity at IoU .4, and false positives a film, of detections from a score."""
    matches = match_films(truths, [film.above(score) for film in found], 0.4)
    hits = int(matches.hits.sum())
    return hits / int(matches.truths.sum()), (len(matches.hits) - hits) / len(truths)


def show(rows: Sequence[dict[str, dict[str, list[float]]]]) -> None:
    """Print the means over the projects, and test AP@.4 of each."""
    print("looks | val AP@.3/.4/.5 | test AP@.3/.4/.5 | test AP@.4 of each", end="")
    print(" | test sensitivity and false positives a film from .2 | from .3")
    for name in LOOKS:
        val, test = (
            np.mean([row[split][name] for row in rows], axis=0) for split in ("val", "test")
        )
        aps = ("/".join(f"{value:.3f}" for value in means[: len(IOUS)]) for means in (val, test))
        each = " ".join(f"{row['test'][name][1]:.3f}" for row in rows)
        at = (f"{test[k]:.3f}, {test[k + 1]:.2f}" for k in range(len(IOUS), len(test), 2))
        print(name, *aps, each, *at, sep=" | ")


def main() -> None:
    """Judge the models of all projects."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("projects", type=Path, nargs="+")
    projects = parser.parse_args().projects
    show([{split: judge(each, split) for split in ("val", "test")} for each in projects])


if __name__ == "__main__":
    main()
