"""What all sections of params.yaml have in common."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lungal.records import CLASSES

Fraction = Annotated[float, Field(ge=0, le=1)]
Overlap = Annotated[float, Field(gt=0, lt=1)]
Overlaps = Annotated[tuple[Overlap, ...], Field(min_length=1)]
Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
"""numpy's generators take no other."""
Names = TypeVar("Names", bound=Mapping[str, object])


def rising(ends: tuple[float, float]) -> tuple[float, float]:
    """Return a range as it is.

    Raises:
        ValueError: if its low end is above its high one.
    """
    if ends[0] > ends[1]:
        raise ValueError(f"the low end {ends[0]:g} is above the high end {ends[1]:g}")
    return ends


def of_findings(named: Names) -> Names:
    """Return what is said of findings by name as it is.

    Raises:
        ValueError: if a name is not one of the eight.
    """
    if unknown := sorted(set(named) - set(CLASSES)):
        raise ValueError(f"unknown finding {unknown[0]!r}; known: {', '.join(CLASSES)}")
    return named


def once_each(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return seeds as they are.

    Raises:
        ValueError: if one is named twice.
    """
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(f"{', '.join(map(str, twice))} is named twice")
    return seeds


Rising = AfterValidator(rising)
OfFindings = AfterValidator(of_findings)
Seeds = Annotated[tuple[Seed, ...], AfterValidator(once_each)]


class Section(BaseModel):
    """A frozen section that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
