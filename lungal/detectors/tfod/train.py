"""Training with the OD API: its model, losses, input pipeline and train step; a loop of our own.

The API's `train_loop` has no early stopping, no best checkpoint, no callback and no resume of the
validation history. This loop is as long as the arguments one would otherwise have to smuggle into
it, and validates through the very function that is served later.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lungal.data.detections import read_detections, write_detections
from lungal.data.tfrecords import read_records
from lungal.detectors.protocol import OnStep
from lungal.detectors.tfod.architectures import MAX_DETECTIONS
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.devices import is_chief, make_strategy, use_bfloat16, wait_for_all
from lungal.detectors.tfod.export import export_model, restore_best, restore_weights
from lungal.detectors.tfod.graph import Graph, Initial
from lungal.detectors.tfod.network import as_batch, read_output
from lungal.detectors.tfod.progress import BEHIND, Progress
from lungal.errors import DetectorError
from lungal.evaluation.bootstrap import paired_difference, weighted_ap_over
from lungal.evaluation.precision_recall import macro_ap, weighted_ap
from lungal.params import ModelParams, TrainParams
from lungal.records import Detections, GroundTruth, Image

LOG_EVERY = 10
CHECKPOINT_EVERY = 100
VALIDATION_BATCH = 8
VALIDATION_THRESHOLD = 0.01
IOUS = (0.3, 0.4, 0.5)
DRAWS = 200
"""Of the bootstrap that says whether a validation is surely worse than the leader."""


class TfodTrainer:
    """A `Trainer` on the TF2 Object Detection API.

    Spread over what the machine has (`devices.make_strategy`). With several workers each calls
    `fit` with the same arguments, `work` being a folder that all of them see; the chief alone
    calls `on_step` and writes there.

    Args:
        keep: whether to keep what TensorFlow has built and traced, and its memory, for the next
            training of the same shape and another set of films, which then starts at once.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._kept: tuple[str, Graph] | None = None

    def fit(
        self,
        train: Path,
        val: Path,
        model: ModelParams,
        params: TrainParams,
        *,
        work: Path,
        on_step: OnStep,
    ) -> dict[str, float]:
        """See `Trainer.fit`."""
        _check_records(train, val)
        strategy = make_strategy()
        if is_chief(strategy):
            Progress.open(work, train, val, model, params)
        wait_for_all(strategy)
        progress = Progress.open(work, train, val, model, params)
        if progress.finished:
            return progress.best
        bfloat16 = use_bfloat16(params.mixed_precision)
        config = build_config(
            model, params, records=train, label_map=train / "label_map.pbtxt", bfloat16=bfloat16
        )
        with _precision(bfloat16=bfloat16), strategy.scope():
            graph = self._take_graph(config, model, params, strategy)
            _Loop(config, graph, progress).run(list(read_records(val)), on_step)
        return progress.best

    def serve(self, work: Path) -> Any:
        """Return the best checkpoint of a training as a function, as `make_server` makes it.

        Where the graph of a training is kept it is that of `work` until the next `fit`.

        Raises:
            DetectorError: if `work` holds no validated training.
        """
        progress = Progress.load(work)
        if self._kept is None or self._kept[0] != _shape(progress.model, progress.params):
            return restore_best(work).server
        graph = self._kept[1]
        _, status = restore_weights(graph.network, work)
        status.expect_partial().assert_existing_objects_matched()
        return graph.server

    def _take_graph(
        self, config: Any, model: ModelParams, params: TrainParams, strategy: Any
    ) -> Graph:
        if not self._keep:
            _forget(params.seed)
            return Graph(config, model, params, strategy)
        shape, initial = _shape(model, params), Initial()
        if self._kept is not None and self._kept[0] == shape:
            if self._kept[1].knows(params.seed):
                return self._kept[1]
            initial = self._kept[1].initial or initial
        _forget(params.seed)
        self._kept = (shape, Graph(config, model, params, strategy, initial))
        return self._kept[1]

    def export(self, work: Path, out: Path) -> str:
        """See `Trainer.export`."""
        return export_model(work, out)


