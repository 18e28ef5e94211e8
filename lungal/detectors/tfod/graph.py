"""What TensorFlow has built and traced of a detector that trains: much of a short training's time.

A graph can train again, from the same initial weights or from others of the same seed that it has
seen before, on other records: simulated campaigns train a hundred detectors of one shape.
"""

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lungal.detectors.tfod.network import build_network, make_server, make_variables
from lungal.detectors.tfod.weights import load_initial
from lungal.params import ModelParams, TrainParams

Initial = dict[int, TemporaryDirectory[str]]
"""Of each seed a checkpoint of the network's initial weights, which outlives no process."""


class Graph:
    """The network, its optimiser, and the functions that train it and let it look.

    Made within the strategy's scope, after the seed was set.

    Args:
        config: the pipeline's message.
        model: the shape of the network and its initial weights.
        params: of the training.
        strategy: how it is spread.
        initial: where to keep initial weights by seed, those of earlier graphs of this shape
            included; None: it trains once.
    """

    def __init__(
        self,
        config: Any,
        model: ModelParams,
        params: TrainParams,
        strategy: Any,
        initial: Initial | None = None,
    ) -> None:
        import tensorflow as tf
        from object_detection.builders import optimizer_builder

        self.strategy = strategy
        self._settings, self._model = config.train_config, model
        self.initial = initial
        self.network = build_network(config, training=True)
        self.step = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="global_step",
            aggregation=tf.compat.v2.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self.optimizer, (rate,) = optimizer_builder.build(
            self._settings.optimizer, global_step=self.step
        )
        self.rate = rate if callable(rate) else lambda: rate
        self.server = make_server(self.network, model.input_size)
        # The API says in TensorFlow's words what depends on tensors: AutoGraph finds nothing to
        # translate, and takes half of a short training's time to find it.
        self.train_step = tf.function(self._step_on_all_replicas, autograph=False)
        self._make_variables(averaged=params.average_decay > 0)

    def knows(self, seed: int) -> bool:
        """Whether it can `start` with this seed, having trained before."""
        return self.initial is not None and seed in self.initial

    def start(self, seed: int) -> None:
        """Take the initial weights of a seed: those that it was made with, or knows.

        Raises:
            DetectorError: if there are no such weights to load.
        """
        import tensorflow as tf

        weights = tf.train.Checkpoint(model=self.network)
        if self.initial is None or seed not in self.initial:
            load_initial(self.network, self._model)
            if self.initial is not None:
                self.initial[seed] = TemporaryDirectory(prefix="lungal-")
                weights.write(f"{self.initial[seed].name}/ckpt")
            return
        weights.read(f"{self.initial[seed].name}/ckpt").expect_partial()
        self.step.assign(0)
        for variable in self._optimizer_variables():
            variable.assign(np.zeros(variable.shape, variable.dtype.as_numpy_dtype))

    def _optimizer_variables(self) -> list[Any]:
        # What averages the weights wraps the optimiser and names its own variables alone.
        inner = getattr(self.optimizer, "_optimizer", None)
        return [*self.optimizer.variables(), *(inner.variables() if inner is not None else ())]

    def _make_variables(self, *, averaged: bool) -> None:
        make_variables(self.network, self._model.input_size)
        if averaged:
            self.optimizer.shadow_copy(self.network)
        # The first step would make them, and be traced a second time without the making.
        self.optimizer._create_all_weights(self.network.trainable_variables)  # noqa: SLF001

    def _step_on_all_replicas(self, batches: Any) -> Any:
        import tensorflow as tf
        from object_detection import model_lib_v2

        def step(features: Any, labels: Any) -> Any:
            losses = model_lib_v2.eager_train_step(
                self.network,
                features,
                labels,
                self._settings.unpad_groundtruth_tensors,
                self.optimizer,
                training_step=self.step,
                add_regularization_loss=True,
                clip_gradients_value=self._settings.gradient_clipping_by_norm,
                num_replicas=self.strategy.num_replicas_in_sync,
            )
            self.step.assign_add(1)
            return losses

        features, labels = next(batches)
        losses = self.strategy.run(step, args=(features, labels))
        return model_lib_v2.reduce_dict(self.strategy, losses, tf.distribute.ReduceOp.SUM)
