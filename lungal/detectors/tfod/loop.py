"""The loop of a training: steps, checkpoints, validations, and the end when none gets better."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lungal.data.detections import read_detections, write_detections
from lungal.detectors.protocol import OnStep
from lungal.detectors.tfod.architectures import MAX_DETECTIONS
from lungal.detectors.tfod.devices import is_chief
from lungal.detectors.tfod.graph import Graph
from lungal.detectors.tfod.network import as_batch, read_output
from lungal.detectors.tfod.progress import BEHIND, Progress
from lungal.errors import DetectorError, DivergedError
from lungal.evaluation.bootstrap import paired_difference, weighted_ap_over
from lungal.evaluation.precision_recall import macro_ap, weighted_ap
from lungal.records import Detections, GroundTruth, Image

LOG_EVERY = 10
CHECKPOINT_EVERY = 100
VALIDATION_BATCH = 8
VALIDATION_THRESHOLD = 0.01
IOUS = (0.3, 0.4, 0.5)
DRAWS = 200
"""Of the bootstrap that says whether a validation is surely worse than the leader."""


class Loop:
    """The objects that live as long as one training.

    Args:
        config: the pipeline's message, records to train on included.
        graph: trains; it may have trained before.
        progress: what is known of this training, and where.
    """

    def __init__(self, config: Any, graph: Graph, progress: Progress) -> None:
        self.config, self.graph, self.progress = config, graph, progress
        self.network, self.step, self.optimizer = graph.network, graph.step, graph.optimizer
        self.strategy = graph.strategy
        parts = {"step": self.step, "model": self.network, "optimizer": self.optimizer}
        self.latest = self._manager("latest", keep=2, **parts)
        # Two: until the validation of the newer one is written down, the older one is the best.
        self.best = self._manager("best", keep=2, model=self.network)

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
                self._tell(on_step, step, self._validate(step, val))
                if self.progress.exhausted:
                    break
                clock, logged = time.monotonic(), step
            elif step % CHECKPOINT_EVERY == 0:
                self._save()
        if is_chief(self.strategy):
            self.progress.save(finished=True)

    def _validate(self, step: int, val: list[tuple[Image, GroundTruth]]) -> dict[str, float]:
        """Judge the averaged weights, keep them if they are the best, and return how they did.

        Killed anywhere in here, the training goes on before this step and comes here again: what
        is written refers only to what was written before it.
        """
        with self._averaged_weights():
            found = self._look(val)
            metrics = self._agree(self._judge([truth for _, truth in val], found))
            if self.progress.record(step, metrics):
                self.best.save(step)
        if self.progress.leader == step and is_chief(self.strategy):
            write_detections(self.progress.leader_file, found)
        self._save()
        return metrics

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
            return tf.autograph.experimental.do_not_convert(inputs.train_input)(
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
        mine = tf.constant(list(metrics.values()), tf.float64)

        def speak() -> Any:
            # The chief's first replica alone: parts of a number need not add up to it again.
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.where(replica == 0, mine, tf.zeros_like(mine))

        said = self.strategy.run(speak)
        agreed = self.strategy.reduce(tf.distribute.ReduceOp.SUM, said, axis=None).numpy()
        return dict(zip(metrics, agreed.tolist(), strict=True))

    def _read(self, losses: Any, speed: float, step: int) -> dict[str, float]:
        read = {key.replace("Loss/", "train/"): float(v) for key, v in losses.items()}
        if not np.isfinite(read["train/total_loss"]):
            raise DivergedError(
                f"training diverged at step {step}: total loss {read['train/total_loss']}; "
                f"lower train.learning_rate ({self.progress.params.learning_rate})"
            )
        return {
            **read,
            "train/learning_rate": float(self.graph.rate()),
            "train/steps_per_second": speed,
        }

    def _save(self) -> None:
        if is_chief(self.strategy):
            self.progress.save()
        self.latest.save(int(self.step.numpy()))

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
