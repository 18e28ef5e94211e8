"""Selectors by hand, and against plain implementations."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from lungal.acquisition.audit import audit
from lungal.acquisition.lots import by_lot, gumbel
from lungal.acquisition.pool import Choice, as_choices
from lungal.acquisition.selection import build_selector
from lungal.acquisition.selectors import k_centre
from lungal.acquisition.selectors.claspd import quotas
from lungal.acquisition.selectors.drawn import NOTHING, UNKNOWN, strata_of
from lungal.acquisition.selectors.k_centre import farthest_first
from lungal.acquisition.selectors.k_means import k_means
from lungal.acquisition.selectors.ppal import conditioned_distances, k_medoids
from lungal.acquisition.selectors.typicality import typicality
from lungal.acquisition.selectors.unit import unit_rows
from lungal.records import CLASSES
from lungal.testing import make_pool, make_select

LOTS = {"seed": 0, "number": 1}


def choose(pool, budget, *, seed=0, number=1, **params):
    return build_selector(make_select(**params))(pool, budget, seed=seed, number=number)


def pool_of(films, **columns):
    """A pool of made-up films, or of those with these names."""
    if isinstance(films, int):
        return replace(make_pool(films), **columns)
    names = tuple(sorted(films))
    scores = np.array([films[name] for name in names])
    pool = replace(make_pool(len(names)), image_ids=names, scores=scores)
    return replace(pool, patients=tuple(name[:8] for name in names), **columns)


def names_of(choices):
    return [choice.image_id for choice in choices]


def test_topk_by_hand():
    pool = pool_of(
        {"00000001_000": 0.2, "00000001_001": 0.9, "00000002_000": 0.9, "00000003_000": 0.5}
    )
    assert choose(pool, 3) == [
        Choice(1, "00000001_001", "00000001", 0.9),
        Choice(2, "00000002_000", "00000002", 0.9),
        Choice(3, "00000003_000", "00000003", 0.5),
    ]


def test_topk_passes_over_a_second_film_of_a_patient():
    pool = pool_of({"00000001_000": 0.9, "00000001_001": 0.8, "00000002_000": 0.1})
    assert names_of(choose(pool, 2)) == ["00000001_000", "00000002_000"]
    assert names_of(choose(pool, 2, one_per_patient=False)) == ["00000001_000", "00000001_001"]


pools = st.dictionaries(
    st.builds("{:08d}_{:03d}".format, st.integers(1, 8), st.integers(0, 4)),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1),
    max_size=25,
)


@given(pools, st.integers(1, 12), st.booleans())
def test_topk_of_any_pool(scores, budget, one_per_patient):
    pool, params = pool_of(scores), make_select(one_per_patient=one_per_patient)
    chosen = choose(pool, budget, one_per_patient=one_per_patient)
    audit(chosen, pool, budget, params, number=1)
    ordered = [(-choice.score, choice.image_id) for choice in chosen]
    assert ordered == sorted(ordered)


@given(pools, st.integers(1, 12))
def test_a_larger_budget_only_adds_to_topk(scores, budget):
    pool = pool_of(scores)
    assert choose(pool, budget) == choose(pool, budget + 1)[:budget]


def test_random_draws_every_film_as_often_as_another():
    pool, drawn = make_pool(20), {}
    for number in range(1, 401):
        for choice in choose(pool, 5, number=number, selector="random", one_per_patient=False):
            drawn[choice.image_id] = drawn.get(choice.image_id, 0) + 1
    assert len(drawn) == 20
    assert 60 < min(drawn.values()) <= max(drawn.values()) < 140  # 100 each on average


def test_random_does_not_look_at_scores():
    pool = make_pool(40)
    other = replace(pool, scores=1 - pool.scores)
    assert names_of(choose(pool, 9, selector="random")) == names_of(
        choose(other, 9, selector="random")
    )
    assert names_of(choose(pool, 9, selector="random", seed=1)) != names_of(
        choose(pool, 9, selector="random")
    )


def reports(*named):
    """Findings and known of films whose reports name these; None: no report."""
    findings = np.zeros((len(named), len(CLASSES)), bool)
    for film, names in enumerate(named):
        for name in names or ():
            findings[film, CLASSES.index(name)] = True
    return {"findings": findings, "known": np.array([names is not None for names in named])}


def test_a_film_of_several_findings_belongs_to_the_rarest():
    named = (["Mass"], ["Mass", "Nodule"], ["Mass", "Effusion"], ["Effusion"], [], None)
    pool = pool_of(6, **reports(*named))
    assert strata_of(pool) == ["Mass", "Nodule", "Effusion", "Effusion", NOTHING, UNKNOWN]


def counts(choices):
    strata = [choice.components["stratum"] for choice in choices]
    return {name: strata.count(name) for name in set(strata)}


def test_strata_by_hand():
    named = [["Mass"]] * 2 + [["Nodule"]] * 10 + [[]] * 28
    pool = pool_of(40, **reports(*named))
    stratified = {"selector": "stratified_random", "one_per_patient": False}
    assert counts(choose(pool, 9, **stratified)) == {"Mass": 2, "Nodule": 4, NOTHING: 3}
    shares = counts(choose(pool, 20, quota="proportional", **stratified))
    assert shares == {"Mass": 1, "Nodule": 5, NOTHING: 14}
    assert counts(choose(pool, 40, **stratified)) == {"Mass": 2, "Nodule": 10, NOTHING: 28}


def test_films_without_report_at_all_are_drawn_as_by_random():
    pool = pool_of(40, **reports(*[None] * 40))
    assert names_of(choose(pool, 9, selector="stratified_random")) == names_of(
        choose(pool, 9, selector="random")
    )


def plain_k_centre(films, centres, budget, first, groups):
    """Gonzalez' algorithm from the definition, in float64."""
    known = [*centres.astype(np.float64)]
    films, chosen, free = films.astype(np.float64), [], np.ones(len(films), bool)
    for _ in range(budget):
        if not free.any():
            break
        far = [min((np.linalg.norm(f - k) for k in known), default=np.inf) for f in films]
        far = np.where(free, far, -1)
        best = first if not known else int(np.argmax(far))
        chosen.append((best, far[best]))
        known.append(films[best])
        free[groups == groups[best]] = False
    return chosen


