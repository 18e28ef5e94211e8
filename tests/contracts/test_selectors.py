"""Every selector keeps the promises of a Selector, and its choice passes its audit."""

from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition.audit import AUDITS, audit
from lungal.acquisition.selection import SELECTORS, build_selector
from lungal.errors import SelectionError
from lungal.testing import SelectorContract, make_pool, make_select

NEED_EMBEDDINGS = {"coreset", "ppal", "claspd", "typicality"}


class EachSelector(SelectorContract):
    @pytest.fixture
    def params(self, name, alone):
        return make_select(selector=name, one_per_patient=alone)

    @pytest.fixture
    def selector(self, params):
        return build_selector(params)

    @pytest.mark.parametrize("labelled", [0, 6])
    @pytest.mark.parametrize("budget", [1, 4, 9, 60])
    def test_its_choice_passes_its_audit(self, selector, params, budget, labelled):
        for number, films in ((1, 0), (2, 1), (3, 17), (5, 60)):
            pool = make_pool(films, labelled=labelled)
            choices = selector(pool, budget, seed=params.seed, number=number)
            audit(choices, pool, budget, params, number=number)
            patients = len(set(pool.patients)) if params.one_per_patient else films
            assert len(choices) == min(budget, patients)

    def test_a_film_may_be_told_from_others_by_nothing_but_its_name(self, selector, params):
        pool = make_pool(24)
        same = replace(
            pool,
            scores=np.full(24, 0.5),
            class_scores=np.full_like(pool.class_scores, 0.5),
            class_doubts=np.full_like(pool.class_scores, 0.5),
            findings=np.zeros_like(pool.findings),
            embeddings=np.ones_like(pool.embeddings),
        )
        choices = selector(same, 5, seed=params.seed, number=1)
        audit(choices, same, 5, params, number=1)
        assert len({choice.image_id for choice in choices}) == 5


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", SELECTORS)
class TestEveryName(EachSelector):
    pass


@pytest.mark.parametrize("alone", [True])
@pytest.mark.parametrize("name", ["stratified_random"])
class TestProportional(EachSelector):
    @pytest.fixture
    def params(self, name, alone):
        return make_select(selector=name, quota="proportional", one_per_patient=alone)


@pytest.mark.parametrize("alone", [True])
@pytest.mark.parametrize("name", ["claspd"])
class TestClaspdOtherwise(EachSelector):
    @pytest.fixture(params=[(0.0, 0.0, 1.0), (1.0, 2.0, 0.0)])
    def params(self, name, alone, request):
        stratified, noise, weight = request.param
        return make_select(
            selector=name,
            one_per_patient=alone,
            stratified=stratified,
            noise=noise,
            embedding_weight=weight,
            candidates=1,
        )


@pytest.mark.parametrize("name", SELECTORS)
def test_without_embeddings_the_error_says_what_to_do(name):
    pool = replace(make_pool(20), embeddings=None, labelled_embeddings=None)
    selector = build_selector(make_select(selector=name))
    if name in NEED_EMBEDDINGS:
        with pytest.raises(SelectionError, match=rf"{name} needs an embedding.*select\.selector"):
            selector(pool, 5, seed=0, number=1)
    else:
        assert len(selector(pool, 5, seed=0, number=1)) == 5


def test_no_selector_is_left_untested_or_unaudited():
    marks = {mark.args[0]: mark.args[1] for mark in TestEveryName.pytestmark}
    assert list(marks["name"]) == list(SELECTORS)
    assert set(AUDITS) == set(SELECTORS)
    assert set(SELECTORS) == {
        "topk",
        "random",
        "stratified_random",
        "coreset",
        "ppal",
        "claspd",
        "typicality",
    }
