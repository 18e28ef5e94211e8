"""Which feature maps, pooled how, tell films apart? What the embedding of a film is chosen by.

    uv run python -m benchmarks.embedding models/detector --root NIH --labels data/labels.parquet

Every feature map of an SSD or EfficientDet model is pooled by mean and by largest value, alone and
together with its finer neighbours, and made a vector of length 1. A vector is judged by what a
film's 20 nearest films of other patients are: does the share of them with a finding (NIH's weak
labels, and No Finding) rank the films by that finding, and do films of the same patient lie nearer
than films of two patients? Films that the model was trained on are left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungal.data.films import read_films
from lungal.data.images import prepare
from lungal.data.labels import films, read_labels
from lungal.data.model_run import ServedModel
from lungal.data.sources import nih
from lungal.detectors.tfod import compat
from lungal.detectors.tfod.network import as_batch, build_network, serve_mode
from lungal.records import CLASSES

Vectors = NDArray[np.float32]
NEIGHBOURS, BATCH, DRAWS = 20, 16, 300


def read_network(folder: Path) -> Any:
    """Return the network of a model folder, with its weights, as it serves."""
    compat.install()
    import tensorflow as tf
    from object_detection.utils import config_util

    config = config_util.get_configs_from_pipeline_file(str(folder / "pipeline.config"))
    pipeline = config_util.create_pipeline_proto_from_configs(config)
    network = build_network(pipeline, training=False)
    serve_mode(network)
    size = pipeline.model.ssd.image_resizer.fixed_shape_resizer.height
    network.predict(*network.preprocess(tf.zeros((1, size, size, 3))))  # makes the variables
    checkpoint = tf.train.Checkpoint(model=network)
    checkpoint.read(str(folder / "checkpoint" / "ckpt-0")).expect_partial()
    return network


def pool(folder: Path, paths: dict[str, Path]) -> dict[str, list[Vectors]]:
    """Return the pooled feature maps, finest first: by mean and by largest value, (N, E) each."""
    network = read_network(folder)
    import tensorflow as tf

    size = ServedModel.read(folder).input_size

    @tf.function  # type: ignore[untyped-decorator]
    def look(films: Any) -> Any:
        maps = network.predict(*network.preprocess(tf.cast(films, tf.float32)))["feature_maps"]
        pooled = (tf.reduce_mean, tf.reduce_max)
        return [[tf.cast(way(m, [1, 2]), tf.float32) for m in maps] for way in pooled]

    squares = [prepare(image.pixels, size) for image in read_films(paths, sorted(paths))]
    batches = [squares[at : at + BATCH] for at in range(0, len(squares), BATCH)]
    seen = [look(tf.constant(as_batch(batch))) for batch in batches]
    return {
        name: [np.concatenate(parts) for parts in zip(*(of[way] for of in seen), strict=True)]
        for way, name in enumerate(("mean", "largest"))
    }


def unit(vectors: Vectors) -> Vectors:
    """Return vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def candidates(pooled: dict[str, list[Vectors]]) -> Iterator[tuple[str, Vectors]]:
    """Yield what an embedding may be made of: each map, and each with all that are finer."""
    for way, maps in pooled.items():
        for level, vectors in enumerate(maps, start=1):
            yield f"{way} of map {level}", unit(vectors)
            if level > 1:
                yield f"{way} of maps 1 to {level}", unit(np.hstack(maps[:level]))


def ranked(vectors: Vectors, patients: NDArray[Any], truth: NDArray[np.bool_]) -> Any:
    """Return for each film the share of its nearest films with each finding, and patients' AUC."""
    from sklearn.metrics import roc_auc_score

    distance = 2 - 2 * vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    same = patients[:, None] == patients[None]
    pairs = np.triu_indices(len(vectors), 1)
    nearest = np.argsort(np.where(same, np.inf, distance), axis=1, kind="stable")
    shares = truth[nearest[:, :NEIGHBOURS]].mean(axis=1)
    return shares, float(roc_auc_score(same[pairs], -distance[pairs]))


def mean_ap(truth: NDArray[np.bool_], shares: NDArray[np.float64]) -> float:
    """Return average precision, averaged over the findings."""
    from sklearn.metrics import average_precision_score

    return float(np.mean([average_precision_score(*pair) for pair in zip(truth.T, shares.T)]))  # noqa: B905  both (N, C)


def main() -> None:
    """Print a line for each candidate: mean AP with a 90 % interval over patients, and the AUC."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, as `dvc repro train` writes it")
    parser.add_argument("--root", type=Path, required=True, help="a folder with NIH's layout")
    parser.add_argument("--labels", type=Path, required=True, help="what the model was trained on")
    args = parser.parse_args()
    trained = set(films(read_labels(args.labels), "train", "labelled"))
    entries = nih.read_labels(args.root).entries
    known = {name for name, entry in entries.items() if entry.findings is not None}
    found, _ = nih.find_images(args.root)
    paths = {name: path for name, path in found.items() if name in known - trained}
    names = sorted(paths)
    findings = [entries[name].findings or () for name in names]
    truth = np.array([[*(c in row for c in CLASSES), not row] for row in findings])
    patients = np.array([name.split("_")[0] for name in names])
    random = np.random.default_rng(0)
    of_patient = {patient: np.flatnonzero(patients == patient) for patient in set(patients)}
    some = sorted(of_patient)
    draws = [
        np.concatenate([of_patient[p] for p in random.choice(some, len(some))])
        for _ in range(DRAWS)
    ]
    print(f"{len(names)} films, {len(some)} patients; by chance {truth.mean():.3f} and .5")
    for name, vectors in candidates(pool(args.model, paths)):
        shares, auc = ranked(vectors, patients, truth)
        low, high = np.percentile([mean_ap(truth[d], shares[d]) for d in draws], [5, 95])
        ap = f"{mean_ap(truth, shares):.3f} [{low:.3f}, {high:.3f}]"
        print(f"{name:22} {vectors.shape[1]:5} numbers: {ap}, {auc:.3f}")


if __name__ == "__main__":
    main()
