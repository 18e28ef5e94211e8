"""What a pull brings from a real Label Studio: all that happened, once, and what it cost to ask."""

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from plugins.label_studio import fresh_project
from pulled_project import KNOWN, MASS, NAMES, Campaign, regions

from lungal.annotation import incoming
from lungal.annotation.accounts import sign_up
from lungal.annotation.incoming import Addresses
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.oracle import answer
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import study_region
from lungal.annotation.webhooks import hints
from lungal.data.annotations import read_log
from lungal.errors import ServerError
from lungal.reading.scripted import Reader
from lungal.reading.standing import standing
from lungal.rounds.pull import pull
from lungal.testing import make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

PASSWORD = "correct horse battery"  # noqa: S105  of users who live for one test
NO_MARGIN = timedelta(0)


@pytest.fixture
def campaign(store: LabelStudio) -> Campaign:
    """Return a project with five unread films of round 1."""
    made = Campaign(store)
    made.add(NAMES[:5])
    return made


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "annotations.jsonl"


@pytest.fixture
def sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pull ask only for what is later than the log's last event, to the microsecond."""
    monkeypatch.setattr(incoming, "MARGIN", NO_MARGIN)


def test_a_round_from_queue_to_log(store: LabelStudio, log: Path) -> None:
    tasks = [make_task(name, rank=rank) for rank, name in enumerate(NAMES[:3], start=1)]
    store.submit(tasks)
    reader = Reader(dict.fromkeys(NAMES[:2], (MASS,)), miss_rate=0, jitter=0)
    assert answer(store, reader, limit=2) == NAMES[:2]
    assert [r.verdict for r in pull(store, log, KNOWN).new] == ["finding"] * 2
    assert answer(store, reader) == NAMES[2:3]
    report = pull(store, log, KNOWN)
    assert ([r.verdict for r in report.new], report.refused) == (["skipped"], ())
    assert pull(store, log, KNOWN).new == ()
    assert pull(store, log, KNOWN, everything=True).new == ()
    by_film = {reading.image_id: reading for reading in read_log(log)}
    for task in tasks[:2]:
        (box,) = by_film[task.image_id].boxes
        assert box.xyxy == pytest.approx(MASS.xyxy, abs=0.01)
        assert by_film[task.image_id].model_version == task.model_version
        assert (by_film[task.image_id].seconds or 0) > 0


@pytest.mark.usefixtures("sharp")
def test_only_what_changed_comes_and_all_of_it(campaign: Campaign, log: Path) -> None:
    store = campaign.store
    campaign.annotate(NAMES[3], regions(MASS))
    numbers = [campaign.annotate(name, regions(MASS)) for name in NAMES[:3]]
    assert len(pull(store, log, KNOWN).new) == 4

    # In one breath, the margin gone: each change must be told by its own microsecond.
    campaign.edit(numbers[0], [])
    campaign.delete(numbers[1])
    campaign.annotate(NAMES[4], [], was_cancelled=True)
    anew = campaign.annotate(NAMES[2], [study_region("Unreadable")])
    report = pull(store, log, KNOWN)
    kinds = {(event.image_id, event.verdict): report.kind(event) for event in report.new}
    assert kinds == {
        (NAMES[0], "no_finding"): "edit",
        (NAMES[1], "deleted"): "deletion",
        (NAMES[4], "skipped"): "reading",
        (NAMES[2], "unreadable"): "reading",
    }
    assert report.known == 1, "what is on the same film comes again, and nothing else"
    assert pull(store, log, KNOWN).new == ()
    stands = {reading.image_id: reading for reading in standing(read_log(log))}
    assert sorted(stands) == [NAMES[0], *NAMES[2:5]]
    assert stands[NAMES[2]].thread == campaign.thread(anew), "a reader's latest word counts"
    assert pull(store, log, KNOWN, everything=True).new == ()


def test_an_older_log_pulls_what_it_lacks_and_ends_as_the_newer(
    campaign: Campaign, log: Path
) -> None:
    campaign.annotate(NAMES[0], regions(MASS))
    pull(campaign.store, log, KNOWN)
    older = log.read_bytes()
    campaign.annotate(NAMES[1], [])
    pull(campaign.store, log, KNOWN)
    newer = log.read_bytes()
    log.write_bytes(older)
    pull(campaign.store, log, KNOWN)
    assert log.read_bytes() == newer


def test_a_deletion_is_noticed_though_the_film_moved_on(campaign: Campaign, log: Path) -> None:
    number = campaign.annotate(NAMES[0], regions(MASS))
    pull(campaign.store, log, KNOWN)
    campaign.delete(number)
    campaign.move(NAMES[0], 2)
    (gone,) = pull(campaign.store, log, KNOWN).new
    assert (gone.verdict, gone.round, gone.thread) == ("deleted", 1, campaign.thread(number))


def test_a_task_that_goes_takes_no_reading_with_it(campaign: Campaign, log: Path) -> None:
    number = campaign.annotate(NAMES[0], regions(MASS))
    campaign.annotate(NAMES[1], [])
    pull(campaign.store, log, KNOWN)
    campaign.delete_task(NAMES[0])
    campaign.add(NAMES[:1], number=2)
    campaign.annotate(NAMES[0], [])
    report = pull(campaign.store, log, KNOWN)
    assert ([event.round for event in report.new], report.gone) == ([2], ())
    report = pull(campaign.store, log, KNOWN, everything=True)
    assert (report.new, report.gone) == ((), (campaign.thread(number),))
    assert len(standing(read_log(log))) == 3


