"""Labels in other tools' files: what goes out comes back, and what comes in is checked."""

import json
import math
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from globox import Annotation as GloboxAnnotation
from globox import AnnotationSet, BoundingBox
from hypothesis import given, settings
from hypothesis import strategies as st

from lungal.annotation.pseudonyms import Pseudonyms
from lungal.data.annotations import append_log, read_log
from lungal.data.interchange.door import admit, match_film
from lungal.data.interchange.film import Format, FoundBox, FoundFilm, LabelledFilm, Unfit
from lungal.data.interchange.voc import whole_pixels
from lungal.errors import AnnotationError, SourceError
from lungal.records import CLASSES, LabelledBox
from lungal.rounds.exchange import FOLDERS, READERS, export_labels, known_labels
from lungal.rounds.label_import import Importer, Target, targets

NAME, OTHER = "00000003_000", "00000004_000"
SIZE = (1024, 768)
FILMS = [
    LabelledFilm(
        f"{NAME}.png",
        *SIZE,
        (
            LabelledBox("Mass", 100.25, 200.0, 300.75, 400.5),
            LabelledBox("Infiltrate", 0.0, 0.0, 1024.0, 768.0),
        ),
    ),
    LabelledFilm(f"{OTHER}.png", 512, 512, ()),
]

LABELIMG_VOC = """<annotation verified="yes">
	<folder>images</folder>
	<filename>00000003_000.png</filename>
	<path>/home/reader/images/00000003_000.png</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>1024</width>
		<height>768</height>
		<depth>1</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>Mass</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>100</xmin>
			<ymin>200</ymin>
			<xmax>300</xmax>
			<ymax>400</ymax>
		</bndbox>
	</object>
	<object>
		<name>Infiltration</name>
		<pose>Unspecified</pose>
		<truncated>1</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>1</xmin>
			<ymin>512</ymin>
			<xmax>1024</xmax>
			<ymax>700</ymax>
		</bndbox>
	</object>
</annotation>
"""
"""What labelImg 1.8.6 writes."""
LABELIMG_YOLO = "1 0.195312 0.390625 0.195312 0.260417\n2 0.500488 0.789062 0.999023 0.244792\n"
LABELIMG_CLASSES = "dog\nMass\nInfiltrate\n"


@st.composite
def labelled_films(draw):
    films = []
    for number in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(64, 4000)), draw(st.integers(64, 4000))
        boxes = tuple(draw(st.lists(labelled_boxes(width, height), max_size=4)))
        films.append(LabelledFilm(f"{number:08d}_000.png", width, height, boxes))
    return films


@st.composite
def labelled_boxes(draw, width, height):
    def edges(limit):
        low = draw(st.floats(0, limit - 0.25, width=32))
        # Half pixels are where rounding goes wrong.
        low = round(low * 2) / 2 if draw(st.booleans()) else low
        low = min(low, limit - 0.25)
        return low, float(np.float32(draw(st.floats(low + 0.125, limit))))

    (x1, x2), (y1, y2) = edges(width), edges(height)
    return LabelledBox(draw(st.sampled_from(CLASSES)), x1, y1, x2, y2)


def place(folder, form):
    return folder / ("labels" if form in FOLDERS else "labels.json")


def read_back(films, form, folder):
    export_labels(films, place(folder, form), form)
    found = list(READERS[form](place(folder, form)))
    assert not [film for film in found if isinstance(film, Unfit)]
    names = {Path(film.name).stem for film in films}
    return {match_film(film.film, names): film for film in found}


@pytest.mark.parametrize("form", Format)
@given(films=labelled_films())
@settings(max_examples=40, deadline=None)
def test_a_round_trip_moves_no_edge_by_more_than_half_a_pixel(form, films):
    with TemporaryDirectory() as folder:
        found = read_back(films, form, Path(folder))
    assert set(found) == {Path(film.name).stem for film in films}  # those without boxes too
    for film in films:
        boxes = admit(found[Path(film.name).stem], film.size).boxes
        assert [box.label for box in boxes] == [box.label for box in film.boxes]
        moved = [
            abs(a - b)
            for ours, box in zip(film.boxes, boxes, strict=True)
            for a, b in zip(ours.xyxy, box.xyxy, strict=True)
        ]
        assert max(moved, default=0) <= (0.5 if form is Format.VOC else 0.002)


@given(box=labelled_boxes(1000, 1000))
def test_whole_pixels_keep_a_box_that_is_thinner_than_a_pixel(box):
    x1, y1, x2, y2 = whole_pixels(box.xyxy)
    assert x2 > x1
    assert y2 > y1
    assert all(edge.is_integer() for edge in (x1, x2)) or (x1, x2) == (box.x1, box.x2)


@pytest.mark.parametrize("form", Format)
def test_a_folder_of_files_is_read_like_one(form, tmp_path):
    export_labels(FILMS[:1], place(tmp_path / "a", form), form)
    export_labels(FILMS[1:], place(tmp_path / "b", form), form)
    found = [film.film for film in READERS[form](tmp_path)]
    assert [match_film(film, {NAME, OTHER}) for film in found] == [NAME, OTHER]


