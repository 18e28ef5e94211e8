"""Campaigns of phantoms that are kept are found by their names, whichever processor draws films."""

from pathlib import Path

import pandas as pd
import pytest

from lungal.data.manifest import write_manifest, write_truth
from lungal.data.sources.phantom import origin
from lungal.data.sources.phantom.population import Case, plan
from lungal.data.splits import split_patients, write_splits
from lungal.params import Params
from lungal.records import LabelledBox
from lungal.simulation.arms import arms_of
from lungal.simulation.chains import chain_name
from lungal.simulation.preset import read_preset
from pipelines.simulate import set_up
from pipelines.stage import PATHS

KEPT = Path(__file__).parents[3] / "benchmarks" / "campaigns" / "phantom"
IMAGENET = "c009b1f1262c1f55"
"""What hash_initial says of MobileNetV2's weights, which only some machines have."""


def rows(cases: list[Case]) -> pd.DataFrame:
    """Return a manifest of phantoms that nobody drew, with what names of campaigns hold of it."""
    return pd.DataFrame(
        {
            "image_id": case.image_id,
            "patient_id": case.patient.patient_id,
            "path": f"images/{case.image_id}.png",
            "sha256": "not drawn",
            "width": 1024,
            "height": 1024,
            "view": None,
            "sex": None,
            "age": None,
            "findings": None if case.weak_findings is None else list(case.weak_findings),
            "source": "phantom",
            "official_split": None,
        }
        for case in cases
    )


def test_all_that_are_kept_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lungal.detectors.tfod.learner.hash_initial", lambda _model: IMAGENET)
    params = Params.model_validate(read_preset("phantom"))
    cases = plan(params.data.phantom)
    manifest = rows(cases)
    box = (10.0, 10.0, 30.0, 30.0)  # another than is drawn
    truth = {c.image_id: tuple(LabelledBox(name, *box) for name in c.findings) for c in cases}
    PATHS.manifest.parent.mkdir()
    write_manifest(PATHS.manifest, manifest, drawn_from=origin(params.data.phantom))
    write_truth(PATHS.truth, truth)
    write_splits(PATHS.splits, split_patients(manifest, params.split))
    campaign = set_up(params)
    turns = [(arm, seed) for arm in [*arms_of(params), None] for seed in params.simulate.seeds]
    names = {chain_name(campaign, arm, seed) for arm, seed in turns}
    assert names == {path.name for path in KEPT.iterdir()}
