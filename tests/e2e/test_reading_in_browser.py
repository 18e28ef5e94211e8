"""Radiologists at work: a real server, a real browser, and what becomes of what they said.

Two people read the most uncertain film, one in the browser and one by the API. They disagree, a
third decides, and that is what the detector is trained on next.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Locator
from plugins.browser import Desk
from plugins.label_studio import fresh_project

from lungal.annotation.accounts import invitation, sign_up
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import box_regions, study_region
from lungal.boxes import as_boxes
from lungal.data.annotations import read_log
from lungal.data.asked import read_asked
from lungal.data.images import encode_png, read_pixels
from lungal.data.labelling import make_labels
from lungal.data.labels import disputed, films, ground_truth, pool
from lungal.data.sources.phantom.film import draw
from lungal.data.sources.phantom.population import plan
from lungal.data.tfrecords import read_records, write_records
from lungal.params import LabelParams, PhantomParams, ReadingParams
from lungal.reading.agreement import film_agreement
from lungal.reading.standing import standing
from lungal.records import (
    CLASS_COLOURS,
    CLASSES,
    Annotation,
    Detections,
    GroundTruth,
    Image,
    LabelledBox,
    class_index,
)
from lungal.rounds.pull import Film, PullReport, pull
from lungal.rounds.queue import queue

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

SIDE = 1024  # pixels of the phantom's films
SICK, HEALTHY, LATER = "00000033_003", "00000002_000", "00000009_000"
PRIOR = "00000033_002"
READERS = ("adelheid@example.org", "balthasar@example.org", "casimir@example.org")
PASSWORD = "correct horse battery"  # noqa: S105  of users who live for one test
READING = ReadingParams(policy="adjudicate", iou=0.4, adjudicate_below=0.5)

EFFUSION = LabelledBox("Effusion", 857.0, 778.0, 910.0, 883.0)
PNEUMONIA = LabelledBox("Pneumonia", 741.0, 565.0, 911.0, 745.0)
PHANTASM = LabelledBox("Nodule", 560.0, 300.0, 700.0, 430.0)
"""What the model saw on SICK: two findings and one that is not there."""
MASS = (20.0, 35.0, 12.0, 14.0)
"""Where Adelheid draws a box, percent of the film: x, y, width, height."""
NODULE = LabelledBox("Nodule", 300.0, 600.0, 360.0, 660.0)
"""What only Balthasar sees."""


@dataclass(frozen=True)
class Campaign:
    """Three films of three patients, and what is known of them."""

    store: LabelStudio
    folder: Path

    @property
    def project_id(self) -> int:
        number = self.store.project_id()
        assert number is not None
        return number

    def queue(self, selection: pd.DataFrame) -> None:
        queue(
            selection,
            [
                seen(SICK, (PNEUMONIA, 0.7), (EFFUSION, 0.6), (PHANTASM, 0.2)),
                seen(HEALTHY, (PHANTASM, 0.5)),
                seen(LATER, (PHANTASM, 0.5)),
            ],
            self.store.films,
            self.store,
            asked=self.folder / "queue.jsonl",
            draw_threshold=0.1,
            max_boxes=10,
            log=self.log(),
        )

    def pull(self) -> PullReport:
        known = {name: Film(SIDE, SIDE, "train") for name in (SICK, HEALTHY, LATER)}
        asked = read_asked(self.folder / "queue.jsonl")
        return pull(self.store, self.folder / "annotations.jsonl", known, asked)

    def log(self) -> list[Annotation]:
        return read_log(self.folder / "annotations.jsonl")

    def labels(self) -> pd.DataFrame:
        names = sorted((SICK, HEALTHY, LATER))
        manifest = pd.DataFrame({"image_id": names, "width": SIDE, "height": SIDE})
        splits = pd.DataFrame(
            {"image_id": names, "patient_id": [name[:8] for name in names], "split": "train"}
        )
        none_at_first = LabelParams(initial="all")
        return make_labels(manifest, splits, {}, self.log(), none_at_first, READING)

    def reader(self, address: str) -> str:
        return self.store.pseudonyms.reader(address)


def seen(image_id: str, *found: tuple[LabelledBox, float]) -> Detections:
    boxes = as_boxes([box.xyxy for box, _ in found])
    labels = np.array([class_index(box.label) for box, _ in found], np.int32)
    return Detections(image_id, boxes, np.array([score for _, score in found], np.float32), labels)


def row(image_id: str, rank: int, **more: object) -> dict[str, object]:
    return {
        "rank": rank,
        "image_id": image_id,
        "score": 0.9 - rank / 10,
        "reason": "all entropies together, Effusion most",
        "strategy": "entropy",
        "selector": "claspd",
        "round": 1,
        "model_version": "r1-0a1b2c3d",
        "role": "label",
        "blind": False,
        "readers": 1,
        **more,
    }


def pixels_of(xywh: tuple[float, ...]) -> tuple[float, float, float, float]:
    x, y, width, height = (value * SIDE / 100 for value in xywh)
    return x, y, x + width, y + height


def box_of(wanted: LabelledBox) -> list[float]:
    """Return a box as the browser knows it: percent of the film, x, y, width, height."""
    x1, y1, x2, y2 = (edge * 100 / SIDE for edge in wanted.xyxy)
    return [x1, y1, x2 - x1, y2 - y1]


def by_origin(reading: Annotation) -> dict[str, str | None]:
    return {box.label: box.origin for box in reading.boxes}


@pytest.fixture(scope="module")
def campaign(
    label_studio_server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign]:
    """Return a round that is queued and that nobody has read."""
    folder = tmp_path_factory.mktemp("campaign")
    drawn = {case.image_id: case for case in plan(PhantomParams(films=100))}
    paths = {name: folder / f"{name}.png" for name in (SICK, HEALTHY, LATER, PRIOR)}
    for name, path in paths.items():
        path.write_bytes(encode_png(draw(drawn[name])[0].pixels))
    with closing(fresh_project(label_studio_server, paths)) as store:
        there = Campaign(store, folder)
        rows = [row(SICK, 1, readers=2), row(HEALTHY, 2, blind=True), row(LATER, 3)]
        # The most uncertain film comes to the server last.
        there.queue(pd.DataFrame(rows[1:]))
        there.queue(pd.DataFrame(rows))
        yield there


@pytest.fixture(scope="module")
def adelheid(campaign: Campaign, take_a_seat: Callable[[str, str], Desk]) -> Desk:
    """Return Adelheid's desk, the label stream before her."""
    store = campaign.store
    sign_up(store.url, store.token, READERS[0], PASSWORD)
    desk = take_a_seat(store.url, "adelheid")
    desk.log_in(READERS[0], PASSWORD)
    desk.label_all(campaign.project_id)
    desk.wait_for_film()
    desk.keep("first-film")
    return desk