def test_coco_evaluates_in_pycocotools(tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    export_labels(FILMS, tmp_path / "labels.json", Format.COCO)
    with redirect_stdout(StringIO()):
        truth = COCO(str(tmp_path / "labels.json"))
        boxes = truth.loadAnns(truth.getAnnIds())
        seen = [{**box, "score": 0.9} for box in boxes]
        judged = COCOeval(truth, truth.loadRes(seen), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    assert judged.stats[0] == pytest.approx(1)  # a box with the id 0 would count as missed
    assert [truth.imgs[key]["file_name"] for key in truth.getImgIds()] == [f.name for f in FILMS]
    assert [c["name"] for c in truth.loadCats(truth.getCatIds())] == list(CLASSES)
    assert boxes[0]["bbox"] == [100.25, 200.0, 200.5, 200.5]


def test_voc_has_the_fields_of_labelimg_in_its_order(tmp_path):
    export_labels(FILMS, tmp_path / "voc", Format.VOC)
    ours = ET.parse(tmp_path / "voc" / f"{NAME}.xml").getroot()  # noqa: S314  our own
    theirs = ET.fromstring(LABELIMG_VOC)  # noqa: S314  our own
    theirs.remove(theirs.find("path"))
    assert [node.tag for node in ours.iter()] == [node.tag for node in theirs.iter()]
    boxes = [[edge.text for edge in frame] for frame in ours.iter("bndbox")]
    assert boxes == [["100", "200", "301", "400"], ["0", "0", "1024", "768"]]
    assert [node.text for node in ours.iter("truncated")] == ["0", "1"]
    empty = ET.parse(tmp_path / "voc" / f"{OTHER}.xml").getroot()  # noqa: S314  our own
    assert empty.findtext("filename") == f"{OTHER}.png"
    assert empty.find("object") is None


def test_yolo_has_its_names_and_empty_files(tmp_path):
    export_labels(FILMS, tmp_path / "yolo", Format.YOLO)
    assert (tmp_path / "yolo" / "classes.txt").read_text().split() == list(CLASSES)
    assert (tmp_path / "yolo" / f"{OTHER}.txt").read_text() == ""
    lines = (tmp_path / "yolo" / f"{NAME}.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["4", "3"]
    assert lines[1].split()[1:] == ["0.5", "0.5", "1.0", "1.0"]


def edges_of(annotation):
    return [(box.label, *box.ltrb) for box in annotation.boxes]


def test_globox_reads_what_we_write(tmp_path):
    for form in (Format.COCO, Format.VOC, Format.YOLO):
        export_labels(FILMS, place(tmp_path / form, form), form)
    coco = AnnotationSet.from_coco(tmp_path / "coco" / "labels.json")
    voc = AnnotationSet.from_pascal_voc(tmp_path / "voc" / "labels")
    yolo = {
        film.name: GloboxAnnotation.from_yolo_darknet(
            tmp_path / "yolo" / "labels" / f"{Path(film.name).stem}.txt", image_size=film.size
        )
        for film in FILMS
    }
    for film in FILMS:
        said = [(box.label, *box.xyxy) for box in film.boxes]
        assert edges_of(coco[film.name]) == said
        assert coco[film.name].image_size == voc[film.name].image_size == film.size
        rounded = [(box.label, *whole_pixels(box.xyxy)) for box in film.boxes]
        assert edges_of(voc[film.name]) == rounded
        for (number, *edges), (label, *ours) in zip(edges_of(yolo[film.name]), said, strict=True):
            assert CLASSES[int(number)] == label
            assert edges == pytest.approx(ours)


def test_we_read_what_globox_writes(tmp_path):
    boxes = [
        BoundingBox(label=box.label, xmin=box.x1, ymin=box.y1, xmax=box.x2, ymax=box.y2)
        for box in FILMS[0].boxes
    ]
    theirs = AnnotationSet([GloboxAnnotation(f"{NAME}.png", SIZE, boxes)])
    theirs.save_coco(tmp_path / "coco.json", auto_ids=True)
    theirs.save_pascal_voc(tmp_path / "voc")
    theirs.save_yolo_darknet(tmp_path / "yolo", label_to_id={"Infiltrate": 0, "Mass": 1})
    (tmp_path / "yolo" / "x.names").write_text("Infiltrate\nMass\n")
    for form, path in (
        (Format.COCO, "coco.json"),
        (Format.VOC, "voc"),
        (Format.YOLO, "yolo"),
    ):
        (found,) = READERS[form](tmp_path / path)
        assert match_film(found.film, {NAME}) == NAME
        assert admit(found, SIZE).boxes == FILMS[0].boxes


def test_labelimgs_own_files_are_read(tmp_path):
    (tmp_path / f"{NAME}.xml").write_text(LABELIMG_VOC)
    (voc,) = READERS[Format.VOC](tmp_path)
    expected = (
        LabelledBox("Mass", 100.0, 200.0, 300.0, 400.0),
        LabelledBox("Infiltrate", 1.0, 512.0, 1024.0, 700.0),  # Infiltration, in NIH's other file
    )
    assert admit(voc, SIZE).boxes == expected
    (tmp_path / f"{NAME}.txt").write_text(LABELIMG_YOLO)
    (tmp_path / "classes.txt").write_text(LABELIMG_CLASSES)
    (yolo,) = READERS[Format.YOLO](tmp_path)
    for box, wanted in zip(admit(yolo, SIZE).boxes, expected, strict=True):
        assert box.label == wanted.label
        assert box.xyxy == pytest.approx(wanted.xyxy, abs=0.01)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "Mass\nNodule\n"),
        ("obj.names", "Mass\nNodule\n"),
        ("data.yaml", "path: x\nnames: [Mass, Nodule]\n"),
        ("data.yaml", "names:\n  1: Nodule\n  0: Mass\n"),
    ],
)
@pytest.mark.parametrize("folder", ["labels/train", "labels", "."])
def test_yolos_names_are_found_beside_the_labels_and_above(tmp_path, file, text, folder):
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / f"{NAME}.txt").write_text("1 .5 .5 .5 .5\n\n")
    (tmp_path / folder / file).write_text(text)
    for path in (tmp_path / "labels", labels / f"{NAME}.txt"):
        found = list(READERS[Format.YOLO](path))
        if folder == "." and path.is_file():  # two folders up: somebody else's
            assert "no file of class names" in found[0].reason
        else:
            assert [box.label for box in found[0].boxes] == ["Nodule"]


