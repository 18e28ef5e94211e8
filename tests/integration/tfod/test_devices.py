"""One training on several devices, by several workers, and in bfloat16."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plugins.trainable_project import PATHS, lay_out, start_training

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.devices import check_shares, use_bfloat16
from lungal.errors import ParamsError
from lungal.params import ModelParams, TrainParams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAIN = """
import json, sys
from pathlib import Path
from lungal.detectors.tfod import compat
compat.install()
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_visible_devices([], "GPU")
devices, records, work, model, train = sys.argv[1:]
logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
tf.config.set_logical_device_configuration(cpu, logical)

import numpy as np
from lungal.data.tfrecords import read_records
from lungal.detectors.tfod.devices import make_strategy
from lungal.detectors.tfod.infer import SavedModelDetector
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import DetectParams, ModelParams, TrainParams
from lungal.records import CLASSES

records, work, seen, policies = Path(records), Path(work), [], set()

def on_step(step, metrics):
    seen.append((step, dict(metrics)))
    policies.add(tf.keras.mixed_precision.global_policy().name)

best = TfodTrainer().fit(
    records / "train", records / "val", ModelParams.model_validate_json(model),
    TrainParams.model_validate_json(train), work=work / "training",
    on_step=on_step,
)
weights = TfodTrainer().export(work / "training", work / "detector")
run = {"model_version": f"r1-{weights[:8]}", "classes": CLASSES, "input_size": 96}
(work / "detector/run.json").write_text(json.dumps(run))
detector = SavedModelDetector(work / "detector", DetectParams(score_threshold=0.0))
found = list(detector.detect(image for image, _ in read_records(records / "val")))
print(json.dumps({
    "replicas": make_strategy().num_replicas_in_sync, "seen": seen, "best": best,
    "policies": sorted(policies), "after": tf.keras.mixed_precision.global_policy().name,
    "boxes": sum(len(film) for film in found),
    "finite": all(bool(np.isfinite(film.boxes).all()) for film in found),
}))
"""


@pytest.fixture(scope="module")
def short(tiny_train: TrainParams) -> TrainParams:
    return tiny_train.model_copy(update={"steps": 10, "validate_every": 10})


def train_elsewhere(
    *arguments: object, variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run TRAIN in a process of its own; return what it told, once that makes sense."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *map(str, arguments)],
        env={k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    losses = {step: m["train/total_loss"] for step, m in told["seen"] if "train/total_loss" in m}
    assert list(losses) == [10]
    assert np.isfinite(losses[10])
    assert 0 <= told["best"]["val/macro_ap40"] <= 1
    assert told["finite"]
    assert told["boxes"] > 0
    return told


def test_two_devices_train_one_model(
    tiny_records: Path, tiny_model: ModelParams, short: TrainParams, tmp_path: Path
) -> None:
    models = (tiny_model.model_dump_json(), short.model_dump_json())
    told = train_elsewhere(2, tiny_records, tmp_path, *models)
    assert told["replicas"] == 2
    assert told["policies"] == ["float32"]


def test_bfloat16_trains_validates_and_leaves_no_trace(
    tiny_records: Path, tiny_model: ModelParams, short: TrainParams, tmp_path: Path
) -> None:
    half = short.model_copy(update={"mixed_precision": "on"})
    models = (tiny_model.model_dump_json(), half.model_dump_json())
    # oneDNN's bfloat16 gives NaN for the gradient of a 3x3 kernel on so small a feature map.
    eigen = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    told = train_elsewhere(1, tiny_records, tmp_path, *models, variables=eigen)
    assert told["replicas"] == 1
    assert told["policies"] == ["mixed_bfloat16"]
    assert told["after"] == "float32"


def test_two_workers_train_one_model(
    tiny_records: Path, tiny_model: ModelParams, short: TrainParams, tmp_path: Path
) -> None:
    """The stage itself, twice, with TF_CONFIG: the chief writes everything, both end well."""
    project = lay_out(tmp_path / "project", tiny_records, tiny_model, short)
    logs = [tmp_path / f"worker-{number}.txt" for number in (0, 1)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"type": "worker", "index": index} for index in (0, 1)]
    workers = [
        start_training(project, log, {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})
        for log, task in zip(logs, tasks, strict=True)
    ]
    try:
        codes = [worker.wait(timeout=800) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert codes == [0, 0], "".join(log.read_text()[-3000:] for log in logs)
    run = json.loads((project / PATHS.model / "run.json").read_text())
    assert run["best_step"] == 10
    assert (project / PATHS.model / "saved_model/saved_model.pb").exists()
    assert [path.name for path in (project / "models").iterdir()] == ["detector"]

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{project}/mlruns/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'lungal'")
    (tracked,) = client.search_runs([experiment.experiment_id])
    (loss,) = client.get_metric_history(tracked.info.run_id, "train/total_loss")
    assert np.isfinite(loss.value)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


AGREE = """
from lungal.detectors.tfod import compat
compat.install()
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
logical = [tf.config.LogicalDeviceConfiguration()] * 6
tf.config.set_logical_device_configuration(cpu, logical)

