"""`lungal labels`: out to another tool's files, and in again from what people made there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.tasks import labelling_config
from lungal.cli import main
from lungal.data.annotations import current_round, read_log
from lungal.data.interchange.film import Format, LabelledFilm
from lungal.data.labels import write_labels
from lungal.data.manifest import write_manifest
from lungal.data.splits import write_splits
from lungal.params import ReadingParams
from lungal.reading.reconcile import reconcile
from lungal.reading.standing import standing
from lungal.records import LabelledBox
from lungal.rounds.exchange import FOLDERS, export_labels

ROOT = Path(__file__).parents[2]
KEY = "a key that is long enough"
IDS = [f"{number:08d}_000" for number in range(1, 7)]
FOUND, HEALTHY, POOL, EXCLUDED, VAL, TEST = IDS
BOXES = (LabelledBox("Mass", 10.5, 20.25, 30.0, 40.0), LabelledBox("Nodule", 1.0, 2.0, 9.0, 9.5))
LOG = Path("data/annotations.jsonl")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project whose data stages have run, and nothing else."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUNGAL_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    films = pd.DataFrame(
        {
            "image_id": IDS,
            "patient_id": [image_id[:8] for image_id in IDS],
            "split": ["train"] * 4 + ["val", "test"],
            "path": [f"images/{image_id}.png" for image_id in IDS],
            "sha256": "00",
            "width": 100,
            "height": 80,
            "source": "phantom",
        }
    ).assign(view=None, sex=None, age=None, findings=None, official_split=None)
    boxes = [
        {"label": box.label, "x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
        for box in BOXES
    ]
    labels = films.assign(
        state=["labelled", "labelled", "pool", "excluded", "labelled", "labelled"],
        origin=pd.Series(["initial", "initial", None, None, "truth", "truth"], dtype=object),
        boxes=pd.Series([boxes, [], None, None, boxes[:1], []], dtype=object),
        readers=0,
        agreement=None,
    )
    write_manifest(Path("data/manifest.parquet"), films)
    write_splits(Path("data/splits.parquet"), films)
    write_labels(Path("data/labels.parquet"), labels, number=1)
    return tmp_path


def place(form):
    return Path("out") if form in FOLDERS else Path("out.json")


def names_in(out):
    return sorted(path.stem for path in out.iterdir() if path.name != "classes.txt")


@pytest.mark.parametrize("form", Format)
def test_what_is_exported_can_be_imported_and_then_holds_no_news(form, capsys):
    out = place(form)
    assert main(["labels", "export", "--format", form, str(out)]) == 0
    assert "2 films are left out: their labels are not known" in capsys.readouterr().out
    assert main(["labels", "import", "--format", form, str(out)]) == 0
    found, healthy = sorted(read_log(LOG), key=lambda event: event.image_id)
    assert (found.image_id, found.verdict) == (FOUND, "finding")
    assert [box.label for box in found.boxes] == ["Mass", "Nodule"]
    for box, ours in zip(found.boxes, BOXES, strict=True):
        assert box.xyxy == pytest.approx(ours.xyxy, abs=0.5 if form is Format.VOC else 0.001)
    assert (healthy.image_id, healthy.verdict) == (HEALTHY, "no_finding")
    assert found.source_id.startswith(f"import-{form}-{FOUND}@")
    before = LOG.read_bytes()
    assert main(["labels", "import", "--format", form, str(out)]) == 0
    assert "0 added to data/annotations.jsonl" in capsys.readouterr().out
    assert LOG.read_bytes() == before


@pytest.mark.parametrize(
    ("split", "films"),
    [("train", [FOUND, HEALTHY]), ("val", [VAL]), ("test", [TEST]), ("all", [*IDS[:2], VAL, TEST])],
)
def test_held_out_labels_leave_only_when_they_are_named(split, films):
    assert main(["labels", "export", "--format", "voc", "out", "--split", split]) == 0
    assert names_in(Path("out")) == films


def test_the_root_of_the_images_is_label_studios(capsys):
    argv = ["labels", "export", "--format", "label-studio", "out.json"]
    assert main([*argv, "--image-root", "/data/local-files/?d=films/"]) == 0
    tasks = json.loads(Path("out.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d=films/{image_id}.png" for image_id in (FOUND, HEALTHY)
    ]


def test_an_export_overwrites_nothing(capsys):
    Path("out").mkdir()
    Path("out/precious.png").write_text("a film")
    assert main(["labels", "export", "--format", "voc", "out"]) == 2
    assert "out is there already" in capsys.readouterr().err
    assert Path("out/precious.png").read_text() == "a film"


def test_what_is_bad_is_listed_and_all_else_is_added(capsys):
    box = BOXES[0]
    films = [
        LabelledFilm(f"{POOL}.png", 100, 80, (box,)),
        LabelledFilm(f"{EXCLUDED}.png", 50, 40, (box,)),
        LabelledFilm(f"{FOUND}.png", 100, 80, (replace(box, x1=-7.0),)),
        LabelledFilm(f"{TEST}.png", 100, 80, (box,)),
        LabelledFilm("stranger.png", 100, 80, (box,)),
    ]
    export_labels(films, Path("out"), Format.VOC)
    Path("out/broken.xml").write_text("<annotation>")
    odd = Path(f"out/{HEALTHY}.xml")
    odd.write_text(Path(f"out/{POOL}.xml").read_text().replace("Mass", "[Tumour]"))
    odd.write_text(odd.read_text().replace(POOL, HEALTHY))
    assert main(["labels", "import", "--format", "voc", "out"]) == 1
    shown = capsys.readouterr()
    assert {event.image_id for event in read_log(LOG)} == {POOL, FOUND}
    for reason in (
        f"film {EXCLUDED}: was labelled at 50x40 pixels; the film is 100x80",
        f"film {TEST} is held out (test)",
        "film stranger.png is not in the manifest",
        "out/broken.xml: no XML",
        f"film {HEALTHY}: unknown finding '[Tumour]'; known: Atelectasis",
    ):
        assert reason in shown.err
    assert shown.err.endswith("lungal: 5 refused of what out says; see above\n")
    assert "boxes cut to their film │       │     1" in shown.out
    assert main(["labels", "import", "--format", "voc", "out", "--rescale"]) == 1
    assert {event.image_id for event in read_log(LOG)} == {POOL, FOUND, EXCLUDED}


def test_a_dry_run_shows_and_adds_nothing(capsys):
    assert main(["labels", "export", "--format", "yolo", "out"]) == 0
    assert main(["labels", "import", "--format", "yolo", "out", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"{FOUND}: 1 Mass, 1 Nodule" in shown
    assert f"{HEALTHY}: no_finding" in shown
    assert "2 would be added to data/annotations.jsonl" in shown
    assert not LOG.exists()


def test_films_without_boxes_can_be_left_alone():
    assert main(["labels", "export", "--format", "coco", "out.json"]) == 0
    assert main(["labels", "import", "--format", "coco", "out.json", "--skip-empty"]) == 0
    assert [event.image_id for event in read_log(LOG)] == [FOUND]


def test_an_edited_file_is_a_later_event_of_the_same_thread():
    assert main(["labels", "export", "--format", "yolo", "out"]) == 0
    argv = ["labels", "import", "--format", "yolo", "out"]
    assert main(argv) == 0
    before = read_log(LOG)
    assert current_round(before) == 2
    Path(f"out/{HEALTHY}.txt").write_text("4 0.5 0.5 0.2 0.2\n")
    assert main(argv) == 0
    *_, edited = read_log(LOG)
    (first,) = [event for event in before if event.image_id == HEALTHY]
    assert len(read_log(LOG)) == 3
    assert edited.thread == first.thread
    assert edited.at > first.at
    assert (edited.round, edited.boxes) == (1, (LabelledBox("Mass", 40.0, 32.0, 60.0, 48.0),))


def test_readers_enter_under_their_pseudonyms():
    assert main(["labels", "export", "--format", "coco", "out.json"]) == 0
    argv = ["labels", "import", "--format", "coco", "out.json"]
    assert main([*argv, "--reader", "Ann@clinic.example"]) == 0
    name = Pseudonyms(KEY.encode()).reader("ann@clinic.example")
    assert {event.reader for event in read_log(LOG)} == {name}
    assert "clinic" not in LOG.read_text().lower()
    assert main([*argv, "--reader", "bob@clinic.example"]) == 0
    assert len(read_log(LOG)) == 4  # a reading of his own


@pytest.mark.parametrize("labels", ["of round 1", "not made yet"])
@pytest.mark.parametrize(("x", "verdict"), [(10.5, "finding"), (60.5, "disputed")])
def test_labels_of_two_readers_are_two_readings_of_the_film(labels, x, verdict):
    if labels == "not made yet":
        Path("data/labels.parquet").unlink()
    for number, (reader, edge) in enumerate((("ann@clinic.example", 10.5), ("bob@b.example", x))):
        drawn = replace(BOXES[0], x1=edge, x2=edge + 20)
        folder = Path(f"out{number}")
        export_labels([LabelledFilm(f"{POOL}.png", 100, 80, (drawn,))], folder, Format.YOLO)
        argv = ["labels", "import", "--format", "yolo", str(folder), "--reader", reader]
        assert main(argv) == 0
    truth = reconcile(standing(read_log(LOG)), ReadingParams())
    assert (truth.verdict, truth.readers) == (verdict, 2)


def test_label_studios_readers_and_our_pseudonyms_of_films_are_known():
    pseudonyms = Pseudonyms(KEY.encode())
    export_labels([LabelledFilm("x.png", 100, 80, BOXES)], Path("a.json"), Format.LABEL_STUDIO)
    (task,) = json.loads(Path("a.json").read_text())
    task["data"]["film"] = pseudonyms.film(POOL)
    task["annotations"][0] |= {
        "completed_by": {"id": 3, "email": "ann@clinic.example"},
        "updated_at": "2026-11-20T10:00:00.5Z",
        "lead_time": 7.5,
    }
    Path("a.json").write_text(json.dumps([task]))
    assert main(["labels", "import", "--format", "label-studio", "a.json"]) == 0
    (event,) = read_log(LOG)
    assert event.image_id == POOL
    assert event.reader == pseudonyms.reader("ann@clinic.example")
    assert (event.at, event.seconds) == ("2026-11-20T10:00:00.500000Z", 7.5)


def test_without_a_reader_nobody_needs_a_key(monkeypatch):
    monkeypatch.delenv("LUNGAL_PSEUDONYM_KEY")
    assert main(["labels", "export", "--format", "voc", "out"]) == 0
    assert main(["labels", "import", "--format", "voc", "out"]) == 0
    assert not Path(".label-studio").exists()


def test_a_teams_key_is_not_drawn(monkeypatch, capsys):
    monkeypatch.delenv("LUNGAL_PSEUDONYM_KEY")
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://label-studio.example")
    assert main(["labels", "export", "--format", "voc", "out"]) == 0
    argv = ["labels", "import", "--format", "voc", "out", "--reader", "ann@clinic.example"]
    assert main(argv) == 3
    assert "LUNGAL_PSEUDONYM_KEY" in capsys.readouterr().err
    assert not LOG.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["export", "--format", "csv", "out"],
        ["export", "--format", "voc", "out", "--split", "pool"],
        ["import", "--format", "voc", "missing"],
        ["import", "--format", "voc", "data"],
    ],
)
def test_wrong_words_and_places_end_in_2(argv, capsys):
    assert main(["labels", *argv]) == 2
    assert capsys.readouterr().err.startswith("lungal: ")


def test_the_interface_and_the_converter_of_label_studio_take_its_json(tmp_path):
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    out = tmp_path / "tasks.json"
    films = [LabelledFilm("a.png", 1024, 768, BOXES), LabelledFilm("b.png", 512, 512, ())]
    export_labels(films, out, Format.LABEL_STUDIO)
    tasks = json.loads(out.read_text())
    interface = LabelInterface(labelling_config())
    for task in tasks:
        for annotation in task["annotations"]:
            assert interface.validate_annotation(annotation)
    choices = [task["annotations"][0]["result"][-1]["value"]["choices"] for task in tasks]
    assert choices == [["Finding present"], ["No finding"]]

    numbered = [
        {**task, "id": number, "annotations": [{**a, "id": number} for a in task["annotations"]]}
        for number, task in enumerate(tasks, start=1)
    ]
    out.write_text(json.dumps(numbered[:1]))
    config = """<View><Image name="image" value="$image"/>
      <RectangleLabels name="finding" toName="image"><Label value="Mass"/>
      <Label value="Nodule"/></RectangleLabels></View>"""
    converter = Converter(config, str(tmp_path), download_resources=False)
    converter.convert_to_coco(str(out), str(tmp_path / "coco"), is_dir=False)
    boxes = json.loads((tmp_path / "coco" / "result.json").read_text())["annotations"]
    assert [box["bbox"] for box in boxes] == [
        pytest.approx([10.5, 20.25, 19.5, 19.75]),
        pytest.approx([1.0, 2.0, 8.0, 7.5]),
    ]
