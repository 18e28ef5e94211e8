"""Pascal VOC XML as labelImg reads and writes it: a file for each film, boxes in whole pixels.

The Pascal VOC devkit counts pixels from 1 and takes the last one in; labelImg counts edges from 0,
as lungal does, and so do these files. labelImg cuts fractions off where it reads them, so they are
rounded where they are written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from lungal.data.files import whole_folder
from lungal.data.interchange.film import (
    XYXY,
    Found,
    FoundBox,
    FoundFilm,
    LabelledFilm,
    label_files,
    number,
    stated_size,
    unfit_if_broken,
)
from lungal.errors import AnnotationError
from lungal.records import LabelledBox

SIDES = ("xmin", "ymin", "xmax", "ymax")


def write_voc(folder: Path, films: Sequence[LabelledFilm]) -> None:
    """Write an XML file for each film, also for those without boxes.

    Args:
        folder: written whole or not at all; what was in it is gone.
        films: whose names differ by more than their extension.
    """
    with whole_folder(folder) as temporary:
        for film in films:
            root = _annotation(film)
            ET.indent(root, "\t")
            file = temporary / Path(film.name).with_suffix(".xml")
            file.write_text(ET.tostring(root, "unicode") + "\n", encoding="utf-8")


def read_voc(path: Path) -> Iterator[Found]:
    """Yield what an XML file, or all below a folder, say of their films.

    Raises:
        SourceError: if there is no such file.
    """
    for file in label_files(path, ".xml"):
        yield from unfit_if_broken(str(file), _read(file))


def whole_pixels(box: XYXY) -> XYXY:
    """Return a box with its edges at the nearest pixels; a side that would vanish stays as it is.

    Args:
        box: pixels, xyxy.
    """
    x1, y1, x2, y2 = (float(round(edge)) for edge in box)
    if x1 == x2:
        x1, x2 = box[0], box[2]
    if y1 == y2:
        y1, y2 = box[1], box[3]
    return x1, y1, x2, y2


def _annotation(film: LabelledFilm) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, "folder", "images")
    _add(root, "filename", film.name)
    _add(_add(root, "source"), "database", "Unknown")
    size = _add(root, "size")
    for name, value in (("width", film.width), ("height", film.height), ("depth", 1)):
        _add(size, name, str(value))
    _add(root, "segmented", "0")
    for box in film.boxes:
        _add_object(root, box, film)
    return root


def _add_object(root: ET.Element, box: LabelledBox, film: LabelledFilm) -> None:
    edges = whole_pixels(box.xyxy)
    x1, y1, x2, y2 = edges
    cut_off = min(x1, y1) <= 1 or x2 >= film.width or y2 >= film.height  # labelImg's rule
    node = _add(root, "object")
    _add(node, "name", box.label)
    _add(node, "pose", "Unspecified")
    _add(node, "truncated", str(int(cut_off)))
    _add(node, "difficult", "0")
    frame = _add(node, "bndbox")
    for side, edge in zip(SIDES, edges, strict=True):
        _add(frame, side, f"{edge:.12g}")


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    node = ET.SubElement(parent, name)
    node.text = text
    return node


def _read(file: Path) -> Iterator[Found]:
    try:
        root = ET.fromstring(file.read_bytes())  # noqa: S314  expat limits expansion
    except OSError as error:
        raise AnnotationError(f"cannot be read: {error.strerror}") from None
    except (ET.ParseError, LookupError, ValueError) as error:
        raise AnnotationError(f"no XML: {error}") from None
    if root.tag != "annotation":
        raise AnnotationError(f"is no Pascal VOC file: it holds <{root.tag}>, not <annotation>")
    film = (root.findtext("filename") or "").strip() or file.stem
    size = stated_size(root.findtext("size/width"), root.findtext("size/height"))
    if size is None:
        raise AnnotationError("does not say the width and height of the film")
    yield FoundFilm(str(file), film, tuple(map(_box, root.iter("object"))), size=size)


def _box(node: ET.Element) -> FoundBox:
    label = (node.findtext("name") or "").strip()
    frame = node.find("bndbox")
    if frame is None:
        raise AnnotationError(f"the object {label!r} has no bndbox")
    x1, y1, x2, y2 = (number(frame.findtext(side), side) for side in SIDES)
    return FoundBox(label, (x1, y1, x2, y2))
