"""A trainer that keeps what TensorFlow has built starts as one that builds it anew.

How it goes on is not the same twice, kept or not: the API reads its records in no fixed order.
"""

import numpy as np
import pytest
from plugins.tiny_detector import SIZE, film

from lungal.data.tfrecords import write_records
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.devices import make_strategy
from lungal.detectors.tfod.graph import Graph
from lungal.detectors.tfod.infer import ServedDetector
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import DetectParams
from lungal.records import CLASSES

pytestmark = pytest.mark.slow

TEST = [film(number)[0] for number in range(30, 34)]


@pytest.fixture(scope="module")
def fit(tmp_path_factory, tiny_records, tiny_model, tiny_train):
    """Return a function: a short training of a trainer, of a seed, in a folder of that name."""
    folder = tmp_path_factory.mktemp("kept")
    write_records(folder / "few", map(film, range(8)), input_size=SIZE, shards=1)
    brief = tiny_train.model_copy(
        update={"steps": 6, "validate_every": 3, "average_decay": 0.9, "learning_rate": 0.03}
    )

    def run(trainer, seed, name, records=folder / "few"):
        params = brief.model_copy(update={"seed": seed})
        folders, work = (records, tiny_records / "val"), folder / name
        trainer.fit(*folders, tiny_model, params, work=work, on_step=lambda *_: None)
        return work

    return run


@pytest.fixture(scope="module")
def kept(fit, tiny_records):
    """Return a trainer whose graph has seen two seeds and other records."""
    trainer = TfodTrainer(keep=True)
    fit(trainer, 0, "first", tiny_records / "train")
    fit(trainer, 1, "second")
    return trainer


def weights_of(checkpoint):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(checkpoint))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()}


def tf_seed(seed):
    import tensorflow as tf

    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)


def current_weights(graph, path):
    import tensorflow as tf

    tf.train.Checkpoint(model=graph.network).write(str(path))
    return weights_of(path)


def check_same(found, others):
    names = set(found) & {name for name in others if name.endswith("VARIABLE_VALUE")}
    assert len(names) > 50
    for name in names:
        np.testing.assert_array_equal(found[name], others[name], err_msg=name)


def see(server):
    return list(ServedDetector(server, CLASSES, SIZE, DetectParams()).detect(TEST))


def build(seed, tiny_model, tiny_train):
    """Return the initial weights of a graph that was built anew."""
    params = tiny_train.model_copy(update={"seed": seed})
    tf_seed(seed)
    initial = {}
    graph = Graph(build_config(tiny_model, params), tiny_model, params, make_strategy(), initial)
    graph.start(seed)
    return weights_of(f"{initial[seed].name}/ckpt")


def test_a_kept_graph_starts_like_a_new_one(kept, tiny_model, tiny_train, tmp_path):
    _, graph = kept._kept
    assert graph.knows(0), "the graph of seed 1 has the weights of seed 0 from the one before"
    trained = current_weights(graph, tmp_path / "trained")
    graph.start(0)
    started = current_weights(graph, tmp_path / "started")
    kernel = next(name for name in started if "kernel" in name)
    assert not np.array_equal(started[kernel], trained[kernel])
    assert int(graph.step) == 0
    variables = graph._optimizer_variables()
    assert any("average" in variable.name for variable in variables)
    assert any("/m:0" in variable.name for variable in variables), "Adam's first moment"
    assert all(not np.any(variable.numpy()) for variable in variables)
    zero, one = (build(seed, tiny_model, tiny_train) for seed in (0, 1))
    check_same(started, zero)
    assert any(not np.array_equal(zero[name], one[name]) for name in zero if "kernel" in name)


def test_nothing_is_traced_again(kept, fit):
    _, graph = kept._kept
    functions = (graph.train_step, graph.server.__call__)
    before = [function.experimental_get_tracing_count() for function in functions]
    fit(kept, 0, "third")
    fit(kept, 1, "fourth")
    assert kept._kept[1] is graph
    assert [function.experimental_get_tracing_count() for function in functions] == before


def test_a_checkpoint_whose_validation_was_not_written_down_is_not_served(kept, fit):
    import tensorflow as tf

    work = fit(kept, 0, "killed")
    before = see(TfodTrainer().serve(work))
    checkpoint = tf.train.Checkpoint(model=kept._kept[1].network)
    kept._kept[1].start(1)
    tf.train.CheckpointManager(checkpoint, str(work / "best"), max_to_keep=3).save(99)
    for seen, other in zip(see(TfodTrainer().serve(work)), before, strict=True):
        np.testing.assert_array_equal(seen.scores, other.scores)


def test_the_best_checkpoint_is_served(kept, fit):
    work = fit(kept, 0, "served")
    ours = see(kept.serve(work))
    for seen, other in zip(ours, see(TfodTrainer().serve(work)), strict=True):
        np.testing.assert_allclose(seen.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(seen.boxes, other.boxes, atol=0.01)
    stale = kept.serve(work)
    others = see(kept.serve(fit(kept, 1, "other")))
    with pytest.raises(RuntimeError, match=f"weights of {work} has others"):
        see(stale)
    assert any(
        len(seen) != len(other) or not np.allclose(seen.scores, other.scores, atol=1e-3)
        for seen, other in zip(ours, others, strict=True)
    )
