"""How far a round is, and what is shown of it."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from lungal.annotation.protocol import Refused
from lungal.cli.watch import Watch, describe
from lungal.errors import ServerError, TokenError
from lungal.params import ReadingParams
from lungal.records import Annotation, Asked, LabelledBox, Verdict
from lungal.rounds.progress import RoundProgress, round_progress
from lungal.rounds.pull import PullReport

MASS = LabelledBox("Mass", 10, 10, 40, 50)
PARAMS = ReadingParams(idle_seconds=100)


def asked(film: str, *, number: int = 2, readers: int = 1) -> Asked:
    return Asked(
        number, film, 1, 0.5, "doubt", "r1-0", "label", False, readers, (), "2026-11-23T10:00:00Z"
    )


def read(film: str, reader: str, verdict: Verdict = "finding", **more: object) -> Annotation:
    at = "2026-11-23T11:00:00Z"
    boxes = (MASS,) if verdict == "finding" else ()
    plain = Annotation(f"ls-1-{film}{reader}@{at}", film, 2, reader, verdict, boxes, at)
    return replace(plain, **more)


class TestRoundProgress:
    def test_nothing_asked_is_none(self) -> None:
        assert round_progress([], [read("a", "x")], PARAMS) is None

    def test_the_last_round_counts(self) -> None:
        found = round_progress(
            [asked("a", number=1), asked("b"), asked("c")], [read("b", "x")], PARAMS
        )
        assert found is not None
        assert (found.round, found.films, found.read, found.missing) == (2, 2, 1, 1)
        assert not found.is_done

    def test_a_film_of_the_overlap_is_read_when_both_have(self) -> None:
        films = [asked("a", readers=2)]
        for readings, missing in ([read("a", "x")], 1), ([read("a", "x"), read("a", "y")], 0):
            found = round_progress(films, readings, PARAMS)
            assert found is not None
            assert (found.missing, found.is_done) == (missing, not missing)

    @pytest.mark.parametrize("verdict", ["skipped", "unreadable", "no_finding"])
    def test_whoever_passes_has_read(self, verdict: Verdict) -> None:
        found = round_progress([asked("a")], [read("a", "x", verdict)], PARAMS)
        assert found is not None
        assert found.is_done

    @pytest.mark.parametrize(
        "log",
        [
            [read("a", "x", "refused", comment="rotated")],
            [read("a", "x"), read("a", "x", "deleted", source_id="ls-1-ax@deleted-")],
            [read("a", "x", round=1)],
            [read("b", "x")],
        ],
    )
    def test_what_does_not_stand_is_not_read(self, log: list[Annotation]) -> None:
        found = round_progress([asked("a")], log, PARAMS)
        assert found is not None
        assert (found.read, found.readings) == (0, {})

    def test_seconds_and_time_left(self) -> None:
        films = [asked(name) for name in "abcde"]
        log = [read("a", "x", seconds=10.0), read("b", "x", seconds=5000.0), read("c", "y")]
        found = round_progress(films, log, PARAMS)
        assert found is not None
        assert found.readings == {"x": 2, "y": 1}
        assert found.seconds == 55  # the idle one counts for 100
        assert found.left == 2 * 55 / 2

    def test_nothing_is_said_too_early(self) -> None:
        found = round_progress([asked("a")], [], PARAMS)
        assert found is not None
        assert (found.seconds, found.agreement, found.left) == (None, None, None)

    def test_agreement_is_of_films_that_several_read(self) -> None:
        films = [asked(name, readers=2) for name in "abc"]
        log = [read("a", "x"), read("a", "y"), read("b", "x"), read("b", "y", "no_finding")]
        log += [read("c", "x"), read("c", "y", "skipped")]
        found = round_progress(films, log, PARAMS)
        assert found is not None
        assert found.agreement == 0.5


def text(table: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def test_the_display_says_it_all() -> None:
    said = text(
        describe(RoundProgress(2, 20, 5, 18, {"reader-1a": 4, "reader-2b": 3}, 31.4, 0.876))
    )
    for words in ("round 2", "5 of 20 read", "reader-1a", "4 readings", "31", "0.88", "5 min"):
        assert words in said
    assert "2 h 00 min" in text(describe(RoundProgress(1, 9, 0, 80, {"r": 1}, 90.0, None)))
    assert "lungal queue" in text(describe(None))


NOTHING = PullReport((), (), frozenset(), 0, (), (), ())
OPEN = RoundProgress(1, 1, 0, 1, {}, None, None)
DONE = RoundProgress(1, 1, 1, 0, {"r": 1}, 9.0, None)


def watch(
    pulls: list[PullReport | Exception],
    states: Callable[[], RoundProgress | None],
    looked: list[bool] | None = None,
    **how: bool,
) -> tuple[Watch, io.StringIO]:
    looked = [] if looked is None else looked

    def pull(*, everything: bool) -> PullReport:
        looked.append(everything)
        what = pulls.pop(0)
        if isinstance(what, Exception):
            raise what
        return what

    out = io.StringIO()
    return Watch(pull, states, Console(file=out, width=200), every=0.01, **how), out


def until(number: int) -> Callable[[], RoundProgress]:
    """Return a round that is done when it was looked at so often."""
    states: Iterator[RoundProgress] = iter([OPEN] * number)
    return lambda: next(states, DONE)


class TestWatch:
    def test_it_pulls_until_all_is_read(self) -> None:
        event = read("a", "reader-1")
        news = replace(NOTHING, new=(event,))
        pulls: list[PullReport | Exception] = [NOTHING, news, *[NOTHING] * 50]
        following, out = watch(pulls, until(6), until_done=True)
        following.follow(threading.Event())
        assert 40 < len(pulls) < 50
        assert "reading of a by reader-1" in out.getvalue()

    def test_only_the_first_look_is_at_everything(self) -> None:
        looked: list[bool] = []
        pulls: list[PullReport | Exception] = [NOTHING] * 9
        following, _ = watch(pulls, until(3), looked, until_done=True, everything=True)
        following.follow(threading.Event())
        assert looked[0]
        assert len(looked) > 1
        assert not any(looked[1:])

    def test_a_refusal_says_why_and_where(self) -> None:
        event = read("a", "reader-1", "refused", comment="[b] is rotated")
        refused = (Refused(event.thread, "http://ls/task=9", "[b] is rotated"),)
        news = replace(NOTHING, refusals=(event,), refused=refused)
        following, out = watch([news, *[NOTHING] * 9], until(3), until_done=True)
        following.follow(threading.Event())
        assert "refusal of a by reader-1, http://ls/task=9: [b] is rotated" in out.getvalue()

    def test_it_reports_on_all_looks_together(self) -> None:
        one, other = (replace(NOTHING, new=(read(name, "x"),)) for name in "ab")
        following, _ = watch([one, other, *[NOTHING] * 9], until(4), until_done=True)
        following.follow(threading.Event())
        assert following.report is not None
        assert following.report.new == (*one.new, *other.new)

    def test_a_server_that_is_away_for_a_while_is_waited_for(self) -> None:
        pulls: list[PullReport | Exception] = [NOTHING, ServerError("away"), *[NOTHING] * 50]
        following, out = watch(pulls, until(6), until_done=True)
        following.follow(threading.Event())
        assert "away" in out.getvalue()

    def test_a_server_that_was_never_there_is_an_error(self) -> None:
        with pytest.raises(ServerError):
            watch([ServerError("away")], until(9))[0].follow(threading.Event())

    def test_a_token_that_is_refused_ends_it(self) -> None:
        with pytest.raises(TokenError):
            watch([NOTHING, TokenError("no")], until(9))[0].follow(threading.Event())

    def test_a_hint_comes_before_the_next_look(self) -> None:
        pulls: list[PullReport | Exception] = [NOTHING, *[NOTHING] * 9]
        following, _ = watch(pulls, until(1), until_done=True)
        following.every = 60
        hint = threading.Event()
        threading.Timer(0.05, hint.set).start()
        following.follow(hint)
        assert not hint.is_set()

    def test_an_interruption_right_after_the_first_look_still_shows_how_far_it_is(self) -> None:
        states: Iterator[Callable[[], RoundProgress]] = iter([interrupt, lambda: DONE])
        following, out = watch([NOTHING], lambda: next(states)())
        with pytest.raises(KeyboardInterrupt):
            following.follow(threading.Event())
        assert "1 of 1 read" in out.getvalue()

    def test_a_terminal_is_painted_anew_and_ends_with_the_last_state(self) -> None:
        news = replace(NOTHING, new=(read("a", "reader-1"),))
        following, out = watch([NOTHING, news, *[NOTHING] * 9], until(4), until_done=True)
        following.console = Console(file=out, width=80, force_terminal=True)
        following.follow(threading.Event())
        last = out.getvalue().rpartition("films")[2]
        assert "1 of 1 read" in last
        assert "reading of a by reader-1" in last


def interrupt() -> RoundProgress:
    """What Ctrl+C does in the middle of anything."""
    raise KeyboardInterrupt
