"""DVC does not follow imports: each stage must name every module whose change could change it."""

from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

WITHOUT_INFLUENCE = (
    "lungal.errors",  # words
    "lungal.params",  # DVC tracks the values themselves, and params.yaml spells every one
    "lungal.paths",  # dvc.yaml itself
    "lungal.tracking",  # logs what was computed
    "lungal.testing",
    "pipelines.stage",
    "pipelines.round_run",
)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("lungal", "pipelines")


def influences(graph, stage):
    """The modules that a stage runs, directly or not, but for those that only log or complain."""
    todo, seen = {f"pipelines.{stage}"}, set()
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= {
            found
            for found in graph.find_modules_directly_imported_by(module)
            if not found.startswith(WITHOUT_INFLUENCE)
        } - seen
    return {module for module in seen if path_of(module).name != "__init__.py"}


def path_of(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_what_the_stage_imports(graph, stage):
    listed = {ROOT / dep for dep in STAGES[stage].get("do", STAGES[stage])["deps"]}
    modules = {path_of(module) for module in influences(graph, stage)}
    missing = {
        path.relative_to(ROOT).as_posix()
        for path in modules
        if not ({path, *path.parents} & listed)
    }
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_nothing_that_is_gone_or_unused(graph, stage):
    body = STAGES[stage].get("do", STAGES[stage])
    code = [ROOT / dep for dep in body["deps"] if dep.startswith(("lungal/", "pipelines/"))]
    modules = {path_of(module) for module in influences(graph, stage)}
    idle = {
        dep.relative_to(ROOT).as_posix()
        for dep in code
        if not any(dep == path or dep in path.parents for path in modules)
    }
    assert not idle


def test_every_stage_has_a_module_and_every_module_a_stage():
    helpers = {"__init__", "stage", "round_run", "examined", "gallery", "candidates"}
    helpers |= {"campaign_report"}
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - helpers
    assert modules == set(STAGES)