class _Loop:
    """The objects that live as long as one training."""

    def __init__(self, config: Any, graph: Graph, progress: Progress) -> None:
        self.config, self.graph, self.progress = config, graph, progress
        self.network, self.step, self.optimizer = graph.network, graph.step, graph.optimizer
        self.strategy = graph.strategy
        parts = {"step": self.step, "model": self.network, "optimizer": self.optimizer}
        self.latest = self._manager("latest", keep=2, **parts)
        self.best = self._manager("best", keep=1, model=self.network)

    def run(self, val: list[tuple[Image, GroundTruth]], on_step: OnStep) -> None:
        """Train from the last checkpoint to the last step, validating on the way."""
        start = self._restore()
        if self._agree({"start": float(start)})["start"] != start:
            raise DetectorError(
                f"this worker would go on from step {start}, the chief from another: "
                f"{self.progress.work} must be a folder that all workers share"
            )
        batches = iter(self._batches(seed=self.progress.params.seed + start))
        total, every = self.config.train_config.num_steps, self.progress.params.validate_every
        clock, logged = time.monotonic(), start
        for step in range(start + 1, total + 1):
            losses = self._advance(batches)
            if step % LOG_EVERY == 0 or step == total:
                speed = (step - logged) / (time.monotonic() - clock)
                self._tell(on_step, step, self._read(losses, speed, step))
                clock, logged = time.monotonic(), step
            if step % every == 0 or step == total:
                with self._averaged_weights():
                    found = self._look(val)
                    metrics = self._agree(self._judge([truth for _, truth in val], found))
                    if self.progress.record(step, metrics):
                        self.best.save(step)
                if self.progress.leader == step and is_chief(self.strategy):
                    write_detections(self.progress.leader_file, found)
                self._save()
                self._tell(on_step, step, metrics)
                if self.progress.exhausted:
                    break
                clock, logged = time.monotonic(), step
            elif step % CHECKPOINT_EVERY == 0:
                self._save()
        if is_chief(self.strategy):
            self.progress.save(finished=True)

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Put the weights' moving averages, which are what is served, in the weights' place."""
        if not self.progress.params.average_decay:
            yield
            return
        weights = self.network.trainable_variables
        kept = [weight.numpy() for weight in weights]
        for weight in weights:  # the API's own swap refuses to work without several devices
            weight.assign(self.optimizer.get_slot(weight, "average").numpy())
        try:
            yield
        finally:
            for weight, value in zip(weights, kept, strict=True):
                weight.assign(value)

    def _advance(self, batches: Any) -> Any:
        import tensorflow as tf

        try:
            return self.graph.train_step(batches)
        except tf.errors.DataLossError as error:
            line = str(error.message).splitlines()[0]
            raise DetectorError(
                f"the training records are damaged ({line}); dvc repro -f records@train"
            ) from None

    def _batches(self, seed: int) -> Any:
        import tensorflow as tf
        from object_detection import inputs

        tf.random.set_seed(seed)

        def shard(context: Any) -> Any:
            return inputs.train_input(
                train_config=self.config.train_config,
                train_input_config=self.config.train_input_reader,
                model_config=self.config.model,
                model=self.network,
                input_context=context,
            ).repeat()

        return self.strategy.distribute_datasets_from_function(shard)

    def _restore(self) -> int:
        import tensorflow as tf

        # Not `self.latest.latest_checkpoint`: workers other than the chief keep no files.
        newest = tf.train.latest_checkpoint(str(self.progress.work / "latest"))
        if newest is None:
            self.graph.start(self.progress.params.seed)
        else:
            self.latest.checkpoint.restore(newest)
        return int(self.step.numpy())

    def _look(self, val: list[tuple[Image, GroundTruth]]) -> list[Detections]:
        import tensorflow as tf

        found: list[Detections] = []
        for start in range(0, len(val), VALIDATION_BATCH):
            films = val[start : start + VALIDATION_BATCH]
            output = self.graph.server(tf.constant(as_batch([image.pixels for image, _ in films])))
            arrays = {name: value.numpy() for name, value in output.items()}
            for row, (image, _) in enumerate(films):
                shape = (image.image_id, image.width, image.height)
                keep = (VALIDATION_THRESHOLD, MAX_DETECTIONS)
                found.append(read_output(arrays, row, *shape, *keep))
        return found

    def _judge(self, truths: list[GroundTruth], found: list[Detections]) -> dict[str, float]:
        macro = {f"val/macro_ap{iou * 100:.0f}": macro_ap(truths, found, iou) for iou in IOUS}
        behind = 0.0
        if self.progress.leader is not None and self.progress.leader_file.exists():
            leader = read_detections(self.progress.leader_file)
            arguments = (truths, leader, found, weighted_ap_over(IOUS))
            behind = paired_difference(*arguments, seed=0, draws=DRAWS).low
        weighted = {"val/weighted_ap": weighted_ap(truths, found, IOUS)}
        # NaN where no film has a box.
        return macro | weighted | {BEHIND: 0.0 if math.isnan(behind) else behind}

    def _agree(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return the chief's metrics on every worker, so that all of them stop together."""
        import tensorflow as tf

        if self.strategy.num_replicas_in_sync == 1:
            return metrics
        local = self.strategy.num_replicas_in_sync // self._workers()
        mine = [v / local if is_chief(self.strategy) else 0.0 for v in metrics.values()]
        each = self.strategy.run(lambda: tf.constant(mine, tf.float64))
        agreed = self.strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None).numpy()
        return dict(zip(metrics, agreed.tolist(), strict=True))

    def _workers(self) -> int:
        resolver = self.strategy.cluster_resolver
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        return max(1, sum(len(addresses) for addresses in spec.values()))

    def _read(self, losses: Any, speed: float, step: int) -> dict[str, float]:
        read = {key.replace("Loss/", "train/"): float(v) for key, v in losses.items()}
        if not np.isfinite(read["train/total_loss"]):
            raise DetectorError(
                f"training diverged at step {step}: total loss {read['train/total_loss']}; "
                f"lower train.learning_rate ({self.progress.params.learning_rate})"
            )
        return {
            **read,
            "train/learning_rate": float(self.graph.rate()),
            "train/steps_per_second": speed,
        }

    def _save(self) -> None:
        self.latest.save(int(self.step.numpy()))
        if is_chief(self.strategy):
            self.progress.save()

    def _tell(self, on_step: OnStep, step: int, metrics: Mapping[str, float]) -> None:
        if is_chief(self.strategy):
            on_step(step, metrics)

    def _manager(self, name: str, keep: int, **parts: Any) -> Any:
        import tensorflow as tf
        from object_detection import model_lib_v2

        # All workers must take part in a save, as reading a variable is a collective; all but
        # the chief write to a folder that is thrown away.
        folder = model_lib_v2.get_filepath(self.strategy, str(self.progress.work / name))
        return tf.train.CheckpointManager(tf.train.Checkpoint(**parts), folder, max_to_keep=keep)


def _check_records(train: Path, val: Path) -> None:
    for folder in (train, val):
        if not any(folder.glob("*.tfrecord")):
            raise DetectorError(f"no *.tfrecord in {folder}; `dvc repro records` makes them")


def _shape(model: ModelParams, params: TrainParams) -> str:
    """Return all that a graph depends on but its seed."""
    return model.model_dump_json() + params.model_dump_json(exclude={"seed"})


def _forget(seed: int) -> None:
    """Forget an earlier training of this process, and seed everything."""
    import tensorflow as tf

    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)


@contextmanager
def _precision(*, bfloat16: bool) -> Iterator[bool]:
    import tensorflow as tf

    policy = tf.keras.mixed_precision
    before = policy.global_policy()
    if bfloat16:
        policy.set_global_policy("mixed_bfloat16")
    try:
        yield bfloat16
    finally:
        policy.set_global_policy(before)
