"""What a selector chooses passes its own audit, above all where films are alike and ties abound."""

from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition.audit import audit
from lungal.acquisition.choosing import choose_from
from lungal.errors import SelectionError
from lungal.records import CLASSES
from lungal.testing import make_pool, make_select

UNIT = np.eye(len(CLASSES), dtype=np.float32)


def pool_of_one_class_each(films, random):
    """A pool of films that show one finding each: most of them are as far apart as can be."""
    pool = make_pool(films)
    return replace(
        pool,
        scores=np.sort(random.random(films))[::-1].copy(),
        class_scores=UNIT[random.integers(3, size=films)],
        embeddings=random.normal(size=(films, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("seed", range(40))
def test_ppal_passes_where_films_share_no_class(seed):
    random = np.random.default_rng(seed)
    pool = pool_of_one_class_each(int(random.integers(4, 30)), random)
    params = make_select(selector="ppal", one_per_patient=False)
    for budget in (2, 3, 5):
        assert choose_from(pool, budget, params, number=1)


def twins(films, random):
    """A pool of near copies."""
    half = random.normal(size=(films // 2, 8))
    alike = half + 0.001 * random.normal(size=half.shape)
    embeddings = np.concatenate([half, alike]).astype(np.float32)
    return replace(make_pool(films), embeddings=embeddings)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("one_per_patient", [True, False])
def test_typicality_passes_among_twins(seed, one_per_patient):
    pool = twins(300, np.random.default_rng(seed))
    params = make_select(selector="typicality", one_per_patient=one_per_patient)
    assert len(choose_from(pool, 20, params, number=1)) == 20


@pytest.mark.parametrize("one_per_patient", [True, False])
def test_a_film_out_of_its_clusters_turn_is_noticed(one_per_patient):
    pool = twins(60, np.random.default_rng(0))
    params = make_select(selector="typicality", one_per_patient=one_per_patient)
    first, second, *others = choose_from(pool, 12, params, number=1)
    swapped = [replace(second, rank=1), replace(first, rank=2), *others]
    with pytest.raises(SelectionError, match="when it was the turn of cluster"):
        audit(swapped, pool, 12, params, number=1)
