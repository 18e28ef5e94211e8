"""What every strategy and every selector must do."""

from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.protocol import Acquisition, Selector
from lungal.errors import SelectionError
from lungal.records import CLASSES, Detections
from lungal.testing.makers import make_evidence, make_pool


class AcquisitionContract:
    """Promises of lungal.acquisition.protocol.Acquisition. Supply the fixture `acquisition`."""

    @pytest.fixture
    def acquisition(self) -> Acquisition:
        """Return the strategy under test."""
        raise NotImplementedError("supply the fixture `acquisition`")

    @pytest.mark.parametrize("count", [0, 1, 2, 100])
    def test_a_score_is_one_number_from_0_to_1(self, acquisition: Acquisition, count: int) -> None:
        score = acquisition(make_evidence("00000001_000", count))
        assert isinstance(score, float)
        assert 0 <= score <= 1

    @pytest.mark.parametrize("certainty", [0.0, 1.0])
    def test_certain_detections_have_a_score_too(
        self, acquisition: Acquisition, certainty: float
    ) -> None:
        extreme = _certain(make_evidence("00000001_000", 3), certainty)
        assert 0 <= acquisition(extreme) <= 1

    @pytest.mark.parametrize("findings", [None, frozenset[str](), frozenset(CLASSES)])
    def test_any_report_is_legal(
        self, acquisition: Acquisition, findings: frozenset[str] | None
    ) -> None:
        for count in (0, 3):
            evidence = replace(make_evidence("00000001_000", count), findings=findings)
            assert 0 <= acquisition(evidence) <= 1
            assert acquisition.explain(evidence).strip()

    @pytest.mark.parametrize("count", [0, 1, 100])
    def test_a_score_is_explained_in_one_line(self, acquisition: Acquisition, count: int) -> None:
        words = acquisition.explain(make_evidence("00000001_000", count))
        assert words.strip()
        assert "\n" not in words

    def test_scores_of_the_other_classes_need_not_be_known(self, acquisition: Acquisition) -> None:
        evidence = make_evidence("00000001_000", 3)
        less = Evidence(
            replace(evidence.detections, class_scores=None),
            tuple(replace(view, class_scores=None) for view in evidence.views),
            tuple(replace(member, class_scores=None) for member in evidence.committee),
            evidence.findings,
        )
        assert 0 <= acquisition(less) <= 1

    def test_the_same_evidence_scores_the_same(self, acquisition: Acquisition) -> None:
        films = [make_evidence(f"{number:08d}_000", number % 4) for number in range(12)]
        forwards = [acquisition(film) for film in films]
        backwards = [acquisition(film) for film in reversed(films)]
        assert forwards == backwards[::-1]

    def test_detections_are_left_as_they_were(self, acquisition: Acquisition) -> None:
        given, untouched = (make_evidence("00000001_000", 5) for _ in range(2))
        acquisition(given)
        acquisition.explain(given)
        for mine, before in zip(_all(given), _all(untouched), strict=True):
            np.testing.assert_array_equal(mine.boxes, before.boxes)
            np.testing.assert_array_equal(mine.scores, before.scores)
            np.testing.assert_array_equal(mine.labels, before.labels)
            assert mine.class_scores is not None
            assert before.class_scores is not None
            np.testing.assert_array_equal(mine.class_scores, before.class_scores)