@pytest.fixture(scope="module")
def first_film(adelheid: Desk) -> dict[str, object]:
    """Return what Adelheid has before her when she begins."""
    return {
        "film": adelheid.shown()["film"],
        "boxes": adelheid.boxes(),
        "pixels": adelheid.film_pixels(),
        "painted": dict(zip(CLASSES, adelheid.painted(CLASS_COLOURS), strict=True)),
        "hidden": adelheid.out_of_sight(all_parts(adelheid)),
        "text": adelheid.page.inner_text("body"),
    }


@pytest.fixture(scope="module")
def second_film(adelheid: Desk, first_film: dict[str, object]) -> dict[str, object]:
    """Read the first film in the browser; return what comes next, and read that, too."""
    adelheid.click_on(box_of(PHANTASM))
    adelheid.press("Backspace")
    adelheid.press(str(1 + class_index("Mass")))
    adelheid.drag(MASS)
    adelheid.click_on(MASS)
    hidden = adelheid.out_of_sight(all_parts(adelheid) | parts_about_a_box(adelheid))
    adelheid.press("e", "Escape")
    adelheid.page.get_by_placeholder("About the film").fill("poor inspiration")
    adelheid.press("Enter", "9")
    adelheid.keep("first-film-read")
    answers = adelheid.answers()
    adelheid.press("Control+Enter")
    adelheid.wait_for_film(rank=2)
    adelheid.keep("second-film")
    found = {
        "film": adelheid.shown()["film"],
        "boxes": adelheid.boxes(),
        "painted": adelheid.painted(CLASS_COLOURS),
        "hidden": hidden,
        "answers": answers,
    }
    adelheid.press("0", "Control+Enter")
    adelheid.wait_for_film(rank=3)
    return found


@pytest.fixture(scope="module")
def pulled(campaign: Campaign, second_film: dict[str, object]) -> PullReport:
    """Let Balthasar read the first film by the API, and pull."""
    store = campaign.store
    token = sign_up(store.url, store.token, READERS[1], PASSWORD)
    said = GroundTruth.of(SICK, (EFFUSION, NODULE))
    regions = box_regions(said.boxes, said.labels, SIDE, SIDE)
    with closing(replace(store, token=token)) as balthasar:
        task = balthasar.next_task(campaign.project_id)
        assert task is not None
        assert store.image_ids[task["data"]["film"]] == SICK
        balthasar.annotate(task["id"], [*regions, study_region("Finding present")], seconds=31.0)
    return campaign.pull()