@pytest.mark.parametrize(
    "said",
    [
        NAME,
        f"{NAME}.png",
        f"{NAME}.PNG",
        f"images/train/{NAME}.jpg",
        f"C:\\films\\{NAME}.jpg",
        f"/data/upload/3/1a2b3c4d-{NAME}.png",
        f"/data/local-files/?d=queue/{NAME}.png",
        f"https://bucket.example/films/{NAME}.png?X-Amz-Signature=ab",
        f"file:///films/my%20films/{NAME}.png",
    ],
)
def test_a_film_is_known_by_its_files_name(said):
    assert match_film(said, {NAME, OTHER}) == NAME


@pytest.mark.parametrize(
    "said", ["", "00000003", f"{NAME}.txt", "http://[", "film-0011223344556677"]
)
def test_a_film_that_nobody_knows(said):
    assert match_film(said, {NAME, OTHER}) is None


def found_film(*boxes, **other):
    return FoundFilm("somewhere", NAME, tuple(FoundBox(*box) for box in boxes), **other)


GOOD = ("Mass", (10.0, 20.0, 30.0, 40.0))


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (
            ("Tumour", (10, 20, 30, 40)),
            "unknown finding 'Tumour'; known: Atelectasis,",
        ),
        (("", (10, 20, 30, 40)), "unknown finding ''"),
        (("Mass", (10, 20, math.nan, 40)), "not a finite number"),
        (("Mass", (10, 20, math.inf, 40)), "not a finite number"),
        (("Mass", (10, 20, 10, 40)), "has no area"),
        (("Mass", (30, 20, 10, 40)), "has no area"),
        (("Mass", (2000, 20, 3000, 40)), "has no area on the 1024x768 film"),
        (("Mass", (-50, 20, -10, 40)), "has no area on the 1024x768 film"),
    ],
)
def test_one_bad_box_refuses_its_film(box, reason):
    with pytest.raises(AnnotationError, match=reason):
        admit(found_film(GOOD, box), SIZE)


def test_what_lies_beyond_the_film_is_cut_off():
    admitted = admit(
        found_film(("Mass", (-5, -5, 30, 40)), GOOD, ("Mass", (9, 9, 1024.4, 99))), SIZE
    )
    assert [box.xyxy for box in admitted.boxes] == [
        (0, 0, 30, 40),
        (10, 20, 30, 40),
        (9, 9, 1024, 99),
    ]
    assert admitted.cut == 1  # less than a pixel is rounding


def test_boxes_of_another_size_are_refused_or_fitted():
    half = found_film(GOOD, size=(512, 384))
    with pytest.raises(
        AnnotationError, match=r"at 512x384 pixels; the film is 1024x768.*--rescale"
    ):
        admit(half, SIZE)
    (box,) = admit(half, SIZE, rescale=True).boxes
    assert box.xyxy == (20, 40, 60, 80)
    assert admit(found_film(GOOD, size=(341, 256)), SIZE, rescale=True).boxes  # a pixel's rounding
    with pytest.raises(AnnotationError, match="another shape"):
        admit(found_film(GOOD, size=(512, 512)), SIZE, rescale=True)


def test_shares_need_no_rescaling_but_the_same_film():
    shares = found_film(("Mass", (0.25, 0.5, 0.5, 1.0)), unit="shares")
    assert admit(shares, SIZE).boxes[0].xyxy == (256, 384, 512, 768)
    with pytest.raises(AnnotationError, match="labelled at 512x384"):
        admit(replace(shares, size=(512, 384)), SIZE)
    fitted = admit(replace(shares, size=(512, 384)), SIZE, rescale=True)
    assert fitted.boxes[0].xyxy == (256, 384, 512, 768)


