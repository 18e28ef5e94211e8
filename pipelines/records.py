"""Stage records@{train,val}: the labelled films of a split to data/records/<split>/."""

import argparse
from collections.abc import Sequence
from functools import partial

from lungal.data.films import film_paths, read_films
from lungal.data.labels import ground_truth, read_labels
from lungal.data.tfrecords import shuffled, write_records
from lungal.params import Params
from lungal.records import Split
from pipelines.stage import PATHS, run, track


def records(split: Split, params: Params) -> None:
    """Write the labelled films of a split as TFRecord shards."""
    truths = shuffled(ground_truth(read_labels(PATHS.labels), split))
    films = read_films(film_paths(PATHS.manifest), [truth.image_id for truth in truths])
    write_records(
        PATHS.records / split,
        zip(track(films, len(truths), f"records {split}"), truths, strict=True),
        input_size=params.model.input_size,
        shards=params.records.shards,
        # Validation crops nothing: it sees what serving sees.
        detail=params.records.detail if split == "train" else 1.0,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage for the split named by the argument; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.records", description=__doc__)
    parser.add_argument("split", choices=["train", "val"])
    return run("records", partial(records, parser.parse_args(argv).split))


if __name__ == "__main__":
    raise SystemExit(main())
