"""Stage views: what the model sees in other views of the pool, to data/detections/views/.

A file for each view that `detect.views` names, with boxes in the film's own pixels. It names none
by default, and then looks at nothing. Views are for films that nobody has read: where the
model says something else of a film that was turned a little, it is not sure of it.
"""

import logging
from collections.abc import Iterator, Sequence

from lungal.data.films import film_paths, read_films
from lungal.data.labels import pool, read_labels
from lungal.data.looks import write_looks
from lungal.detectors.tfod.infer import load_detector
from lungal.detectors.views import VIEWS, detect_views
from lungal.params import Params, ViewName
from lungal.records import Detections
from pipelines.stage import PATHS, run, track

logger = logging.getLogger(__name__)


def look_again(params: Params) -> None:
    """Let the model look at the pool through each of the views."""
    if not params.detect.views:
        logger.info("views: none asked for")
        write_looks(PATHS.views, [])
        return
    names = pool(read_labels(PATHS.labels))
    stored = film_paths(PATHS.manifest)
    detector = load_detector(PATHS.model, params.detect)

    def look(name: ViewName) -> Iterator[Detections]:
        found = detect_views(detector, read_films(stored, names), [VIEWS[name]])
        return track((seen for (seen,) in found), len(names), f"view {name}")

    # View by view: films are soon read again, but a large pool in all views fills the memory.
    write_looks(PATHS.views, ((name, look(name)) for name in params.detect.views))


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("views", look_again)


if __name__ == "__main__":
    raise SystemExit(main())