@pytest.mark.parametrize("centres", [0, 1, 5])
@pytest.mark.parametrize("patients", [60, 12])
def test_k_centre_is_the_plain_one(centres, patients):
    random = np.random.default_rng(centres)
    films = random.normal(0, 1, (60, 5)).astype(np.float32)
    known = random.normal(0, 1, (centres, 5)).astype(np.float32)
    groups = np.arange(60) % patients
    found = farthest_first(films, known, 20, first=3, groups=groups)
    plain = plain_k_centre(films, known, 20, 3, groups)
    assert [film for film, _ in found] == [film for film, _ in plain]
    assert [far for _, far in found] == pytest.approx([far for _, far in plain], rel=1e-4)


def test_k_centre_by_hand():
    line = np.array([[0.0], [1.0], [4.0], [10.0]], np.float32)
    assert farthest_first(line, line[:1], 2, first=0) == [(3, 10.0), (2, 4.0)]
    assert farthest_first(line, line[:0], 2, first=1) == [(1, np.inf), (3, 9.0)]
    assert farthest_first(line[:0], line, 2, first=0) == []


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("patients", [500, 60])
def test_k_centre_is_the_same_in_blocks_of_any_size(monkeypatch, block, patients):
    random = np.random.default_rng(0)
    heaps = random.normal(0, 3, (20, 4))[random.integers(0, 20, 500)]
    films = (heaps + random.normal(0, 0.3, heaps.shape)).astype(np.float32)
    known, groups = films[:9] + np.float32(0.1), np.arange(500) % patients
    plain = plain_k_centre(films, known, 40, 0, groups)
    monkeypatch.setattr(k_centre, "BLOCK", block)
    blocks = farthest_first(films, known, 40, first=0, groups=groups)
    assert [film for film, _ in blocks] == [film for film, _ in plain]


