"""Training with the OD API: its model, losses, input pipeline and train step; a loop of our own.

The API's `train_loop` has no early stopping, no best checkpoint, no callback and no resume of the
validation history. This loop is as long as the arguments one would otherwise have to smuggle into
it, and validates through the very function that is served later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lungal.data.tfrecords import read_records
from lungal.detectors.protocol import OnStep
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.devices import (
    check_shares,
    is_chief,
    make_strategy,
    use_bfloat16,
    wait_for_all,
)
from lungal.detectors.tfod.export import export_model, restore_best, restore_weights
from lungal.detectors.tfod.graph import Graph, Initial
from lungal.detectors.tfod.loop import Loop
from lungal.detectors.tfod.progress import Progress
from lungal.errors import DetectorError
from lungal.params import ModelParams, TrainParams


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
        self._served: Path | None = None  # whose weights the kept graph has

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
        shards = _count_shards(train, val)
        strategy = make_strategy()
        check_shares(strategy, batch_size=params.batch_size, shards=shards)
        given = (work, train, val, model, params)
        if is_chief(strategy):
            Progress.open(*given)
        wait_for_all(strategy)
        progress = Progress.join(*given)
        if progress.finished:
            return progress.best
        bfloat16 = use_bfloat16(params.mixed_precision)
        config = build_config(
            model, params, records=train, label_map=train / "label_map.pbtxt", bfloat16=bfloat16
        )
        self._served = None
        graph = self._find_graph(model, params)
        if graph is None:
            _forget(params.seed)  # not in the scope, which it would forget too
        with _precision(bfloat16=bfloat16), strategy.scope():
            graph = graph or self._make_graph(config, model, params, strategy)
            Loop(config, graph, progress).run(list(read_records(val)), on_step)
        return progress.best

    def serve(self, work: Path) -> Any:
        """Return the best checkpoint of a training as a function, as `make_server` makes it.

        Where the graph of a training is kept the function is good until the next `fit` or `serve`,
        which give the graph other weights; called after that it raises RuntimeError.

        Raises:
            DetectorError: if `work` holds no validated training.
        """
        progress = Progress.load(work)
        if self._kept is None or self._kept[0] != _shape(progress.model, progress.params):
            return restore_best(work).server
        graph = self._kept[1]
        _, status = restore_weights(graph.network, work)
        status.expect_partial().assert_existing_objects_matched()
        self._served = work

        def look(input_tensor: Any) -> Any:
            if self._served != work:
                raise RuntimeError(f"the graph that looked with the weights of {work} has others")
            return graph.server(input_tensor)

        return look

    def _find_graph(self, model: ModelParams, params: TrainParams) -> Graph | None:
        if self._kept is None or self._kept[0] != _shape(model, params):
            return None
        return self._kept[1] if self._kept[1].knows(params.seed) else None

    def _make_graph(
        self, config: Any, model: ModelParams, params: TrainParams, strategy: Any
    ) -> Graph:
        if not self._keep:
            return Graph(config, model, params, strategy)
        shape, initial = _shape(model, params), Initial()
        if self._kept is not None and self._kept[0] == shape:
            initial = self._kept[1].initial or initial
        self._kept = (shape, Graph(config, model, params, strategy, initial))
        return self._kept[1]

    def export(self, work: Path, out: Path) -> str:
        """See `Trainer.export`."""
        return export_model(work, out)


def _count_shards(train: Path, val: Path) -> int:
    """Return how many files there are to train on, once there are some to validate on too."""
    shards = {folder: len(list(folder.glob("*.tfrecord"))) for folder in (train, val)}
    for folder, found in shards.items():
        if not found:
            raise DetectorError(f"no *.tfrecord in {folder}; `dvc repro records` makes them")
    return shards[train]


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
