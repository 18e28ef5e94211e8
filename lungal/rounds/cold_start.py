"""Cold start: which films to have read first, before there is any model to be in doubt.

The most typical films of as many clusters as there will be films, as a network sees them that was
never trained on films: Hacohen, Dekel & Weinshall 2022 (TypiClust), with ImageNet's features in
the place of self-supervised ones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lungal.acquisition.choosing import choose_from
from lungal.acquisition.pool import Choice, Pool
from lungal.boxes import FloatArray
from lungal.data.digests import hash_json
from lungal.data.files import whole_file
from lungal.data.films import read_films
from lungal.data.images import prepare
from lungal.detectors.tfod.backbone import Backbone
from lungal.params import SelectParams
from lungal.records import CLASSES, Image

ROUND = 1
TINY = 1e-12
BLOCK = 4096
"""Films whose embeddings are kept in a file."""


def embed_films(images: Iterable[Image], backbone: Backbone) -> Iterator[FloatArray]:
    """Yield an (E,) float32 embedding of length 1 for each film, in order.

    The largest value of each channel of stride 16, as detectors embed films
    (`lungal.detectors.tfod.network.embed`): in means a small finding drowns.

    Args:
        images: the films.
        backbone: looks at them.

    Raises:
        DetectorError: if the backbone's weights cannot be used.
    """
    for fine, _ in backbone.look(prepare(image.pixels, backbone.size) for image in images):
        largest = fine.max(axis=(0, 1))
        yield largest / max(float(np.linalg.norm(largest)), TINY)  # a film may excite nothing


def embed_kept(
    films: Mapping[str, Path], content: Mapping[str, str], backbone: Backbone, folder: Path
) -> Iterator[tuple[str, FloatArray]]:
    """Yield films by name with their embeddings, as `embed_films`; keep these, block by block.

    Looking at a hundred thousand films takes an hour: what was looked at is there the next time.

    Args:
        films: image_id to the stored film.
        content: image_id to the SHA-256 of that file.
        backbone: looks at them.
        folder: where embeddings lie.

    Raises:
        DetectorError: if the backbone's weights cannot be used.
        ImageError: if a film cannot be read.
    """
    names = sorted(films)
    for start in range(0, len(names), BLOCK):
        block = names[start : start + BLOCK]
        key = hash_json([backbone.key, [(name, content[name]) for name in block]])
        path = folder / f"{key}.npy"
        if path.exists():
            yield from zip(block, np.load(path), strict=True)
            continue
        rows = []
        for name, row in zip(block, embed_films(read_films(films, block), backbone), strict=True):
            rows.append(row)
            yield name, row
        with whole_file(path) as part, part.open("wb") as file:
            np.save(file, np.array(rows))


def choose_first(
    waiting: Mapping[str, str],
    embeddings: Mapping[str, FloatArray],
    labelled: Sequence[str],
    count: int,
    params: SelectParams,
) -> list[Choice]:
    """Choose the most typical films, and check the choice.

    Args:
        waiting: image_id to patient_id of the films that may be chosen.
        embeddings: image_id to (E,) float32, of these and of the labelled ones.
        labelled: image_ids whose truth is known already: what is typical of them is left to them.
        count: how many films at most.
        params: `seed` and `one_per_patient`; the selector is `typicality`, whatever they say.

    Returns:
        The choices by rank, with cluster and typicality.
    """
    names, length = sorted(waiting), len(next(iter(embeddings.values())))
    none = np.zeros((len(names), len(CLASSES)))
    known = [embeddings[name] for name in sorted(labelled)]
    pool = Pool(
        image_ids=tuple(names),
        patients=tuple(waiting[name] for name in names),
        scores=none[:, 0],
        class_scores=none.astype(np.float32),
        findings=none.astype(bool),
        known=none[:, 0].astype(bool),
        labelled_class_scores=np.zeros((len(known), len(CLASSES)), np.float32),
        embeddings=np.stack([embeddings[name] for name in names]),
        labelled_embeddings=np.array(known, np.float32).reshape(-1, length),
    )
    typical = params.model_copy(update={"selector": "typicality"})
    return choose_from(pool, count, typical, number=ROUND)