@pytest.fixture(scope="module")
def before_the_decision(campaign: Campaign, pulled: PullReport) -> pd.DataFrame:
    """Return the labels while the readers disagree."""
    return campaign.labels()


@pytest.fixture(scope="module")
def adjudication(
    campaign: Campaign,
    before_the_decision: pd.DataFrame,
    take_a_seat: Callable[[str, str], Desk],
) -> dict[str, object]:
    """Queue the disputed film; let a third reader, who is invited for it, decide; pull."""
    again = row(SICK, 1, role="adjudicate", round=2, model_version="r2-4e5f6a7b")
    campaign.queue(pd.DataFrame([again]))
    store = campaign.store
    casimir = take_a_seat(store.url, "casimir")
    casimir.join(invitation(store.url, store.token), READERS[2], PASSWORD)
    casimir.label_all(campaign.project_id)
    casimir.wait_for_film()
    casimir.keep("adjudication")
    found: dict[str, object] = {
        "film": casimir.shown()["film"],
        "boxes": casimir.boxes(),
        "hidden": casimir.out_of_sight(all_parts(casimir)),
    }
    texts = [casimir.page.inner_text("body")]
    for label in ("Nodule", "Mass", "Effusion"):  # both have drawn the last
        casimir.listed_boxes(label).first.click()
        casimir.page.wait_for_timeout(300)
        texts.append(casimir.page.inner_text("body"))
        casimir.press("Backspace")
    found["text"] = "\n".join(texts)
    found["html"] = casimir.page.content()
    casimir.keep("adjudication-decided")
    casimir.press("9", "Control+Enter")
    # The last film of round 1 lies open before Adelheid.
    casimir.page.get_by_text("No More Tasks Left").wait_for()
    campaign.pull()
    return found


def all_parts(desk: Desk) -> dict[str, Locator]:
    page = desk.page
    return {
        "the film": page.locator(".film .konvajs-content"),
        "submit": page.get_by_test_id("bottombar-submit-button"),
        "skip": page.get_by_role("button", name="Skip"),
        "the comment": page.get_by_placeholder("About the film"),
        "the receipt": page.get_by_text("Film 1 of round"),
        **{view: page.get_by_text(view, exact=True) for view in ("CLAHE", "Inverted")},
        "the prior film": page.get_by_text("Prior film", exact=True),
        **{name: desk.label(name) for name in CLASSES},
        **{name: desk.choice(name) for name in ("No finding", "Finding present", "Unreadable")},
    }


def parts_about_a_box(desk: Desk) -> dict[str, Locator]:
    return {
        "its comment": desk.page.get_by_placeholder("About this box"),
        **{name: desk.choice(name) for name in ("Low", "Medium", "High")},
    }


def test_the_most_uncertain_film_comes_first_whenever_it_was_queued(
    campaign: Campaign, first_film: dict[str, object], second_film: dict[str, object]
) -> None:
    ids = campaign.store.image_ids
    assert [ids[seen["film"]] for seen in (first_film, second_film)] == [SICK, HEALTHY]