def coco(**changes):
    document = {
        "images": [{"id": 1, "file_name": f"{NAME}.png", "width": 1024, "height": 768}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20, 20]}],
        "categories": [{"id": 2, "name": "Mass"}],
    }
    return json.dumps(document | changes)


def coco_box(**changes):
    return coco(annotations=[json.loads(coco())["annotations"][0] | changes])


def task(result, data=None, **annotation):
    said = {"id": 5, "result": result, **annotation}
    return json.dumps([{"id": 1, "data": data or {"image": f"{NAME}.png"}, "annotations": [said]}])


def region(kind="rectanglelabels", **changes):
    value = {
        "x": 10,
        "y": 10,
        "width": 20,
        "height": 20,
        "rotation": 0,
        "rectanglelabels": ["Mass"],
    }
    return {"id": "a", "from_name": "label", "type": kind, "value": value | changes}


def choice(text, name="s"):
    return {"id": name, "from_name": "study", "type": "choices", "value": {"choices": [text]}}


def aside(kind, said, name="s", **changes):
    value = {"choices" if kind == "choices" else "text": said}
    return {"id": name, "type": kind, "value": value} | changes


def sure(*choices):
    return aside("choices", list(choices), "a", from_name="confidence")


VOC_HEAD = "<annotation><filename>f.png</filename><size><width>9</width><height>9</height></size>"


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        (Format.COCO, "{", "no JSON"),
        (Format.COCO, "[" * 100_000, "no JSON"),
        (Format.COCO, "[]", "no COCO file: it must hold images, annotations, categories"),
        (Format.COCO, '{"images": []}', "'annotations' is not a list"),
        (Format.COCO, coco(images=[7]), "'images' is not a list of objects"),
        (Format.COCO, coco(images=[{"id": [1]}]), r"the id \[1\] is no number"),
        (Format.COCO, coco(images=[{"id": 1, "file_name": "x.png"}]), "does not say the width"),
        (Format.COCO, coco(images=[{"id": 1, "width": 9, "height": 9}]), "file_name is None"),
        (
            Format.COCO,
            coco(images=[{"id": 1, "file_name": "x", "width": 1.5, "height": 9}]),
            "1.5 x 9 pixels",
        ),
        (Format.COCO, coco_box(image_id=3), "image 3, which the file does not list"),
        (Format.COCO, coco_box(image_id=[1]), r"box 7 is on image \[1\], which is no number"),
        (Format.COCO, coco_box(category_id=9), "category 9, not in the file"),
        (Format.COCO, coco_box(bbox=[1, 2, 3]), r"\[1, 2, 3\], not x, y, width, height"),
        (Format.COCO, coco_box(bbox=[1, 2, "a", 3]), "width is 'a', not a number"),
        (Format.COCO, coco_box(bbox=[1, 2, True, 3]), "width is True"),
        (Format.COCO, coco_box(iscrowd=1), "a crowd"),
        (Format.COCO, coco_box(score=0.5), "a score"),
        (Format.VOC, "<annotation>", "no XML"),
        (Format.VOC, "<html/>", "<html>, not <annotation>"),
        (
            Format.VOC,
            "<annotation><filename>f.png</filename></annotation>",
            "does not say the width",
        ),
        (Format.VOC, f"{VOC_HEAD}<object><name>Mass</name></object></annotation>", "no bndbox"),
        (
            Format.VOC,
            f"{VOC_HEAD}<object><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "ymin is None",
        ),
        (Format.YOLO, "0 .5 .5 .5", "4 fields"),
        (Format.YOLO, "0 .5 .5 .5 .5 .9", "6 fields.*score"),
        (Format.YOLO, "8 .5 .5 .5 .5", "class '8' has no name; there are 8, from 0"),
        (Format.YOLO, "-1 .5 .5 .5 .5", "class '-1' has no name"),
        (Format.YOLO, "Mass .5 .5 .5 .5", "class 'Mass' has no name"),
        (Format.YOLO, "0 .5 .5 .5 a", "height is 'a'"),
        (Format.LABEL_STUDIO, "{}", "must hold a list of tasks"),
        (Format.LABEL_STUDIO, '[{"id": 1, "label": []}]', "not as JSON-MIN"),
        (Format.LABEL_STUDIO, task([], data={"text": "x"}), "does not say which film"),
        (Format.LABEL_STUDIO, task([7]), "not a list of regions"),
        (Format.LABEL_STUDIO, task([region("polygonlabels")]), "holds a 'polygonlabels'"),
        (Format.LABEL_STUDIO, task([region(rectanglelabels=[])]), r"with the labels \[\]"),
        (Format.LABEL_STUDIO, task([region(rotation=3)]), "rotated Mass box"),
        (Format.LABEL_STUDIO, task([region(x=None)]), "x is None"),
        (Format.LABEL_STUDIO, task([choice("Perhaps")]), "verdict 'Perhaps'; known: No finding"),
        (Format.LABEL_STUDIO, task([region(), choice("No finding")]), "but holds 1 boxes"),
        (Format.LABEL_STUDIO, task([aside("choices", 5)]), "its 'choices' is 5, not a list"),
        (Format.LABEL_STUDIO, task([aside("textarea", True)]), "its 'text' is True, not a list"),
        (
            Format.LABEL_STUDIO,
            task([region(), aside("textarea", {}, "a")]),
            "its 'text' is {}, not a list",
        ),
        (
            Format.LABEL_STUDIO,
            task([region(), sure("Certain")]),
            "'certain' of a box; known: low, m",
        ),
        (
            Format.LABEL_STUDIO,
            task([region(), sure("Low", "High")]),
            "confidences of one box: high",
        ),
        (Format.LABEL_STUDIO, task([region(), region(), sure("Low")]), "two boxes of one name"),
        (Format.LABEL_STUDIO, task([], lead_time="soon"), "lead_time is 'soon', not a number"),
        (Format.LABEL_STUDIO, task([], lead_time=math.nan), "lead_time is nan, not a number of"),
        (Format.LABEL_STUDIO, task([], lead_time=math.inf), "lead_time is inf, not a number of"),
        (Format.LABEL_STUDIO, task([], lead_time=10**400), "its lead_time is 1000.*, not a number"),
        (Format.LABEL_STUDIO, task([], lead_time=True), "its lead_time is True, not a number"),
        (Format.LABEL_STUDIO, task([choice("Finding present")]), "but holds no box"),
        (
            Format.LABEL_STUDIO,
            task(
                [choice("No finding"), choice("Unreadable", "t"), choice("Finding present", "u")]
            ).replace("Unreadable", "No finding"),
            "several verdicts",
        ),
    ],
)
def test_what_is_malformed_is_named_and_stops_no_other(form, text, reason, tmp_path):
    suffix = {Format.VOC: ".xml", Format.YOLO: ".txt"}.get(form, ".json")
    export_labels(FILMS, place(tmp_path / "good", form), form)
    bad = tmp_path / "good" / f"aaa{suffix}"
    bad.write_text(text)
    (tmp_path / "good" / "classes.txt").write_text("\n".join(CLASSES))
    found = list(READERS[form](tmp_path / "good"))
    good = [film for film in found if isinstance(film, FoundFilm) and str(bad) not in film.where]
    assert [match_film(film.film, {NAME, OTHER}) for film in good] == [NAME, OTHER]
    unfit = [film for film in found if isinstance(film, Unfit)]
    assert len(unfit) == 1
    assert unfit[0].where.startswith(str(bad))
    with pytest.raises(AnnotationError, match=reason):
        raise AnnotationError(unfit[0].reason)