class SelectorContract:
    """Promises of lungal.acquisition.protocol.Selector. Supply the fixture `selector`.

    Override `alone` if the selector was told that a patient's second film is no matter.
    """

    @pytest.fixture
    def selector(self) -> Selector:
        """Return the selector under test."""
        raise NotImplementedError("supply the fixture `selector`")

    @pytest.fixture
    def alone(self) -> bool:
        """Return whether the selector takes no patient's second film."""
        return True

    def test_choices_are_films_of_the_pool_as_they_are(self, selector: Selector) -> None:
        pool = make_pool(40)
        choices = selector(pool, 7, seed=0, number=1)
        assert [choice.rank for choice in choices] == list(range(1, 8))
        assert len({choice.image_id for choice in choices}) == 7
        for choice in choices:
            film = pool.image_ids.index(choice.image_id)
            assert choice.patient_id == pool.patients[film]
            assert choice.score == pool.scores[film]

    def test_a_receipt_holds_numbers_and_words(self, selector: Selector) -> None:
        for choice in selector(make_pool(40), 7, seed=0, number=1):
            for name, value in choice.components.items():
                assert name
                assert isinstance(value, (int, float, str))
                assert isinstance(value, str) or not np.isnan(value)

    def test_the_same_seed_chooses_the_same(self, selector: Selector) -> None:
        first = selector(make_pool(60), 9, seed=3, number=2)
        assert selector(make_pool(60), 9, seed=3, number=2) == first

    def test_an_empty_pool_gives_no_choice(self, selector: Selector) -> None:
        assert selector(make_pool(0), 5, seed=0, number=1) == []

    def test_no_budget_gives_no_choice(self, selector: Selector) -> None:
        assert selector(make_pool(10), 0, seed=0, number=1) == []

    @pytest.mark.parametrize("films", [1, 2, 13])
    def test_a_budget_beyond_the_pool_takes_all_there_is(
        self, selector: Selector, films: int, *, alone: bool
    ) -> None:
        pool = make_pool(films)
        choices = selector(pool, 50, seed=0, number=1)
        assert len(choices) == (len(set(pool.patients)) if alone else films)

    def test_a_patient_is_chosen_once_where_that_is_the_rule(
        self, selector: Selector, *, alone: bool
    ) -> None:
        choices = selector(make_pool(30), 12, seed=0, number=1)
        if alone:
            assert len({choice.patient_id for choice in choices}) == len(choices)

    def test_a_cold_start_without_labelled_films_is_legal(self, selector: Selector) -> None:
        assert len(selector(make_pool(30, labelled=0), 5, seed=0, number=1)) == 5

    def test_films_that_show_and_report_nothing_are_legal(self, selector: Selector) -> None:
        pool = make_pool(30)
        nothing = replace(
            pool,
            scores=np.zeros(30),
            class_scores=np.zeros_like(pool.class_scores),
            class_doubts=np.zeros_like(pool.class_scores),
            findings=np.zeros_like(pool.findings),
            known=np.zeros_like(pool.known),
        )
        assert len(selector(nothing, 5, seed=0, number=1)) == 5

    def test_twins_are_legal(self, selector: Selector) -> None:
        pool = make_pool(30)
        assert pool.embeddings is not None
        same = replace(pool, embeddings=np.tile(pool.embeddings[:1], (30, 1)))
        assert len(selector(same, 5, seed=0, number=1)) == 5

    def test_without_embeddings_it_works_or_says_what_it_needs(self, selector: Selector) -> None:
        pool = replace(make_pool(20), embeddings=None, labelled_embeddings=None)
        try:
            assert len(selector(pool, 5, seed=0, number=1)) == 5
        except SelectionError as error:
            assert "embedding" in str(error)  # noqa: PT017  both ways are right

    def test_the_pool_is_left_as_it_was(self, selector: Selector) -> None:
        given, untouched = make_pool(30), make_pool(30)
        selector(given, 5, seed=0, number=1)
        for name in ("scores", "class_scores", "class_doubts", "findings", "known", "embeddings"):
            np.testing.assert_array_equal(getattr(given, name), getattr(untouched, name))


def _certain(evidence: Evidence, certainty: float) -> Evidence:
    def sure(seen: Detections) -> Detections:
        return replace(
            seen,
            scores=np.full(len(seen), certainty, np.float32),
            class_scores=np.full((len(seen), len(CLASSES)), certainty, np.float32),
        )

    return Evidence(
        sure(evidence.detections),
        tuple(sure(view) for view in evidence.views),
        tuple(sure(member) for member in evidence.committee),
        evidence.findings,
    )


def _all(evidence: Evidence) -> list[Detections]:
    return [evidence.detections, *evidence.views, *evidence.committee]
