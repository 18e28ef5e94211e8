"""Which words stand: the latest of a thread, the latest of a reader, whatever the order."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_readings import logs, quick, reading

from lungal.errors import AnnotationError
from lungal.reading.standing import age, by_film, by_source, fold, standing


def event(thread, when, verdict="finding", *, mark="", **changes):
    """An event of a thread, `when` minutes past ten."""
    at = f"2026-11-23T10:{when:02d}:00Z"
    source_id = f"ls-1-{thread}@{mark}{at}"
    if verdict != "finding":
        changes["boxes"] = ()
    return reading(0, source_id=source_id, at=at, verdict=verdict, **changes)


@quick
@given(logs(), st.randoms())
def test_order_and_repeats_mean_nothing(log, random):
    again = [random.choice(log) for _ in log] + log
    random.shuffle(again)
    assert standing(again) == standing(log)
    assert fold(again) == fold(log)


@quick
@given(logs())
def test_what_stands_still_stands(log):
    assert standing(standing(log)) == standing(log)


@quick
@given(logs(), st.integers(0, 12), st.integers(0, 12))
def test_merging_two_branches_line_by_line_loses_and_doubles_nothing(log, here, there):
    ours, theirs = log[:here], log[there:]
    union = ours + theirs  # what merge=union leaves, shared lines once or twice
    once = {event.source_id: event for event in union}.values()
    assert standing(union) == standing(theirs + ours) == standing(once)


@quick
@given(logs())
def test_each_reader_has_one_word_a_film_and_round_and_it_is_the_last(log):
    stands = standing(log)
    keys = [(r.image_id, r.round, r.reader) for r in stands]
    assert keys == sorted(set(keys))
    for word in stands:
        assert word.verdict not in ("deleted", "refused")
        later = [e for e in log if e.thread == word.thread and age(e) > age(word)]
        assert all(e.verdict == "refused" for e in later)


@quick
@given(logs())
def test_every_thread_that_was_not_deleted_stands_or_gave_way_to_a_later_one(log):
    stands = {(r.image_id, r.round, r.reader): r for r in standing(log)}
    for thread in {e.thread for e in log}:
        said = sorted((e for e in log if e.thread == thread and e.verdict != "refused"), key=age)
        if said and said[-1].verdict != "deleted":
            last = said[-1]
            assert age(stands[last.image_id, last.round, last.reader]) >= age(last)


def test_instants_are_compared_not_their_text():
    early = reading(1, at="2026-11-23T11:00:00+02:00")  # 09:00 UTC
    late = reading(2, at="2026-11-23T10:00:00Z")
    assert standing([late, early]) == [late]


def test_readings_of_the_same_instant_are_ordered_by_source_id():
    one, two = reading(1, at="2026-11-23T10:00:00Z"), reading(2, at="2026-11-23T10:00:00Z")
    assert standing([two, one]) == [two]


def test_an_edit_takes_the_place_of_what_was_saved():
    saved, edited = event(7, 1), event(7, 2, "no_finding")
    assert standing([edited, saved]) == [edited]


def test_a_deleted_reading_is_gone():
    assert standing([event(7, 1), event(7, 2, "deleted", mark="deleted-")]) == []


def test_a_reading_deleted_in_the_instant_it_was_saved_is_gone():
    assert standing([event(7, 1, "deleted", mark="deleted-"), event(7, 1)]) == []


def test_a_deletion_brings_back_what_the_same_reader_said_before():
    first, second = event(7, 1), event(8, 2, "no_finding")
    assert standing([first, second]) == [second]
    assert standing([first, second, event(8, 3, "deleted", mark="deleted-")]) == [first]


def test_a_deletion_leaves_the_words_of_other_readers():
    other = event(8, 1, reader="b.okafor")
    assert standing([event(7, 1), other, event(7, 2, "deleted", mark="deleted-")]) == [other]


def test_what_a_deletion_took_back_can_be_said_again():
    again = event(7, 3)
    assert standing([event(7, 1), event(7, 2, "deleted", mark="deleted-"), again]) == [again]


def test_a_refused_edit_leaves_what_was_said_before():
    saved = event(7, 1)
    assert standing([saved, event(7, 2, "refused", mark="refused-")]) == [saved]
    assert standing([event(7, 2, "refused", mark="refused-")]) == []


def test_a_reading_deleted_before_its_last_edit_was_refused_stays_deleted():
    log = [event(7, 1), event(7, 2, "deleted", mark="deleted-"), event(7, 3, "refused")]
    assert standing(log) == []


def test_readers_and_rounds_do_not_push_each_other_aside():
    log = [
        event(3, 1, reader="ana", round=1),
        event(4, 2, reader="ben", round=1),
        event(5, 3, reader="ana", round=2),
    ]
    assert standing(log[::-1]) == [log[0], log[1], log[2]]


def test_films_are_kept_apart_and_sorted():
    late, early = event(1, 9, image_id="00000002_000"), event(2, 1, image_id="00000001_000")
    second = event(3, 2, image_id="00000001_000", reader="z")
    assert by_film(standing([late, second, early])) == {
        "00000001_000": [early, second],
        "00000002_000": [late],
    }


def test_the_fold_is_the_latest_standing_reading_of_each_film():
    log = [
        event(1, 1, reader="ana", round=2),
        event(2, 5, "no_finding", reader="ben", round=1),
        event(3, 9, reader="cao"),
        event(3, 10, "deleted", reader="cao", mark="deleted-"),
    ]
    assert fold(log) == {"00000001_000": log[1]}


def test_two_clones_may_refuse_a_reading_for_different_reasons():
    here, there = (event(1, 5, "refused", mark="refused-", comment=why) for why in ("b", "a"))
    for log in ([here, there], [there, here], [here, there, here]):
        assert list(by_source(log).values()) == [there]
        assert standing(log) == []


def test_two_clones_may_know_differently_what_a_deleted_reading_was_for():
    gone = [event(1, 5, "deleted", mark="deleted-", role=role) for role in ("control", "label")]
    for log in permutations([event(1, 4), *gone]):
        assert by_source(log)[gone[0].source_id] == gone[0]
        assert standing(log) == []


def test_one_source_id_for_two_readings_is_refused():
    with pytest.raises(AnnotationError, match=r"'ls-1'.*two different readings"):
        standing([reading(1), reading(1, verdict="no_finding", boxes=())])