def test_coreset_covers_two_heaps_and_spares_what_is_labelled():
    heaps = np.repeat([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], 4, axis=0).astype(np.float32)
    heaps += np.random.default_rng(0).normal(0, 0.1, heaps.shape).astype(np.float32)
    pool = pool_of(12, embeddings=heaps, labelled_embeddings=np.zeros((1, 2), np.float32))
    chosen = choose(pool, 2, selector="coreset", one_per_patient=False)
    heap = [pool.image_ids.index(name) // 4 for name in names_of(chosen)]
    assert sorted(heap) == [1, 2]
    assert chosen[0].components["distance"] == pytest.approx(10, abs=0.5)


def test_conditioned_distances_by_hand():
    # one film shows classes 0 and 1, one class 1, one nothing; embeddings at 0, 90 and 180 degrees
    embeddings = np.array([[2, 0], [0, 1], [-1, 0]], np.float32)
    scores = np.zeros((3, len(CLASSES)), np.float32)
    scores[0, :2], scores[1, 1] = [0.75, 0.25], 0.5
    d = conditioned_distances(embeddings, scores)
    # 0 -> 1: of its scores .75 lie in a class that 1 does not show (2), .25 in one it does (1 - 0)
    assert d[0, 1] == pytest.approx(((0.75 * 2 + 0.25 * 1) + 1.0) / 2)
    # 0 -> 2: shows nothing of it; 2 -> 0: shows nothing itself, so by embedding alone, 1 - (-1)
    assert d[0, 2] == pytest.approx((2 + 2) / 2)
    assert d[1, 2] == pytest.approx((2 + 1) / 2)
    assert np.array_equal(d, d.T)
    assert np.all(np.diag(d) == 0)


def test_k_medoids_finds_heaps_and_their_middles():
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal((x, 0), 0.1, (9, 2)) for x in (0, 5, 9)])
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    medoids, sizes = k_medoids(distances, 3)
    assert sorted(medoid // 9 for medoid in medoids) == [0, 1, 2]
    assert sizes == [9, 9, 9]
    for medoid in medoids:
        heap = range(medoid // 9 * 9, medoid // 9 * 9 + 9)
        assert medoid == min(heap, key=lambda film: distances[film, list(heap)].sum())


def test_ppal_stays_among_the_most_uncertain_and_thins_out_twins():
    pool = pool_of(40)
    twins = np.ones_like(pool.embeddings)
    twins[30:] = np.eye(8)[np.arange(10) % 8] * 5
    scores = np.linspace(1, 0.1, 40)
    pool = replace(pool, embeddings=twins, scores=scores, class_scores=pool.class_scores * 0)
    chosen = choose(pool, 4, selector="ppal", candidates=10.0, one_per_patient=False)
    films = [pool.image_ids.index(name) for name in names_of(chosen)]
    assert sum(film < 30 for film in films) == 1  # thirty twins are one cluster
    close = choose(pool, 4, selector="ppal", candidates=2.0, one_per_patient=False)
    assert all(pool.image_ids.index(name) < 8 for name in names_of(close))


def test_typicality_is_that_of_the_paper():
    films = np.random.default_rng(0).normal(0, 1, (70, 6)).astype(np.float32)
    near, _ = NearestNeighbors(n_neighbors=21).fit(films).kneighbors(films)
    assert typicality(films) == pytest.approx(1 / (near[:, 1:].mean(axis=1) + 1e-5), rel=1e-4)
    few = films[:7]  # half of the cluster
    near, _ = NearestNeighbors(n_neighbors=4).fit(few).kneighbors(few)
    assert typicality(few) == pytest.approx(1 / (near[:, 1:].mean(axis=1) + 1e-5), rel=1e-4)
    assert len(typicality(films[:1])) == 1


def test_a_cold_start_takes_a_typical_film_of_each_heap_and_no_odd_one():
    random = np.random.default_rng(0)
    heaps = np.repeat(np.eye(8, dtype=np.float32)[:3], 15, axis=0)
    heaps += random.normal(0, 0.05, heaps.shape).astype(np.float32)
    odd = -np.ones((1, 8), np.float32)
    pool = pool_of(46, embeddings=np.concatenate([heaps, odd]))
    pool = replace(pool, labelled_embeddings=np.zeros((0, 8), np.float32))
    chosen = choose(pool, 4, selector="typicality", one_per_patient=False)
    films = [pool.image_ids.index(name) for name in names_of(chosen)]
    assert sorted({film // 15 for film in films[:3]}) == [0, 1, 2]
    for film in films[:3]:
        heap = slice(film // 15 * 15, film // 15 * 15 + 15)
        assert np.argmax(typicality(unit_rows(heaps[heap]))) == film % 15


def test_typicality_goes_where_nothing_is_labelled():
    heaps = np.repeat(np.eye(8, dtype=np.float32)[:2], 20, axis=0)
    heaps += np.random.default_rng(0).normal(0, 0.05, heaps.shape).astype(np.float32)
    pool = pool_of(40, embeddings=heaps, labelled_embeddings=heaps[:1])
    (choice,) = choose(pool, 1, selector="typicality", one_per_patient=False)
    assert pool.image_ids.index(choice.image_id) >= 20


def test_k_means_lowers_the_sum_of_squares_to_a_rest():
    random = np.random.default_rng(0)
    films = random.normal(0, 1, (200, 3)).astype(np.float32)
    clusters = k_means(films, 7, **LOTS)
    means = np.array([films[clusters == c].mean(axis=0) for c in range(7)])
    apart = ((films[:, None] - means) ** 2).sum(axis=2)
    assert np.array_equal(apart.argmin(axis=1), clusters)
    assert np.array_equal(k_means(films, 7, **LOTS), clusters)
    assert not np.array_equal(k_means(films, 7, seed=1, number=1), clusters)


@pytest.mark.parametrize("count", [1, 5])
def test_k_means_of_twins_and_of_as_many_clusters_as_films(count):
    assert len(k_means(np.ones((5, 3), np.float32), count, **LOTS)) == 5
    assert sorted(k_means(np.eye(5, dtype=np.float32), 5, **LOTS)) == [0, 1, 2, 3, 4]


def test_noise_is_gumbels_and_depends_on_its_names_alone():
    draws = np.array([gumbel(str(n), purpose="noise", **LOTS) for n in range(20000)])
    assert draws.mean() == pytest.approx(0.5772, abs=0.03)
    assert draws.std() == pytest.approx(np.pi / 6**0.5, abs=0.03)
    again = gumbel("7", purpose="noise", **LOTS)
    assert draws[7] == again
    others = ({"purpose": "x", **LOTS}, {"purpose": "noise", "seed": 1, "number": 1})
    assert all(gumbel("7", **lots) != again for lots in others)


def test_classes_get_equal_shares_as_far_as_they_have_films():
    pool = make_pool(40)
    worth = np.zeros((40, len(CLASSES)))
    worth[:2, 0] = 1  # two films of one patient
    worth[:20, 1] = 1
    worth[:, 2] = 1
    assert quotas(worth, pool, 12, alone=False) == {
        "Atelectasis": 2,
        "Cardiomegaly": 5,
        "Effusion": 5,
    }
    assert quotas(worth, pool, 12, alone=True)["Atelectasis"] == 1
    assert list(quotas(worth, pool, 3, alone=True)) == ["Atelectasis", "Cardiomegaly", "Effusion"]
    assert quotas(worth, pool, 100, alone=False) == {
        "Atelectasis": 2,
        "Cardiomegaly": 20,
        "Effusion": 40,
    }


def test_claspd_brings_rare_classes_that_scores_alone_would_not():
    pool = pool_of(100, **reports(*[[]] * 100))
    doubts = np.zeros((100, len(CLASSES)), np.float32)
    doubts[:, 0] = 0.9
    doubts[90:, 5] = 0.2
    pool = replace(pool, class_doubts=doubts, scores=np.where(np.arange(100) < 90, 0.9, 0.3))
    top = choose(pool, 10)
    assert all(pool.image_ids.index(name) < 90 for name in names_of(top))
    chosen = choose(pool, 10, selector="claspd", noise=0.0)
    strata = [choice.components["stratum"] for choice in chosen]
    assert strata.count(CLASSES[5]) == 4  # of seven for two classes, the rarer first
    assert strata.count("any") == 3


def test_of_equal_worth_claspd_draws_lots_and_not_by_name():
    pool = pool_of(100, **reports(*[[]] * 100))
    doubts = np.zeros((100, len(CLASSES)), np.float32)
    doubts[:, 0] = 0.5
    pool = replace(pool, class_doubts=doubts, scores=np.full(100, 0.5))
    chosen = {
        (seed, number): set(
            names_of(
                choose(
                    pool, 10, number=number, selector="claspd", noise=0.0, candidates=1, seed=seed
                )
            )
        )
        for seed, number in [(0, 1), (1, 1), (0, 2)]
    }
    assert len(chosen[0, 1] & chosen[1, 1]) < 5
    assert len(chosen[0, 1] & chosen[0, 2]) < 5
    assert max(map(pool.image_ids.index, chosen[0, 1])) > 50


def test_what_is_hardly_seen_lies_near_what_shows_nothing():
    selector = build_selector(make_select(selector="claspd", embedding_weight=0.0))
    rows = np.zeros((3, len(CLASSES)), np.float32)
    rows[1, 0], rows[2, :2] = 0.05, 1.0
    nothing, faint, sure = selector.vectors(np.ones((3, 4), np.float32), rows)[:, 4:]
    assert np.linalg.norm(faint - nothing) == pytest.approx(0.05)
    assert np.linalg.norm(sure) == pytest.approx(1.0)


def test_the_noise_of_claspd_fades():
    pool = make_pool(200)
    plain = set(names_of(choose(pool, 20, selector="claspd", noise=0.0, candidates=1)))

    def kept(number):
        noisy = choose(pool, 20, number=number, selector="claspd", noise=2.0, candidates=1)
        return len(plain & set(names_of(noisy)))

    early, late = sum(kept(n) for n in (1, 2)), sum(kept(n) for n in (9, 10))
    assert late >= 38  # hardly any noise is left after eight halvings
    assert early < 30


def test_claspd_takes_films_unlike_those_that_are_labelled():
    pool = pool_of(40, **reports(*[[]] * 40))
    shown = np.zeros((40, len(CLASSES)), np.float32)
    embeddings = np.tile(np.eye(8, dtype=np.float32)[0], (40, 1))
    embeddings[20:] = np.eye(8)[1]
    pool = replace(
        pool,
        scores=np.full(40, 0.5),
        class_scores=shown,
        class_doubts=shown,
        embeddings=embeddings,
        labelled_embeddings=embeddings[:3],
        labelled_class_scores=shown[:3],
    )
    (choice,) = choose(pool, 1, selector="claspd", candidates=20)
    assert pool.image_ids.index(choice.image_id) >= 20
    assert choice.components["distance"] == pytest.approx(1.0)  # sqrt(.5 * 2 (1 - cos 90))


def test_choices_keep_their_receipts():
    pool = make_pool(4)
    (one, other) = as_choices(pool, [2, 0], [{"a": 1.0}, {"a": 2.0}])
    assert (one.rank, one.image_id, one.components) == (1, pool.image_ids[2], {"a": 1.0})
    assert (other.rank, other.score) == (2, pool.scores[0])


def test_lots_are_those_of_the_round():
    pool = make_pool(30)
    drawn = choose(pool, 30, selector="random", one_per_patient=False, seed=4, number=7)
    assert names_of(drawn) == by_lot(pool.image_ids, purpose="select", seed=4, number=7)
