"""What the first films teach when no model has chosen them: typical ones, by lot, with the truth.

    lungal simulate --preset phantom_proxy
    python -m benchmarks.cold_start .simulations/phantom_proxy --films 30

The proxy learns from the films that `lungal data first` names, from films of as many patients drawn
by lot, and from the draw of `label.initial`, which knows the truth and takes a film of each class.
Macro AP on the test films of each, and what the first is ahead of the others, paired by seed.
"""

import argparse
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from lungal.data.films import film_paths, read_films
from lungal.data.initial import choose_initial
from lungal.detectors.tfod.backbone import Backbone
from lungal.evaluation.bootstrap import class_ap_over
from lungal.params import LabelParams, load_params
from lungal.rounds.cold_start import choose_first, embed_films
from lungal.simulation.campaign import Campaign
from lungal.simulation.inference import paired_t
from pipelines.simulate import set_up
from pipelines.stage import PATHS


def score(campaign: Campaign, labelled: Collection[str], seed: int) -> float:
    """Return the macro AP on the test films of a detector that has learnt from these."""
    sight = campaign.trainings.observe(set(labelled), seed=seed, looks=())
    truths = campaign.trainings.reader.tell([film.image_id for film in sight.test])
    return float(class_ap_over(campaign.params.iou)(truths, sight.test)(np.ones(len(truths)))[0])


def by_lot(patients: dict[str, str], count: int, seed: int) -> list[str]:
    """Return a film each of as many patients, drawn by lot."""
    chosen: dict[str, str] = {}
    for film in np.random.default_rng(seed).permutation(sorted(patients)).tolist():
        chosen.setdefault(patients[film], film)
    return list(chosen.values())[:count]


def main() -> None:
    """Compare as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    os.chdir(args.folder)
    params = load_params(Path("params.yaml"))
    campaign = set_up(params)
    films = campaign.trainings.films
    patients = {film: films.patients[film] for film in films.train}
    backbone = Backbone(params.proxy.initial_weights, params.proxy.input_size)
    rows = embed_films(read_films(film_paths(PATHS.manifest), films.train), backbone)
    embeddings = dict(zip(films.train, rows, strict=True))
    found: dict[str, list[float]] = {"typical": [], "by lot": [], "with the truth": []}
    for seed in range(args.seeds):
        select = params.select.model_copy(update={"seed": seed})
        typical = choose_first(patients, embeddings, [], args.films, select)
        found["typical"].append(score(campaign, [one.image_id for one in typical], seed))
        found["by lot"].append(score(campaign, by_lot(patients, args.films, seed), seed))
        drawn = LabelParams(initial=args.films, seed=seed)
        told = choose_initial(films.train, campaign.trainings.reader.truth, drawn)
        found["with the truth"].append(score(campaign, told, seed))
    for name, scores in found.items():
        ahead = paired_t(np.subtract(found["typical"], scores))
        low, high = ahead.bounds(0.95)
        print(
            f"{args.films} films {name}: AP {np.mean(scores):.3f}; "
            f"typical ones are ahead by {ahead.value:+.3f} [{low:+.3f}, {high:+.3f}]"
        )


if __name__ == "__main__":
    main()
