"""What Label Studio may send to the prediction server. All else is left out, tokens above all.

The fields are those of its connector (label_studio/ml/api_connector.py). It also sends
`access_token`, `login` and `password`. They are no fields here, so they are dropped on parsing.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

RectangleType = Literal["rectanglelabels", "rectangle"]
Side = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Sent(BaseModel):
    """Part of a request: unknown fields are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SentTask(Sent):
    """A task; `data` is what its project imported."""

    id: int | str | None = None
    data: dict[str, Any]


class Rectangle(Sent):
    """A box in percent of the film: left, top, width, height; rotated by degrees."""

    x: FiniteFloat
    y: FiniteFloat
    width: Side
    height: Side
    rotation: FiniteFloat = 0.0


class DrawnRegion(Sent):
    """A box that a reader has just drawn, labelled or not."""

    id: str | None = None
    type: RectangleType
    to_name: str
    value: Rectangle


class Context(Sent):
    """What the interactive call adds."""

    result: list[DrawnRegion] = []

    @field_validator("result", mode="before")
    @classmethod
    def leave_out_what_is_no_box(cls, regions: Any) -> Any:
        """Drop choices, texts and brushes: they share the list, and often the id, of a box."""
        if not isinstance(regions, list):
            return regions
        boxes = get_args(RectangleType)
        return [r for r in regions if not isinstance(r, dict) or r.get("type") in boxes]


class PredictParams(Sent):
    """`context` is there in an interactive call only."""

    context: Context | None = None


class PredictRequest(Sent):
    """Body of POST /predict."""

    tasks: list[SentTask]
    params: PredictParams | None = None

    @property
    def drawn(self) -> list[DrawnRegion] | None:
        """The regions whose finding is asked for, or None if whole films are."""
        context = self.params.context if self.params else None
        return context.result if context is not None else None


class SetupRequest(Sent):
    """Body of POST /setup, of which nothing is needed."""

    project: int | str | None = None
