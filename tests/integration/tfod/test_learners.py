"""The learners of campaigns: the real trainer and the proxy, on a few films."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plugins.tiny_detector import film

from lungal.data.images import encode_png
from lungal.data.tfrecords import read_records
from lungal.detectors.proxy.learner import ProxyLearner
from lungal.detectors.proxy.shelf import fill_shelf, open_shelf
from lungal.detectors.tfod.backbone import Backbone
from lungal.detectors.tfod.learner import TfodLearner
from lungal.detectors.tfod.progress import Progress
from lungal.errors import DetectorError, ImageError
from lungal.evaluation.precision_recall import macro_ap
from lungal.params import (
    DetectParams,
    ModelParams,
    ProxyParams,
    SelectParams,
    SimulateParams,
    TrainParams,
)
from lungal.records import CLASSES, Detections, GroundTruth, LabelledBox
from lungal.simulation.arms import Arm
from lungal.simulation.campaign import Campaign
from lungal.simulation.films import Films
from lungal.simulation.learner import Learner
from lungal.simulation.reader import TrueReader
from lungal.simulation.training import Trainings

PROXY = ProxyParams(
    input_size=96,
    initial_weights="scratch",
    components=12,
    steps=60,
    batch_size=8,
    learning_rate=0.03,
    validate_every=30,
)
TRUTHS = [film(number)[1] for number in range(40)]
LEARN, VAL, TEST = TRUTHS[:24], TRUTHS[24:32], TRUTHS[32:]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return image_id to the stored film of 40 films with a square each."""
    folder = tmp_path_factory.mktemp("films")
    paths = {}
    for number in range(40):
        image, _ = film(number)
        paths[image.image_id] = folder / f"{image.image_id}.png"
        paths[image.image_id].write_bytes(encode_png(image.pixels))
    return paths