def test_the_film_is_painted_and_not_just_promised(
    campaign: Campaign, first_film: dict[str, object]
) -> None:
    stored = read_pixels(campaign.store.films[SICK])
    screen = first_film["pixels"]
    assert min(screen.shape) > 600  # of the 768 that there are
    expected = cv2.resize(stored, screen.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(screen.ravel(), expected.ravel())[0, 1] > 0.98


def test_the_receipt_says_why_and_not_whose_film_it_is(first_film: dict[str, object]) -> None:
    text = first_film["text"]
    assert "Film 1 of round 1, chosen by entropy and claspd" in text
    assert "it scores 0.80" in text
    assert SICK[:8] not in text


def test_the_models_boxes_are_painted_in_the_colours_of_their_classes(
    first_film: dict[str, object],
) -> None:
    drawn = sorted(label for label, _, _ in first_film["boxes"])
    assert drawn == ["Effusion", "Nodule", "Pneumonia"]
    there = {name for name, pixels in first_film["painted"].items() if pixels > 50}
    assert there == set(drawn)


def test_all_that_a_reader_needs_is_on_a_small_screen(
    first_film: dict[str, object],
    second_film: dict[str, object],
    adjudication: dict[str, object],
) -> None:
    assert first_film["hidden"] == []
    assert second_film["hidden"] == []  # with a box selected
    assert adjudication["hidden"] == []


def test_a_blind_film_shows_no_boxes(second_film: dict[str, object]) -> None:
    assert second_film["boxes"] == []
    assert max(second_film["painted"]) == 0


def test_what_was_done_by_mouse_and_keys_comes_back(
    campaign: Campaign, second_film: dict[str, object], pulled: PullReport
) -> None:
    assert second_film["answers"].keys() == {"confidence", "comment", "study"}
    (reading,) = [
        r for r in pulled.new if r.image_id == SICK and r.reader == campaign.reader(READERS[0])
    ]
    assert reading.verdict == "finding"
    assert by_origin(reading) == {
        "Pneumonia": "accepted",
        "Effusion": "accepted",
        "Mass": "drawn",
    }
    assert [box.label for box in reading.deleted] == ["Nodule"]
    (mass,) = [box for box in reading.boxes if box.label == "Mass"]
    np.testing.assert_allclose(mass.xyxy, pixels_of(MASS), atol=4)  # two pixels of the screen
    assert mass.confidence == "high"
    assert reading.comment == "poor inspiration"
    assert reading.seconds is not None
    assert reading.seconds > 0
    assert (reading.role, reading.blind, reading.round) == ("label", False, 1)


def test_a_film_without_finding_is_a_reading_of_its_own(
    campaign: Campaign, pulled: PullReport
) -> None:
    (reading,) = [r for r in pulled.new if r.image_id == HEALTHY]
    assert (reading.verdict, reading.boxes, reading.blind) == ("no_finding", (), True)
    assert reading.deleted == ()  # what was not shown cannot have been removed


def test_readers_who_disagree_leave_a_film_disputed(
    campaign: Campaign, pulled: PullReport, before_the_decision: pd.DataFrame
) -> None:
    opinions = [r for r in standing(pulled.new) if r.image_id == SICK]
    assert {r.reader for r in opinions} == {campaign.reader(name) for name in READERS[:2]}
    agreement = film_agreement([r.boxes for r in opinions], READING.iou)
    assert agreement == pytest.approx(2 * 1 / (3 + 2))
    assert disputed(before_the_decision) == [SICK]
    assert pool(before_the_decision) == [LATER]
    assert films(before_the_decision, "train", "labelled") == [HEALTHY]
    row = before_the_decision.set_index("image_id").loc[SICK]
    assert (row["readers"], row["agreement"]) == (2, pytest.approx(agreement))


def test_an_adjudicator_sees_both_readings_and_no_names(
    campaign: Campaign, adjudication: dict[str, object]
) -> None:
    assert campaign.store.image_ids[adjudication["film"]] == SICK
    drawn = sorted(label for label, _, _ in adjudication["boxes"])
    assert drawn == ["Effusion", "Effusion", "Mass", "Nodule", "Pneumonia"]
    assert "reading A" in adjudication["text"]
    assert "reading B" in adjudication["text"]
    names = {part for name in READERS[:2] for part in (name, campaign.reader(name))}
    names |= {name.partition("@")[0] for name in READERS[:2]}
    told = (adjudication["text"] + adjudication["html"]).lower()
    assert [name for name in sorted(names) if name in told] == []


def test_what_the_adjudicator_says_is_trained_on(
    campaign: Campaign, adjudication: dict[str, object], tmp_path: Path
) -> None:
    labels = campaign.labels()
    assert disputed(labels) == []
    assert films(labels, "train", "labelled") == sorted((SICK, HEALTHY))
    truths = {truth.image_id: truth for truth in ground_truth(labels, "train")}
    assert len(truths[HEALTHY].labels) == 0
    assert sorted(said(truths[SICK])) == ["Effusion", "Pneumonia"]
    images = {name: Image(name, read_pixels(campaign.store.films[name])) for name in truths}
    write_records(
        tmp_path / "train",
        [(images[name], truths[name]) for name in truths],
        input_size=256,
        shards=1,
    )
    stored = {image.image_id: truth for image, truth in read_records(tmp_path / "train")}
    assert len(stored[HEALTHY].labels) == 0
    learnt = dict(zip(said(stored[SICK]), stored[SICK].boxes, strict=True))
    for box in (EFFUSION, PNEUMONIA):
        np.testing.assert_allclose(learnt[box.label] * SIDE / 256, box.xyxy, atol=1)


def said(truth: GroundTruth) -> list[str]:
    return [CLASSES[label] for label in truth.labels]