from lungal.detectors.tfod.devices import make_strategy
from lungal.detectors.tfod.loop import Loop

loop = object.__new__(Loop)
loop.strategy = make_strategy()
assert loop.strategy.num_replicas_in_sync == 6
for start in range(100, 1100, 100):
    said = {"start": float(start), "val/behind_leader": -start / 7}
    print(loop._agree(said) == said)
"""


def test_six_replicas_agree_on_the_very_number() -> None:
    assert run_elsewhere(AGREE).split() == ["True"] * 10


SHARE = """
from pathlib import Path
from lungal.detectors.tfod import compat
compat.install()
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
logical = [tf.config.LogicalDeviceConfiguration()] * 3
tf.config.set_logical_device_configuration(cpu, logical)

from lungal.detectors.tfod.train import TfodTrainer
from lungal.errors import ParamsError
from lungal.params import ModelParams, TrainParams

for folder in (Path("train"), Path("val")):
    folder.mkdir()
    (folder / "00000-of-00001.tfrecord").touch()
given = (Path("train"), Path("val"), ModelParams(), TrainParams(batch_size=8))
try:
    TfodTrainer().fit(*given, work=Path("work"), on_step=print)
except ParamsError as error:
    print(error)
"""


def test_a_batch_that_the_devices_cannot_share_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    assert run_elsewhere(SHARE).strip() == (
        "train.batch_size 8 cannot be shared by the 3 devices that train: "
        "it must be a multiple of 3"
    )
    assert not Path("work").exists()


def test_fewer_shards_than_workers_are_one_line() -> None:
    cluster = {"worker": ["one:1", "two:1", "three:1"]}
    spec = SimpleNamespace(as_dict=lambda: cluster)
    resolver = SimpleNamespace(cluster_spec=lambda: spec)
    strategy = SimpleNamespace(num_replicas_in_sync=6, cluster_resolver=resolver)
    check_shares(strategy, batch_size=12, shards=3)
    with pytest.raises(ParamsError, match=r"2 files .* the 3 workers .*shards must be 3 or more"):
        check_shares(strategy, batch_size=12, shards=2)


def run_elsewhere(script: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a script in a process of its own, where TensorFlow is fresh; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


LOOK_THEN_TRAIN = """
import os
from lungal.detectors.tfod import compat
compat.install()
import tensorflow as tf
tf.constant(1.0)  # a detector has looked: what is set up now is too late
gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
tf.config.list_physical_devices = lambda kind=None: [gpu]
from lungal.detectors.tfod.devices import make_strategy
make_strategy()
print(os.environ["TF_FORCE_GPU_ALLOW_GROWTH"])
"""


@pytest.mark.parametrize("wish", [None, "false"])
def test_who_looks_shares_the_card_and_may_train_afterwards(wish: str | None) -> None:
    given = {name: value for name, value in os.environ.items() if "ALLOW_GROWTH" not in name}
    if wish is not None:
        given["TF_FORCE_GPU_ALLOW_GROWTH"] = wish
    assert run_elsewhere(LOOK_THEN_TRAIN, given).split() == [wish or "true"]


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [([], False), ([(7, 5)], False), ([(8, 0)], True), ([(9, 0), (7, 5)], False), ([None], False)],
)
def test_auto_follows_the_gpus(
    capabilities: list[tuple[int, int] | None], chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compat.install()
    import tensorflow as tf

    details = [{} if c is None else {"compute_capability": c} for c in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: range(len(details)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert use_bfloat16("auto") is chosen
    assert use_bfloat16("on") is True
    assert use_bfloat16("off") is False
