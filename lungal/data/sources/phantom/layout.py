"""The tables of a phantom folder, as NIH writes them, byte for byte."""

from collections.abc import Iterable
from pathlib import Path

from lungal.boxes import as_boxes, to_xywh
from lungal.data.sources.phantom.population import Case
from lungal.records import Truth

IMAGES = "images"
BOXES = "BBox_List_2017.csv"
ENTRIES = "Data_Entry_2017_v2020.csv"
OFFICIAL_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
KNOWN_NEGATIVE = "truth_no_finding.txt"
"""Films known to be without finding, one name a line: in NIH's own folder there is no such list.

NIH says so through the image-level label "No Finding". The phantom's image-level labels are noisy
on purpose, so that what is true must be said elsewhere.
"""

_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
_ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_IN_ENTRIES = {"Infiltrate": "Infiltration"}
# Plates of NIH's scanners: width and height in pixels, pixel spacing in mm.
_PLATES = {"PA": "2992,2991,0.143,0.143", "AP": "2500,2048,0.168,0.168"}


def write_tables(folder: Path, cases: Iterable[Case], truth: Truth) -> None:
    """Write everything but the images.

    Args:
        folder: where the tables go; it must be there.
        cases: all films, in the order of their rows.
        truth: the boxes of every film; none for a film without finding.
    """
    cases = list(cases)
    _write(
        folder / BOXES, [_BOX_HEADER, *(row for case in cases for row in _box_rows(case, truth))]
    )
    _write(folder / ENTRIES, [_ENTRY_HEADER, *map(_entry_row, cases)])
    _write(folder / KNOWN_NEGATIVE, [file_name(case) for case in cases if not case.findings])
    for split, name in OFFICIAL_LISTS.items():
        films = [file_name(case) for case in cases if case.patient.official_split == split]
        (folder / name).write_text("\n".join(films), encoding="ascii")  # NIH's end without newline


def file_name(case: Case) -> str:
    """Return the name of a film's file, which NIH's tables call its image index."""
    return f"{case.image_id}.png"


def _box_rows(case: Case, truth: Truth) -> Iterable[str]:
    for box in truth[case.image_id]:
        x, y, width, height = to_xywh(as_boxes([box.xyxy]))[0]
        yield f"{file_name(case)},{box.label},{x:.4f},{y:.4f},{width:.4f},{height:.4f}"


def _entry_row(case: Case) -> str:
    patient = case.patient
    fields = (
        file_name(case),
        _weak_label(case.weak_findings),
        str(case.follow_up),
        str(patient.number),
        str(patient.age + case.follow_up // 2),
        patient.sex,
        case.view,
        _PLATES[case.view],
    )
    return ",".join(fields)


def _weak_label(findings: tuple[str, ...] | None) -> str:
    if findings is None:
        return ""
    return "|".join(_IN_ENTRIES.get(name, name) for name in findings) or "No Finding"


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="")
