"""Films that cover the pool."""

from dataclasses import dataclass

from lungal.acquisition.pool import Choice, Pool, as_choices, need_embeddings
from lungal.acquisition.selectors.drawn import in_order_of_lots
from lungal.acquisition.selectors.k_centre import farthest_first


@dataclass(frozen=True, slots=True)
class Coreset:
    """k-centre on the films' embeddings, seeded with the labelled films; scores do not matter.

    Sener & Savarese 2018, "Active learning for convolutional neural networks: a core-set
    approach", without their second step, which lets a share of outliers be. Distances are
    Euclidean. While nothing is labelled, the lot draws the first film.
    """

    one_per_patient: bool

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return the choices, the farthest first, each with its distance when it was chosen.

        Raises:
            SelectionError: if there are no embeddings.
        """
        if not len(pool) or not budget:
            return []
        films, labelled = need_embeddings(pool, "coreset")
        chosen = farthest_first(
            films,
            labelled,
            budget,
            first=in_order_of_lots(pool, seed=seed, number=number)[0],
            groups=pool.groups if self.one_per_patient else None,
        )
        return as_choices(
            pool, [film for film, _ in chosen], [{"distance": far} for _, far in chosen]
        )
