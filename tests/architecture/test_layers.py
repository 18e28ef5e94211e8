"""The drawing in docs/architecture.md, as tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = {
    "tensorflow": {"lungal/detectors/tfod", "lungal/data/tfrecords.py"},
    "object_detection": {"lungal/detectors/tfod"},
    "mlflow": {"lungal/tracking"},
    "optuna": {"lungal/tuning", "lungal/tuning.py"},
    "label_studio_sdk": {"lungal/annotation/label_studio.py"},
    "cv2": {"lungal/data/images.py"},
    "simplejpeg": {"lungal/data/encoded.py"},
    "jinja2": {"lungal/simulation/page.py"},
    "matplotlib": {
        "lungal/evaluation/campaign_figures.py",
        "lungal/evaluation/curve_figures.py",
        "lungal/evaluation/figures.py",
        "lungal/evaluation/froc_figures.py",
        "lungal/evaluation/reader_figures.py",
    },
    "fastapi": {"lungal/annotation/prediction_app.py"},
    "globox": {"lungal/data/interchange"},
    "cleanlab": {"lungal/evaluation/label_quality.py"},
    "boto3": {"lungal/annotation/bucket.py"},
    "kagglesdk": {"lungal/data/sources/kaggle.py"},
}


def sources():
    return [*(ROOT / "lungal").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_imports_run_downward():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("framework", ADDRESSES)
def test_each_framework_has_one_address(framework):
    users = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if any(name.split(".")[0] == framework for name in imported(path))
    }
    assert users, f"nobody uses {framework}"
    strays = {user for user in users if not user.startswith(tuple(ADDRESSES[framework]))}
    assert not strays


def test_the_command_line_starts_without_the_heavy_frameworks():
    code = "import sys, lungal.cli; print([n for n in sys.argv[1:] if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, *ADDRESSES, "dvc"], capture_output=True, text=True, check=True
    )
    loaded = ast.literal_eval(done.stdout)
    assert not set(loaded) - {"cv2", "simplejpeg"}, loaded
