from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from lungal.acquisition.selection import SELECTORS
from lungal.acquisition.strategies import STRATEGIES
from lungal.errors import ParamsError, UnknownNameError
from lungal.params import Architecture, ModelParams, Params, Selector, Strategy, load_params

FILE = Path(__file__).resolve().parents[2] / "params.yaml"


def changed(tmp_path, change):
    raw = yaml.safe_load(FILE.read_text())
    change(raw)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def space(raw):
    return raw["profiles"]["gpu"]["tune"]["space"]


def test_names_are_those_of_the_strategies_and_selectors_there_are():
    assert get_args(Strategy) == tuple(STRATEGIES)
    assert get_args(Selector) == tuple(SELECTORS)


def test_centernet_is_searched_for_what_it_has(tmp_path):
    def choose(raw):
        raw["profile"] = "gpu"
        raw["profiles"]["gpu"]["model"]["architecture"] = "centernet_resnet50_v2"

    params = load_params(changed(tmp_path, choose))
    space = params.tune.space
    assert (space.focal_alpha, space.focal_gamma, space.anchor_scale) == (None, None, None)
    assert space.learning_rate is not None
    assert params.tune.trials > 0
    assert load_params(FILE).tune.space.anchor_scale is not None


def test_the_shipped_file_is_valid_and_its_profile_resolves():
    params = load_params(FILE)
    assert params.profile == "demo"
    assert params.model == params.profiles["demo"].model
    assert set(params.profiles) == {"demo", "cpu", "gpu"}


def test_every_key_stands_in_the_file():
    # `dvc exp run -S` can only set what is there, and nobody should look for a hidden default.
    def missing(section: BaseModel, raw, where=""):
        for name in type(section).model_fields:
            value = getattr(section, name)
            if name not in raw:
                yield f"{where}{name}"
            elif isinstance(value, BaseModel):
                yield from missing(value, raw[name], f"{where}{name}.")
            elif isinstance(value, dict):
                sections = {k: v for k, v in value.items() if isinstance(v, BaseModel)}
                for key, inner in sections.items():
                    yield from missing(inner, raw[name][key], f"{where}{name}.{key}.")

    raw = yaml.safe_load(FILE.read_text())
    assert list(missing(load_params(FILE), raw)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw["data"].update(sourse="nih"), "data.sourse: unknown key 'sourse'"),
        (
            lambda raw: raw["profiles"]["demo"]["train"].update(learning_rat=1),
            "profiles.demo.train.learning_rat: unknown key",
        ),
        (lambda raw: raw.pop("split"), "split: is missing"),
        (lambda raw: raw["split"].update(val=0.6, test=0.5), "val + test must be below 1"),
        (lambda raw: raw["select"].update(budget=0), "select.budget"),
        (lambda raw: raw["profiles"]["gpu"]["model"].update(input_size=100), "input_size"),
        (
            lambda raw: raw["profiles"]["gpu"]["model"].update(architecture="yolo"),
            "'ssd_mobilenet_v2'",
        ),
        (lambda raw: raw["simulate"].update(seeds=[2, 0, 2]), "simulate.seeds: 2 is named twice"),
        (lambda raw: raw["data"].update(source="png"), "'phantom' or 'nih'"),
        (lambda raw: raw["select"].update(strategy="boldness"), "select.strategy: Input should be"),
        (lambda raw: raw["select"].update(selector="best"), "or 'typicality', got 'best'"),
        (
            lambda raw: raw["select"].update(difficulty={"Hernia": 1}),
            "select.difficulty: unknown finding 'Hernia'; known: Atelectasis",
        ),
        (
            lambda raw: raw["select"].update(difficulty="hard"),
            "select.difficulty: Input should be 'none' or 'validation', got 'hard'",
        ),
        (
            lambda raw: raw["select"].update(label_precision={"Hernia": 1}),
            "select.label_precision: unknown finding 'Hernia'",
        ),
        (lambda raw: raw["evaluate"].update(seed=-1), "evaluate.seed"),
        (lambda raw: raw["evaluate"].update(iou=[]), "evaluate.iou"),
        (
            lambda raw: raw["profiles"]["gpu"]["train"].update(learning_rate=float("inf")),
            "profiles.gpu.train.learning_rate: Input should be a finite number",
        ),
        (
            lambda raw: raw["profiles"]["gpu"]["train"]["anchors"].update(aspect_ratios=[]),
            "profiles.gpu.train.anchors.aspect_ratios",
        ),
        (lambda raw: space(raw).update(learning_rate=[0, 0.01]), "tune.space.learning_rate.0"),
        (lambda raw: space(raw).update(focal_alpha=[0.25, 1.5]), "tune.space.focal_alpha.1"),
        (
            lambda raw: space(raw).update(brightness=[0.3, 0.1]),
            "tune.space.brightness: the low end 0.3 is above the high end 0.1",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, change, said):
    with pytest.raises(ParamsError) as caught:
        load_params(changed(tmp_path, change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("cheat", {"control": "oracle"}, "arms.cheat.control is 'oracle': the arms shuffled and"),
        ("oracle", {}, "arms.oracle.control is None"),
        ("oracle", {"control": "shuffled"}, "arms.oracle.control is 'shuffled'"),
        (
            "oracle",
            {"control": "orakel"},
            "control is 'orakel', not shuffled or oracle",
        ),
        ("oracle", {"control": "oracle", "selector": "claspd"}, "selector is 'claspd', not topk"),
        ("random", {}, "arms.random.selector is 'claspd': an arm of this name chooses by lot"),
        ("full", {"selector": "claspd"}, "arms.full: the arm of this name is trained on all"),
    ],
)
def test_an_arm_is_what_its_name_says(tmp_path, name, changes, said):
    path = changed(tmp_path, lambda raw: raw["simulate"]["arms"].update({name: changes}))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_control_goes_by_scores_whatever_the_project_chooses_by(tmp_path):
    control = {"control": "oracle"}
    path = changed(tmp_path, lambda raw: raw["simulate"]["arms"].update(oracle=control))
    assert load_params(path).arms["oracle"].selector == "topk"


def test_what_a_file_leaves_out_of_select_is_as_in_the_one_that_comes_with_lungal(tmp_path):
    path = changed(tmp_path, lambda raw: raw.update(select={}))
    assert load_params(path).select == load_params(FILE).select


def test_an_unknown_profile_lists_the_known_ones(tmp_path):
    path = changed(tmp_path, lambda raw: raw.update(profile="tpu"))
    with pytest.raises(UnknownNameError, match=r"unknown profile 'tpu'; known: demo, cpu, gpu"):
        load_params(path)


def test_a_missing_or_broken_file_is_one_line(tmp_path):
    with pytest.raises(ParamsError, match="is missing"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1,\n b")
    with pytest.raises(ParamsError, match="is not YAML") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_architectures_accept_a_usual_size(architecture):
    assert ModelParams(architecture=architecture, input_size=512).input_size == 512


def test_architectures_refuse_a_size_that_their_pyramid_cannot_halve():
    with pytest.raises(ValueError, match="multiple of 128"):
        ModelParams(architecture="efficientdet_d0", input_size=320)
    with pytest.raises(ValueError, match="above 128"):
        ModelParams(architecture="ssd_resnet50_fpn", input_size=128)


def test_params_are_frozen():
    params = load_params(FILE)
    with pytest.raises(ValueError, match="frozen"):
        params.data.source = "nih"
    assert isinstance(params, Params)