def test_no_film_of_a_file_is_empty_that_may_hold_a_box_of_no_film(tmp_path):
    (tmp_path / "labels.json").write_text(coco_box(image_id=None))
    (found,) = READERS[Format.COCO](tmp_path)
    assert isinstance(found, Unfit)


def test_numbers_of_images_may_be_written_as_fractions(tmp_path):
    (tmp_path / "labels.json").write_text(coco_box(image_id=1.0))
    (found,) = READERS[Format.COCO](tmp_path)
    assert len(found.boxes) == 1


def test_files_that_are_not_text_are_unfit(tmp_path):
    for suffix, form in ((".json", Format.COCO), (".xml", Format.VOC), (".txt", Format.YOLO)):
        (tmp_path / f"x{suffix}").write_bytes(b"\xff\xfe\x00\x81")
        (unfit,) = READERS[form](tmp_path)
        assert isinstance(unfit, Unfit)


@pytest.mark.parametrize("form", Format)
def test_nothing_to_read_is_an_error(form, tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        list(READERS[form](tmp_path / "missing"))
    with pytest.raises(SourceError, match=r"no \.(json|xml|txt) file in"):
        list(READERS[form](tmp_path))


def test_label_studio_tells_reader_time_verdict_and_asides(tmp_path):
    beside = {
        "id": "a",
        "type": "choices",
        "from_name": "confidence",
        "value": {"choices": ["High"]},
    }
    note = {"id": "a", "type": "textarea", "from_name": "note", "value": {"text": ["old scar?"]}}
    comment = {
        "id": "c",
        "type": "textarea",
        "from_name": "comment",
        "value": {"text": ["rotated"]},
    }
    (tmp_path / "tasks.json").write_text(
        task(
            [region(), beside, note, comment, choice("Finding present")],
            completed_by={"id": 3, "email": "ann@clinic.example"},
            updated_at="2026-11-20T10:00:00Z",
            lead_time=12.3456,
        )
    )
    (found,) = READERS[Format.LABEL_STUDIO](tmp_path)
    assert (found.reader, found.at, found.seconds) == (
        "ann@clinic.example",
        "2026-11-20T10:00:00Z",
        12.346,
    )
    assert found.comment == "rotated"
    assert found.boxes == (FoundBox("Mass", (0.1, 0.1, 0.3, 0.3), "high", "old scar?"),)


@pytest.mark.parametrize("said", ["a scar", ["a scar"], [" a scar ", ""]])
def test_a_comment_is_a_list_of_texts_or_a_text(said, tmp_path):
    (tmp_path / "tasks.json").write_text(task([aside("textarea", said)]))
    (found,) = READERS[Format.LABEL_STUDIO](tmp_path)
    assert found.comment == "a scar"


def test_half_a_character_in_a_comment_costs_no_film(tmp_path):
    (tmp_path / "tasks.json").write_text(task([region(), aside("textarea", "left \ud83d")]))
    report = importer().compare(READERS[Format.LABEL_STUDIO](tmp_path), [])
    assert [event.comment for event in report.new] == ["left ?"]


def test_a_choice_about_a_box_by_another_name_is_no_verdict(tmp_path):
    other = aside("choices", ["Calcified"], "a", from_name="texture")
    (tmp_path / "tasks.json").write_text(task([region(), other]))
    (found,) = READERS[Format.LABEL_STUDIO](tmp_path)
    assert (len(found.boxes), found.verdict) == (1, None)


def test_label_studios_skips_and_unread_tasks_say_nothing(tmp_path):
    unread = {"id": 2, "data": {"image": f"{OTHER}.png"}, "annotations": [], "predictions": [{}]}
    skipped = json.loads(task([], was_cancelled=True))
    unreadable = json.loads(task([choice("Unreadable")], completed_by=4))
    (tmp_path / "tasks.json").write_text(json.dumps([unread, *skipped, *unreadable]))
    (found,) = READERS[Format.LABEL_STUDIO](tmp_path)
    assert (found.verdict, found.reader, found.boxes) == ("unreadable", "user-4", ())


TARGETS = {
    NAME: Target(SIZE, "train"),
    OTHER: Target((512, 512), "train"),
    "00000005_000": Target(SIZE, "test"),
    "00000006_000": Target(SIZE, None),
}


def importer(**changes):
    options = {"films": TARGETS, "form": "voc", "now": "2026-11-23T10:00:00Z"}
    return Importer(**(options | changes))


def said(film=NAME, x1=10.0, where="a.xml", **other):
    return FoundFilm(where, film, (FoundBox("Mass", (x1, 20.0, 30.0, 40.0)),), **other)


def test_an_import_is_an_event_of_the_log(tmp_path):
    log = tmp_path / "log.jsonl"
    report = importer().compare([said(), FoundFilm("b.xml", f"{OTHER}.png", ())], [])
    assert append_log(log, report.new) == 2
    finding, empty = read_log(log)
    assert finding == report.new[0]
    assert finding.thread == f"import-voc-{NAME}"
    assert (finding.role, finding.round, finding.reader) == ("import", 1, "import")
    assert (finding.verdict, empty.verdict, empty.boxes) == ("finding", "no_finding", ())
    assert finding.at == "2026-11-23T10:00:00.000000Z"
    assert finding.boxes == (LabelledBox("Mass", 10.0, 20.0, 30.0, 40.0),)


HALF = "\ud800"
"""Of a surrogate pair: JSON may hold it, and no file."""


@pytest.mark.parametrize(
    "bad",
    [
        {"comment": HALF},
        {"reader": HALF},
        {"seconds": math.nan},
        {"seconds": -1.0},
        {"boxes": (FoundBox("Mass", (10, 20, 30, 40), comment=HALF),)},
    ],
)
@pytest.mark.parametrize("name_reader", [str, Pseudonyms(b"a key that is long enough").reader])
def test_what_the_log_cannot_hold_refuses_its_film_and_no_other(bad, name_reader, tmp_path):
    films = [replace(said(), **bad), said(OTHER, where="b.xml")]
    report = importer(name_reader=name_reader).compare(films, [])
    assert [film.where for film in report.refused] == ["a.xml"]
    assert "\n" not in report.refused[0].reason.encode().decode()
    assert append_log(tmp_path / "log.jsonl", report.new) == 1
    assert [event.image_id for event in read_log(tmp_path / "log.jsonl")] == [OTHER]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(HALF),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def paths_in(document, path=()):
    yield path
    if isinstance(document, dict | list):
        inner = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in inner:
            yield from paths_in(value, (*path, key))


def with_another(document, path, value):
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = with_another(document[path[0]], path[1:], value)
    return copy


FULL_TASK = task(
    [region(), aside("choices", ["high"], "a"), aside("textarea", ["scar"]), choice("No finding")],
    completed_by={"id": 3, "email": "ann@clinic.example"},
    updated_at="2026-11-20T10:00:00Z",
    lead_time=12.5,
).replace("No finding", "Finding present")


@pytest.mark.parametrize(
    ("form", "text"), [(Format.COCO, coco()), (Format.LABEL_STUDIO, FULL_TASK)]
)
@given(data=st.data())
def test_whatever_stands_at_one_place_of_a_file_ends_no_import(form, text, data):
    whole = json.loads(text)
    path = data.draw(st.sampled_from(list(paths_in(whole))))
    bad = with_another(whole, path, data.draw(JSON))
    with TemporaryDirectory() as folder:
        (Path(folder) / "labels.json").write_text(json.dumps(bad))
        report = importer(form=form).compare(READERS[form](Path(folder)), [])
        log = Path(folder) / "log.jsonl"
        assert append_log(log, report.new) == len(report.new)
        assert not report.new or read_log(log) == list(report.new), "the log holds it as it was"
        assert importer(form=form).compare(READERS[form](Path(folder)), report.new).new == ()


def test_importing_twice_adds_nothing_and_an_edit_adds_a_later_event(tmp_path):
    first = importer().compare([said()], []).new
    later = importer(now="2026-11-23T11:00:00Z")
    again = later.compare([said(where="elsewhere.xml")], first)
    assert (again.new, again.known) == ((), 1)
    edited = later.compare([said(x1=12)], first)
    assert [event.thread for event in edited.new] == [first[0].thread]
    assert edited.new[0].at > first[0].at
    assert edited.new[0].source_id != first[0].source_id
    # Back to what it was: that is news again.
    log = [*first, *edited.new]
    back = importer(now="2026-11-23T12:00:00Z").compare([said()], log)
    assert len(back.new) == 1
    assert append_log(tmp_path / "log.jsonl", [*log, *back.new]) == 3


def test_the_same_import_on_two_branches_can_be_merged(tmp_path):
    ours = importer().compare([said()], []).new
    theirs = importer(now="2026-11-23T10:00:01Z").compare([said()], []).new
    assert append_log(tmp_path / "log.jsonl", [*ours, *theirs]) == 2
    assert importer().compare([said()], [*ours, *theirs]).known == 1


def test_the_order_of_boxes_says_nothing():
    one, two = FoundBox("Mass", (1, 2, 3, 4)), FoundBox("Nodule", (5, 6, 7, 8))
    first = importer().compare([FoundFilm("a", NAME, (one, two))], []).new
    assert importer().compare([FoundFilm("a", NAME, (two, one))], first).known == 1


def test_readers_are_named_and_have_threads_of_their_own():
    by_ann = importer(reader="ann@clinic.example", name_reader=lambda who: f"reader-{len(who)}")
    (event,) = by_ann.compare([said()], []).new
    assert event.reader == "reader-18"
    assert event.thread == f"import-voc-{NAME}-reader-18"
    by_bob = importer(reader="bob@clinic.example", name_reader=str)
    (other,) = by_bob.compare([said()], [event]).new
    assert other.reader == "bob@clinic.example"
    assert other.thread == f"import-voc-{NAME}-bob%40clinic.example"


def test_an_import_is_of_the_round_in_work():
    def round_of(log, **changes):
        (event,) = importer(reader="bob", **changes).compare([said()], log).new
        return event.round

    ann = importer(reader="ann", labelled=2).compare([said()], []).new
    readings = [replace(ann[0], source_id=f"ls-1-{n}@1", role="label", round=n) for n in (1, 2, 3)]
    before_pull, after_pull, of_a_colleague = readings[:1], readings[:2], readings
    assert [event.round for event in ann] == [2]
    assert round_of(ann, labelled=2) == 2, "beside what another reader's file said"
    assert round_of(before_pull, labelled=2) == 2
    assert round_of(after_pull, labelled=2) == 2, "beside readings that nobody has trained on"
    assert round_of([*after_pull, *ann], labelled=3) == 3
    assert round_of(of_a_colleague, labelled=2) == 3, "else it would be a word of a round gone by"
    assert [round_of(log) for log in ([], ann, before_pull)] == [1, 2, 2], "without labels"


def test_an_edit_is_of_the_round_in_work_unless_it_stands_beside_another_reading():
    def edit_after(log):
        later = importer(reader="ann", labelled=4, now="2026-12-01T10:00:00Z")
        (edited,) = later.compare([said(x1=12)], log).new
        assert edited.thread == ann[0].thread
        return edited.round

    ann = importer(reader="ann", labelled=1).compare([said()], []).new
    bob = importer(reader="bob", labelled=1).compare([said(x1=14)], ann).new
    reread = replace(ann[0], source_id="ls-1-3@1", role="reread", round=3)
    assert edit_after(ann) == 4, "else the next labels would be of a round that was played"
    assert edit_after([*ann, *bob]) == 1, "else bob's labels would no longer count"
    assert edit_after([*ann, *bob, reread]) == 4, "else the correction would come too late to count"


def test_a_file_that_knows_its_times_is_believed():
    early = said(at="2026-11-20T12:00:00+02:00", reader="user-1")
    late = said(at="2026-11-21T10:00:00", reader="user-1", x1=12)
    (event,) = importer().compare([late, early], []).new
    assert event.at == "2026-11-21T10:00:00.000000Z"
    stale = importer().compare([early], [event])
    assert (stale.new, stale.older, stale.known) == ((), 1, 0)
    (first,) = importer().compare([early], []).new
    assert first.at == "2026-11-20T10:00:00.000000Z"
    by_hand = replace(late, boxes=(FoundBox("Mass", (13.0, 20.0, 30.0, 40.0)),))
    (edited,) = importer().compare([by_hand], [event]).new
    assert edited.at == "2026-11-23T10:00:00.000000Z"
    assert edited.thread == event.thread
    assert importer().compare([by_hand], [event, edited]).known == 1
    assert importer().compare([late], [event, edited]).older == 1
    refused = importer().compare([said(at="yesterday")], []).refused
    assert "'yesterday' is not ISO 8601" in refused[0].reason


def test_files_that_contradict_each_other_are_refused_together():
    report = importer().compare([said(), said(x1=12, where="b.xml"), said(OTHER)], [])
    assert [event.image_id for event in report.new] == [OTHER]
    assert [refused.where for refused in report.refused] == ["a.xml", "b.xml"]
    assert "a.xml and b.xml contradict each other" in report.refused[0].reason
    assert len(importer().compare([said(), said(where="b.xml")], []).new) == 1


@pytest.mark.parametrize(
    ("film", "reason"),
    [
        ("00000009_000.png", "film 00000009_000.png is not in the manifest"),
        ("00000005_000.png", r"film 00000005_000 is held out \(test\)"),
        ("00000006_000.png", "film 00000006_000 is in no split"),
    ],
)
def test_only_films_of_train_take_labels(film, reason):
    report = importer().compare([said(film, where="b.xml"), said()], [])
    assert [event.image_id for event in report.new] == [NAME]
    assert report.refused[0].where == "b.xml"
    with pytest.raises(AnnotationError, match=reason):
        raise AnnotationError(report.refused[0].reason)


def test_pseudonyms_of_films_lead_to_films():
    known = {"film-0011": NAME}
    (event,) = importer(name_film=known.get).compare([said("film-0011")], []).new
    assert event.image_id == NAME


def test_films_without_boxes_can_be_left_alone():
    empty, unreadable = FoundFilm("a", NAME, ()), FoundFilm("b", OTHER, (), verdict="unreadable")
    report = importer(skip_empty=True).compare([empty, unreadable], [])
    assert [event.verdict for event in report.new] == ["unreadable"]
    assert not report.refused


def test_no_finding_that_a_reader_chose_is_a_label_and_no_film_left_alone(tmp_path):
    unsaid = json.loads(task([], {"image": f"{OTHER}.png"}))
    chosen = json.loads(task([choice("No finding")]))
    (tmp_path / "tasks.json").write_text(json.dumps([*unsaid, *chosen]))
    found = list(READERS[Format.LABEL_STUDIO](tmp_path))
    assert [film.verdict for film in found] == [None, "no_finding"]
    (event,) = importer(skip_empty=True).compare(found, []).new
    assert (event.image_id, event.verdict) == (NAME, "no_finding")
    assert len(importer().compare(found, []).new) == 2


def test_cut_boxes_are_counted():
    report = importer().compare([said(x1=-20), said(OTHER)], [])
    assert report.cut == 1


def test_what_is_known_goes_out_and_nothing_else(tmp_path):
    box = {"label": "Mass", "x1": np.float32(10.1), "y1": 20.0, "x2": 30.0, "y2": 40.0}
    ids = [f"{number:08d}_000" for number in range(5)]
    labels = pd.DataFrame(
        {
            "image_id": ids,
            "split": ["train", "train", "train", "val", "test"],
            "state": ["labelled", "labelled", "pool", "labelled", "excluded"],
            "boxes": pd.Series([[box], [], None, [], None], dtype=object),
        }
    ).iloc[::-1]
    manifest = pd.DataFrame(
        {"image_id": ids, "path": [f"images/{i}.jpg" for i in ids], "width": 100, "height": 80}
    )
    films = known_labels(labels, manifest)
    assert [film.name for film in films] == [f"{ids[n]}.jpg" for n in (0, 1, 3)]
    assert films[0].boxes == (LabelledBox("Mass", 10.1, 20.0, 30.0, 40.0),)
    assert films[0].size == (100, 80)
    assert [film.name for film in known_labels(labels, manifest, "val")] == [f"{ids[3]}.jpg"]
    with pytest.raises(SourceError, match="no film whose labels are known"):
        export_labels(known_labels(labels, manifest, "test"), tmp_path / "x", Format.COCO)


@pytest.mark.parametrize("form", Format)
def test_nothing_is_overwritten(form, tmp_path):
    out = place(tmp_path, form)
    export_labels(FILMS, out, form)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(SourceError, match="is there already"):
        export_labels(FILMS[:1], out, form)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    if form in FOLDERS:
        (tmp_path / "empty").mkdir()
        export_labels(FILMS[1:], tmp_path / "empty", form)
        assert list((tmp_path / "empty").iterdir())


def test_targets_are_all_films_also_those_in_no_split():
    manifest = pd.DataFrame({"image_id": [NAME, OTHER], "width": 1024, "height": 768})
    splits = pd.DataFrame({"image_id": [NAME], "split": ["train"]})
    assert targets(manifest, splits) == {NAME: Target(SIZE, "train"), OTHER: Target(SIZE, None)}