@pytest.fixture(scope="module")
def proxy(stored: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> ProxyLearner:
    learner = ProxyLearner(stored, "these", PROXY, DetectParams(), tmp_path_factory.mktemp("shelf"))
    learner.prepare(("turn_left",), lambda _done, _total: None)
    return learner


def names(truths: Sequence[GroundTruth]) -> list[str]:
    return [truth.image_id for truth in truths]


def check(found: Sequence[Detections], truths: Sequence[GroundTruth]) -> None:
    """Hold detections to what a campaign needs of them."""
    assert [seen.image_id for seen in found] == names(truths)
    lengths = {seen.embedding.shape for seen in found if seen.embedding is not None}
    assert len(lengths) == 1
    for seen in found:
        assert seen.embedding is not None
        assert seen.class_scores is not None
        assert len(seen.boxes) == len(seen.labels) == len(seen.class_scores) == len(seen)
        assert ((seen.boxes >= 0) & (seen.boxes <= 192)).all()


def same(first: Sequence[Detections], other: Sequence[Detections]) -> bool:
    return all(
        np.array_equal(a.boxes, b.boxes) and np.array_equal(a.scores, b.scores)
        for a, b in zip(first, other, strict=True)
    )


def test_the_proxy_learns_and_looks(proxy: ProxyLearner, tmp_path: Path) -> None:
    learner: Learner = proxy
    look = learner.learn(LEARN, VAL, seed=0, work=tmp_path)
    found = list(look(names(TEST), None))
    check(found, TEST)
    assert macro_ap(TEST, found, 0.3) > 0.2, "squares of eight sizes in eight places"
    again = learner.learn(LEARN, VAL, seed=0, work=tmp_path)
    assert same(found, list(again(names(TEST), None)))
    little = learner.learn(LEARN[:2], VAL, seed=0, work=tmp_path)
    assert macro_ap(TEST, list(little(names(TEST), None)), 0.3) < macro_ap(TEST, found, 0.3)


def test_a_view_is_seen_and_comes_back_to_the_film(proxy: ProxyLearner, tmp_path: Path) -> None:
    look = proxy.learn(LEARN, VAL, seed=0, work=tmp_path)
    straight, turned = (list(look(names(TEST), view)) for view in (None, "turn_left"))
    assert not same(straight, turned)
    for seen in turned:
        assert ((seen.boxes >= 0) & (seen.boxes <= 192)).all()


def test_features_are_computed_once(proxy: ProxyLearner) -> None:
    told: list[int] = []
    proxy.prepare(("turn_left",), lambda done, _total: told.append(done))
    assert told == []
    proxy.prepare(("turn_left", "shrink"), lambda done, _total: told.append(done))
    assert told == [*range(1, 41)]
    told.clear()
    other_films = replace(proxy, content="others")
    other_films.prepare((), lambda done, _total: told.append(done))
    assert told == [*range(1, 41)]


def test_keys_tell_learners_apart(proxy: ProxyLearner) -> None:
    others = [
        replace(proxy, params=PROXY.model_copy(update={"steps": 61})),
        replace(proxy, detect=DetectParams(score_threshold=0.02)),
    ]
    assert len({learner.key for learner in (proxy, *others)}) == 3
    assert replace(proxy, folder=Path("elsewhere")).key == proxy.key


def test_a_shelf_is_whole_or_not_there(stored: dict[str, Path], tmp_path: Path) -> None:
    broken = dict(stored)
    last = max(broken)
    broken[last] = tmp_path / "gone.png"
    with pytest.raises(ImageError, match=r"gone\.png"):
        list(fill_shelf(tmp_path / "shelf", broken, PROXY))
    assert not list(tmp_path.glob("*shelf*"))


def test_features_are_white_and_tell_films_apart(proxy: ProxyLearner) -> None:
    shelf = proxy.open(None)
    assert shelf.cells.shape == (40, 36, 24)
    flat = shelf.cells.reshape(-1, 24)[:, :12].astype(np.float64)
    assert np.abs(flat.mean(axis=0)).max() < 0.05
    assert np.abs(np.cov(flat, rowvar=False) - np.eye(12)).max() < 0.1
    assert np.linalg.norm(shelf.films, axis=1) == pytest.approx(1, abs=1e-5)
    assert (shelf.sizes == 192).all()
    assert open_shelf(proxy.folder / proxy._shelf(None).name).rows == shelf.rows


def test_random_weights_are_always_the_same() -> None:
    square = np.arange(96 * 96, dtype=np.uint8).reshape(96, 96)
    first, again = (next(iter(Backbone("scratch", 96).look([square]))) for _ in range(2))
    assert [maps.shape for maps in first] == [(6, 6, 576), (3, 3, 1280)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_weights_that_are_not_there_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="nowhere") as refused:
        list(Backbone(str(tmp_path / "nowhere.h5"), 96).look([np.zeros((96, 96), np.uint8)]))
    assert len(str(refused.value).splitlines()) == 1


def record_sides(folder: Path) -> set[int]:
    return {side for image, _ in read_records(folder) for side in image.pixels.shape}


@pytest.mark.slow
def test_the_real_trainer_learns_and_looks(
    stored: dict[str, Path], tiny_model: ModelParams, tiny_train: TrainParams, tmp_path: Path
) -> None:
    train = tiny_train.model_copy(update={"steps": 10, "patience": 1})
    learner: Learner = TfodLearner(stored, tiny_model, train, DetectParams(), 1.5)
    look = learner.learn(LEARN[:8], VAL[:4], seed=0, work=tmp_path)
    found = list(look(names(TEST), None))
    check(found, TEST)
    sides = {split: record_sides(tmp_path / split) for split in ("train", "val")}
    assert sides == {"train": {144}, "val": {96}}, "validation sees what serving sees"
    (turned,) = look(names(TEST[:1]), "turn_left")
    assert turned.image_id == TEST[0].image_id
    goes_on = learner.learn(LEARN[:8], VAL[:4], seed=0, work=tmp_path)
    assert same(found, list(goes_on(names(TEST), None))), "a finished training is not done again"
    trained = Progress.load(tmp_path / "training")
    assert max(trained.validations) == 10
    good = dict.fromkeys(trained.validations[10], 0.5)
    trained.validations |= dict.fromkeys((8, 9, 10), good)  # two of them are no better
    assert not trained.exhausted, "trainings of a campaign take as many steps, all of them"


@pytest.mark.slow
def test_the_real_trainer_plays_a_campaign(
    stored: dict[str, Path], tiny_model: ModelParams, tiny_train: TrainParams, tmp_path: Path
) -> None:
    train = tiny_train.model_copy(update={"steps": 6, "validate_every": 6})
    learner = TfodLearner(stored, tiny_model, train, DetectParams(), 1.5)
    truth = {
        known.image_id: tuple(
            LabelledBox(CLASSES[label], *box)
            for box, label in zip(known.boxes.tolist(), known.labels.tolist(), strict=True)
        )
        for known in TRUTHS
    }
    sizes = dict.fromkeys(truth, (192, 192))
    films = Films(
        train=tuple(names(LEARN)),
        val=tuple(names(VAL)),
        test=tuple(names(TEST)),
        patients={name: name[:8] for name in truth},
        reports={},
        sizes=sizes,
        stored="these",
        content="these",
    )
    folder = tmp_path / "trainings"
    trainings = Trainings(learner, films, TrueReader(truth, sizes, 0.2, 10), (), 3, folder)
    campaign = Campaign(trainings, SimulateParams(rounds=1, initial=8, budget=5), 0.4)
    arm = Arm("claspd", SelectParams(strategy="entropy", selector="claspd", budget=5))
    played = campaign.play(arm, 0)
    assert [(at.round, at.films, at.boxes) for at in played.points] == [(0, 8, 8), (1, 13, 13)]
    chosen = {pick.image_id for pick in played.picks}
    assert len(chosen) == 5
    assert chosen <= set(films.train) - campaign.initial(0)
    assert all(0 <= at.score <= 1 for at in played.points)
    assert played.points[1].seconds > 5 * 9, "nine seconds a film, and the boxes"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert campaign.play(arm, 0) == played, "what was seen is kept, float by float"
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert not list(folder.glob("*.work")), "no model is left behind"
