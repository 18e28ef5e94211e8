"""What every detector must do."""

import numpy as np
import pytest

from lungal.boxes import why_impossible
from lungal.detectors.protocol import Detector
from lungal.records import Image
from lungal.testing.makers import make_film


class DetectorContract:
    """Promises of lungal.detectors.protocol.Detector.

    Supply the fixture `detector`; override `films` where a detector needs films of another kind.
    """

    @pytest.fixture
    def detector(self) -> Detector:
        """Return the detector under test."""
        raise NotImplementedError("supply the fixture `detector`")

    @pytest.fixture
    def films(self) -> list[Image]:
        """Return films of several shapes, one of them black."""
        shapes = [("00000001_000", 96, 96), ("00000002_000", 128, 80), ("00000003_000", 64, 100)]
        black = Image("00000004_000", np.zeros((96, 96), np.uint8))
        return [*(make_film(*shape) for shape in shapes), black]

    def test_classes_are_named_once(self, detector: Detector) -> None:
        assert detector.classes
        assert len(set(detector.classes)) == len(detector.classes)

    def test_no_films_give_no_detections(self, detector: Detector) -> None:
        assert list(detector.detect([])) == []

    def test_each_film_is_answered_once_and_in_order(
        self, detector: Detector, films: list[Image]
    ) -> None:
        seen = detector.detect(film for film in films)
        assert [found.image_id for found in seen] == [film.image_id for film in films]

    def test_arrays_have_their_shapes_and_types(
        self, detector: Detector, films: list[Image]
    ) -> None:
        for found in detector.detect(films):
            count = len(found)
            assert found.boxes.shape == (count, 4)
            assert found.scores.shape == (count,)
            assert found.labels.shape == (count,)
            assert found.boxes.dtype == np.float32
            assert found.scores.dtype == np.float32
            assert found.labels.dtype == np.int32
            if found.class_scores is not None:
                assert found.class_scores.shape == (count, len(detector.classes))
                assert found.class_scores.dtype == np.float32

    def test_embeddings_are_there_for_all_films_or_for_none(
        self, detector: Detector, films: list[Image]
    ) -> None:
        embeddings = [found.embedding for found in detector.detect(films)]
        known = [embedding for embedding in embeddings if embedding is not None]
        assert len(known) in (0, len(films))
        assert len({embedding.shape for embedding in known}) <= 1
        for embedding in known:
            assert embedding.ndim == 1
            assert embedding.dtype == np.float32
            assert np.isfinite(embedding).all()

    def test_scores_are_probabilities_best_first(
        self, detector: Detector, films: list[Image]
    ) -> None:
        for found in detector.detect(films):
            assert np.all((found.scores >= 0) & (found.scores <= 1))
            assert np.all(np.diff(found.scores) <= 0)
            assert np.all((found.labels >= 0) & (found.labels < len(detector.classes)))
            if found.class_scores is not None:
                assert np.all((found.class_scores >= 0) & (found.class_scores <= 1))

    def test_boxes_lie_within_their_own_film(self, detector: Detector, films: list[Image]) -> None:
        for film, found in zip(films, detector.detect(films), strict=True):
            for box in found.boxes:
                assert why_impossible(box, film.width, film.height, slack=1e-3) is None

    def test_a_film_is_seen_alike_in_any_company(
        self, detector: Detector, films: list[Image]
    ) -> None:
        together = list(detector.detect(films))
        for film, expected in zip(films, together, strict=True):
            (alone,) = detector.detect([film])
            np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-4)
            np.testing.assert_allclose(alone.boxes, expected.boxes, atol=0.05)
            if expected.embedding is not None:
                assert alone.embedding is not None
                np.testing.assert_allclose(alone.embedding, expected.embedding, atol=1e-4)

    def test_films_are_left_as_they_were(self, detector: Detector, films: list[Image]) -> None:
        before = [film.pixels.copy() for film in films]
        list(detector.detect(films))
        for pixels, film in zip(before, films, strict=True):
            np.testing.assert_array_equal(pixels, film.pixels)