def test_bad_readings_wait_with_a_link_until_they_are_mended(campaign: Campaign, log: Path) -> None:
    (good,) = regions(MASS)
    wrong = {
        "rotated": [good | {"value": good["value"] | {"rotation": 20}}],
        "Tumour": [good | {"value": good["value"] | {"rectanglelabels": ["Tumour"]}}],
        "'No finding' but": [good, study_region("No finding")],
    }
    beyond = [good | {"value": good["value"] | {"x": 80, "width": 60}}]
    said = zip(NAMES, [*wrong.values(), beyond, [good]], strict=False)
    numbers = [campaign.annotate(name, result) for name, result in said]
    report = pull(campaign.store, log, KNOWN)
    assert {event.image_id for event in report.new} == set(NAMES[3:5])
    assert [b.x2 for e in report.new if e.image_id == NAMES[3] for b in e.boxes] == [96]
    waits = {refused.link: refused.reason for refused in report.refused}
    for name, reason in zip(NAMES, wrong, strict=False):
        assert reason in waits[campaign.link(name)]
    assert len(read_log(log)) == 5, "nothing is lost"

    campaign.edit(numbers[0], [good])
    campaign.delete(numbers[1])
    report = pull(campaign.store, log, KNOWN)
    assert sorted(report.kind(event) for event in report.new) == ["deletion", "edit"]
    assert [refused.link for refused in report.refused] == [campaign.link(NAMES[2])]


def test_another_key_refuses_all_and_the_right_one_brings_it_in(
    campaign: Campaign, log: Path
) -> None:
    campaign.annotate(NAMES[0], regions(MASS))
    stranger = replace(campaign.store, pseudonyms=Pseudonyms(b"another key, which is wrong"))
    with closing(stranger):
        (refused,) = pull(stranger, log, KNOWN).refused
    assert "LUNGAL_PSEUDONYM_KEY" in refused.reason
    report = pull(campaign.store, log, KNOWN, everything=True)
    assert [event.image_id for event in report.new] == NAMES[:1]
    assert report.refused == ()


def test_each_reader_has_a_name_that_says_nothing(
    campaign: Campaign, label_studio_server: LocalServer, log: Path
) -> None:
    store, address = campaign.store, "second@localhost.localdomain"
    token = sign_up(store.url, store.token, address, PASSWORD)
    campaign.annotate(NAMES[0], regions(MASS))
    with closing(replace(store, token=token)) as second:
        path = f"/api/tasks/{campaign.tasks[NAMES[0]]}/annotations/"
        second.http.post(path, json={"result": []}).raise_for_status()
    owner = label_studio_server.credentials().username
    names = {event.reader for event in pull(store, log, KNOWN).new}
    assert names == {store.pseudonyms.reader(address), store.pseudonyms.reader(owner)}
    assert "@" not in log.read_text().replace("@20", "").replace("@refused", "")
    openly = log.with_name("openly.jsonl")
    with closing(replace(store, pseudonyms=Addresses(store.pseudonyms))) as named:
        assert {event.reader for event in pull(named, openly, KNOWN).new} == {address, owner}


def test_a_pull_does_without_the_sdk(campaign: Campaign, log: Path) -> None:
    script = (
        "import sys; from lungal.annotation.label_studio import LabelStudio;"
        "from lungal.annotation.pseudonyms import Pseudonyms;"
        "store = LabelStudio(*sys.argv[1:], pseudonyms=Pseudonyms(b'0' * 16));"
        "print(len(list(store.fetch())), 'label_studio_sdk' in sys.modules)"
    )
    campaign.annotate(NAMES[0], [])
    store = campaign.store
    command = [sys.executable, "-c", script, store.url, store.token, store.title]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_nobody_there_is_one_clear_line(store: LabelStudio) -> None:
    with (
        closing(replace(store, url="http://127.0.0.1:9")) as nobody,
        pytest.raises(ServerError, match=r"127\.0\.0\.1:9"),
    ):
        list(nobody.fetch())


def test_a_server_that_may_call_us_wakes_a_watch(
    label_studio_server: LocalServer, films: dict[str, Path]
) -> None:
    with closing(fresh_project(label_studio_server, films)) as store:
        campaign = Campaign(store)
        campaign.add(NAMES[:1])
        with hints(store.http, campaign.number) as hint:
            number = campaign.annotate(NAMES[0], regions(MASS))
            assert hint.wait(5), "a new reading"
            hint.clear()
            campaign.edit(number, [])
            assert hint.wait(5), "an edit"
            hint.clear()
            campaign.delete(number)
            assert hint.wait(5), "a deletion"
        left = store.http.get("/api/webhooks/", params={"project": campaign.number}).json()
        assert left == []


def test_another_project_wakes_nobody(
    campaign: Campaign, label_studio_server: LocalServer, films: dict[str, Path]
) -> None:
    with closing(fresh_project(label_studio_server, films)) as store:
        other = Campaign(store)
        other.add(NAMES[:1])
        with hints(campaign.store.http, campaign.number) as hint:
            other.annotate(NAMES[0], regions(MASS))
            assert not hint.wait(1.5)
            campaign.annotate(NAMES[0], [])
            assert hint.wait(5), "its own wakes it"
