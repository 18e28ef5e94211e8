"""`lungal evaluate` with a tiny model that was really trained, on folders and files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nih_folder import ENTRIES
from plugins.changed_params import change_params
from plugins.tiny_detector import film

from lungal.cli.main import main
from lungal.data.images import encode_png
from lungal.data.learnt_from import LearntFrom, write_learnt_from
from lungal.detectors.tfod.infer import load_detector
from lungal.evaluation.measures import measures
from lungal.evaluation.precision_recall import macro_ap
from lungal.params import DetectParams, EvaluateParams
from lungal.records import CLASSES
from lungal.tracking import MlflowRegistry, Tracker, tracking_uri

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
FILMS = range(40, 56)  # that the tiny detector was not trained on
SEXES, VIEWS, AGES = "MF", ("PA", "AP"), (9, 30, 50, 70)


def name(number):
    return f"{number:08d}_000"


def described(number):
    return {"view": VIEWS[number % 2], "sex": SEXES[number % 3 == 0], "age": AGES[number % 4]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's root: params.yaml with few draws, and dvc.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    few = {"bootstrap": 10, "working_score": 0.02}
    change_params(tmp_path, evaluate=few, data={"tolerance": 0.2})
    return tmp_path


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    """An NIH folder: films of 1024 pixels with a square each; one has none."""
    root = tmp_path_factory.mktemp("nih")
    (root / "images").mkdir()
    rows, entries = [], []
    for number in FILMS:
        image, truth = film(number)
        pixels = np.pad(np.kron(image.pixels, np.ones((5, 5), np.uint8)), ((0, 64), (0, 64)))
        pixels = np.clip(pixels.astype(int) + 2 * (number - 40), 0, 255).astype(np.uint8)
        (root / "images" / f"{name(number)}.png").write_bytes(encode_png(pixels))
        x1, y1, x2, y2 = (5 * truth.boxes[0]).tolist()
        finding = CLASSES[truth.labels[0]] if number > 40 else "No Finding"
        if number > 40:
            rows.append(f"{name(number)}.png,{finding},{x1},{y1},{x2 - x1},{y2 - y1}")
        known = described(number)
        age, sex, view = known["age"], known["sex"], known["view"]
        entries.append(f"{name(number)}.png,{finding},0,{number},{age},{sex},{view}")
    header = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    (root / "BBox_List_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([ENTRIES, *entries]) + "\n")
    return root


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """A COCO file of the same films as they were drawn, 192 pixels, in a folder of their own."""
    root = tmp_path_factory.mktemp("coco")
    (root / "films").mkdir()
    document = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": k, "name": label} for k, label in enumerate(CLASSES, start=1)]
    for number in FILMS:
        image, truth = film(number)
        (root / "films" / f"{name(number)}.png").write_bytes(encode_png(image.pixels))
        size = {"width": image.width, "height": image.height, "patient_id": f"p{number // 2}"}
        document["images"].append(
            {"id": number, "file_name": f"{name(number)}.png"} | size | described(number)
        )
        x1, y1, x2, y2 = truth.boxes[0].tolist()
        box = {"id": number, "image_id": number, "category_id": int(truth.labels[0]) + 1}
        document["annotations"].append(box | {"bbox": [x1, y1, x2 - x1, y2 - y1]})
    (root / "labels.json").write_text(json.dumps(document))
    return root / "labels.json"


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def numbers(document, field="numbers"):
    return pd.DataFrame(document[field]).set_index(["measure", "at", "of"])


def test_a_coco_file_with_another_model_and_the_protocol(
    project, coco, tiny_exported, capfd, tmp_path
):
    films = coco.parent / "films"
    options = ("--images", films, "--out", "found.json", "--protocol", "wsrpn")
    assert evaluate(tiny_exported, "--data", coco, *options, "--against", tiny_exported) == 0
    said = capfd.readouterr()
    document = json.loads((project / "found.json").read_text())
    version = json.loads((tiny_exported / "run.json").read_text())["model_version"]
    assert (document["model_version"], document["against"]) == (version, version)
    assert (document["films"], document["patients"], document["boxes"]) == (16, 8, 16)
    assert (document["refused"], document["ignored_boxes"]) == ([], 0)

    detector = load_detector(tiny_exported, DetectParams())
    images, truths = zip(*map(film, FILMS), strict=True)
    expected = macro_ap(truths, list(detector.detect(images)), 0.4)
    table = numbers(document)
    ap = table.loc["ap", "0.4", "macro average"]
    assert ap["value"] == pytest.approx(expected, abs=1e-6)
    assert ap["low"] <= ap["high"]
    assert set(table.index.get_level_values("measure")) == {
        measure.name for measure in measures(EvaluateParams())
    }
    assert (numbers(document, "differences")["value"].dropna() == 0).all()
    assert document["protocol"]["ap30"]["mean"] is not None
    assert set(document["protocol"]) >= {"ap30", "ap50", "rodeo", "accuracy_iou30"}

    assert f"{version} on 16 films of 8 patients, 16 boxes" in " ".join(said.out.split())
    for word in ("macro average", "exposure", "65 and over", "WSRPN's protocol", "minus"):
        assert word in said.out, word
    assert "ten patient-disjoint halves of 16 films with 16 boxes" in " ".join(said.out.split())
    assert "not the 880 films with 984 boxes of the paper" in " ".join(said.out.split())
    assert "all numbers are in found.json" in said.err


def test_an_nih_folder_by_view_sex_age_and_exposure(project, nih, tiny_exported, capfd):
    assert evaluate(tiny_exported, "--data", nih) == 0
    document = json.loads((project / "evaluation.json").read_text())
    assert (document["films"], document["boxes"], document["protocol"]) == (16, 15, {})
    assert document["differences"] == []
    groups = pd.DataFrame(document["groups"]).set_index(["by", "value"])
    counts = groups["films"]
    assert counts["view"].to_dict() == {"AP": 8, "PA": 8}
    assert counts["sex"].sum() == 16
    assert counts["age"].to_dict() == dict.fromkeys(["0-17", "18-39", "40-64", "65 and over"], 4)
    assert list(counts["exposure"].index) == ["low", "middle", "high"]
    assert counts["exposure"].between(5, 6).all()
    assert groups.loc[("view", "PA"), "boxes"] == 7  # film 40 has none
    assert (groups["false_positives"] > 0).any()
    assert numbers(document).loc["ap", "0.4", "macro average"]["value"] > 0
    assert "protocol" not in capfd.readouterr().out


def test_a_registered_model_by_alias_version_and_number(
    project, coco, tiny_exported, capfd, monkeypatch
):
    film_of_one = json.loads(coco.read_text())
    film_of_one["images"] = film_of_one["images"][:2]
    film_of_one["annotations"] = film_of_one["annotations"][:2]
    (project / "two.json").write_text(json.dumps(film_of_one))
    options = ("--data", project / "two.json", "--images", coco.parent / "films")
    assert evaluate("candidate", *options) == 1
    assert "there is no candidate in the registry" in capfd.readouterr().err
    version = json.loads((tiny_exported / "run.json").read_text())["model_version"]
    run = Tracker(tracking_uri(project, {}), project / "outbox").open_round("k", 1)
    run.log_model(
        tiny_exported,
        version,
        loader="lungal.detectors.tfod.infer:load_detector",
        detect=DetectParams(),
        example=film(0)[0].pixels,
    )
    run.end()
    assert MlflowRegistry(tracking_uri(project, {})).versions()[0].name == version
    for model in ("candidate", version, "1"):
        assert evaluate(model, *options, "--out", f"{model}.json") == 0
        found = json.loads((project / f"{model}.json").read_text())
        assert (found["model_version"], found["films"]) == (version, 2)
    assert evaluate("r9-00000000", *options) == 1
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("lungal: r9-00000000 is no model folder and no registered model; known:")
    assert version in said


def test_films_of_patients_that_a_model_learnt_from_are_left_out(
    project, coco, tiny_exported, capfd
):
    model = shutil.copytree(tiny_exported, project / "knowing")
    data = ("--data", coco, "--images", coco.parent / "films")
    learnt = LearntFrom.of({name(40): "elsewhere", "other": "p22"})  # p22 has films 44 and 45
    write_learnt_from(model, learnt)
    for arguments in ((model,), (tiny_exported, "--against", model)):
        assert evaluate(*arguments, *data, "--out", "new.json") == 0
        document = json.loads((project / "new.json").read_text())
        assert document["films"] == 13
        assert document["met"] == ([name(40), name(44), name(45)] if len(arguments) == 1 else None)
        said = " ".join(capfd.readouterr().out.split())
        assert ("left out 3 films of patients that a model learnt from" in said) is (
            len(arguments) == 1
        )
        assert ("may be among these" in said) is (len(arguments) > 1)
    assert evaluate(model, *data, "--all-films", "--out", "all.json") == 0
    assert json.loads((project / "all.json").read_text())["films"] == 16

    by_nih_s_name = LearntFrom.of({"another film": f"{42:08d}"})  # the file calls the patient p21
    write_learnt_from(model, by_nih_s_name)
    assert evaluate(model, *data, "--out", "named.json") == 0
    assert json.loads((project / "named.json").read_text())["met"] == [name(42)]

    write_learnt_from(model, LearntFrom.of({name(number): "p" for number in FILMS}))
    assert evaluate(model, *data, "--out", "none.json") == 1
    assert "all 16 films are of patients that the model learnt from" in capfd.readouterr().err
    (model / "learnt_from.json").write_text('{"films": []}')
    assert evaluate(model, *data, "--out", "none.json") == 1
    assert "learnt_from.json is damaged" in capfd.readouterr().err
    assert not (project / "none.json").exists()


def test_bad_input_is_one_line_and_nothing_is_written(project, coco, tiny_exported, capfd):
    films = coco.parent / "films"
    cases = [
        ((tiny_exported, "--data", project / "gone"), 2, "gone does not exist; known: a folder"),
        ((tiny_exported, "--data", coco, "--images", project / "no"), 2, "no folder of films at"),
        ((project, "--data", coco, "--images", films), 1, "is no model folder (no run.json)"),
        ((tiny_exported, "--data", coco, "--images", films, "--protocol", "voc"), 2, "'voc'"),
        ((tiny_exported, "--data", films), 2, "BBox_List_2017"),
        ((tiny_exported, "--data", coco, "--out", films), 2, "is a folder; --out names a file"),
        (
            (tiny_exported, "--data", coco, "--no-finding", 3),
            2,
            "--no-finding 3 is of NIH's",
        ),
    ]
    for arguments, code, words in cases:
        assert evaluate(*arguments) == code, arguments
        said = capfd.readouterr().err.strip().splitlines()
        assert said[-1].startswith("lungal: "), said
        assert words in said[-1]
    (project / "bad.json").write_text(coco.read_text().replace('"Mass"', '"Lump"'))
    assert evaluate(tiny_exported, "--data", "bad.json", "--images", films) == 0  # 2 of 16 films
    captured = capfd.readouterr()
    assert "left out" in captured.out
    assert "unknown finding 'Lump'" in captured.out
    assert len(json.loads((project / "evaluation.json").read_text())["refused"]) == 2
    (project / "evaluation.json").unlink()
    text = coco.read_text().replace('"Mass"', '"Lump"').replace('"Nodule"', '"Spot"')
    (project / "bad.json").write_text(text)
    assert evaluate(tiny_exported, "--data", "bad.json", "--images", films) == 1
    assert "4 of 16 films of bad.json cannot be used" in capfd.readouterr().err
    assert not (project / "evaluation.json").exists()
    assert evaluate(tiny_exported, "--data", "bad.json", "--images", films, "--ignore-other") == 0
    assert json.loads((project / "evaluation.json").read_text())["ignored_boxes"] == 4
