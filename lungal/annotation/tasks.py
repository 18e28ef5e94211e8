"""The labelling interface, and tasks and boxes as Label Studio's JSON. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lungal.boxes import FloatArray, IntArray, area, clip, to_percent
from lungal.records import CLASS_COLOURS, CLASSES, Task

Json = dict[str, Any]

FINDING, STUDY, IMAGE = "finding", "study", "image"
NO_FINDING, FINDING_PRESENT, UNREADABLE = "No finding", "Finding present", "Unreadable"
CHOICE_KEYS = {NO_FINDING: "0", FINDING_PRESENT: "9", UNREADABLE: "-"}

TIE = 1e-6
"""What keeps films of the same uncertainty in the order of their ranks."""


def labelling_config() -> str:
    """Return the labelling interface: eight kinds of box, a verdict on the whole film.

    The verdict is not `required`: that would block Ctrl+Enter with a dialogue. What a reader
    leaves out follows from the boxes.
    """
    labels = "\n".join(
        f'    <Label value="{name}" hotkey="{key}" background="{colour}"/>'
        for key, (name, colour) in enumerate(zip(CLASSES, CLASS_COLOURS, strict=True), start=1)
    )
    choices = "\n".join(
        f'    <Choice value="{name}" hotkey="{key}"/>' for name, key in CHOICE_KEYS.items()
    )
    return f"""<View>
  <Header value="$reason" size="5"/>
  <RectangleLabels name="{FINDING}" toName="{IMAGE}" canRotate="false" showInline="true">
{labels}
  </RectangleLabels>
  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" rotateControl="false"
         brightnessControl="true" contrastControl="true"/>
  <Choices name="{STUDY}" toName="{IMAGE}" choice="single" showInline="true">
{choices}
  </Choices>
</View>
"""


def stream_scores(tasks: Sequence[Task]) -> list[float]:
    """Return one prediction score for each task, strictly rising with rank.

    Label Studio serves the lowest prediction score first. A score is 1 - uncertainty; where the
    ranking does not follow the uncertainty (diverse batches, films without detections placed
    first) it is raised just enough to keep the rank's order.

    Args:
        tasks: in the order of their ranks.
    """
    scores: list[float] = []
    for task in tasks:
        score = 1.0 - task.uncertainty
        scores.append(max(score, scores[-1] + TIE) if scores else score)
    return scores


def task_data(task: Task, image_url: str) -> Json:
    """Return what a Label Studio task says of a film; the reader sees `image` and `reason`."""
    return {
        "image": image_url,
        "image_id": task.image_id,
        "round": task.round,
        "rank": task.rank,
        "uncertainty": task.uncertainty,
        "reason": task.reason,
        "model_version": task.model_version,
        "width": task.width,
        "height": task.height,
    }


def task_prediction(task: Task, score: float) -> Json:
    """Return the pre-drawn boxes of a task, with the score that places it in the stream."""
    seen = task.detections
    return {
        "model_version": task.model_version,
        "score": score,
        "result": box_regions(seen.boxes, seen.labels, task.width, task.height, seen.scores),
    }


def box_regions(
    boxes: FloatArray,
    labels: IntArray,
    width: int,
    height: int,
    scores: FloatArray | None = None,
) -> list[Json]:
    """Return boxes as Label Studio regions; what lies beyond the film is cut off.

    Args:
        boxes: (N, 4) float32, pixels of the film, xyxy.
        labels: (N,) int32, index into CLASSES.
        width: of the film, pixels.
        height: of the film, pixels.
        scores: (N,) float32 in [0, 1], or None for boxes that a person drew.
    """
    inside = clip(boxes, width, height)
    percent = to_percent(inside, width, height)
    regions: list[Json] = []
    for index in np.flatnonzero(area(inside) > 0):
        x, y, w, h = (float(v) for v in percent[index])
        region: Json = {
            "id": f"box{index}",
            "from_name": FINDING,
            "to_name": IMAGE,
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": x,
                "y": y,
                "width": w,
                "height": h,
                "rotation": 0,
                "rectanglelabels": [CLASSES[int(labels[index])]],
            },
        }
        if scores is not None:
            region["score"] = float(scores[index])
        regions.append(region)
    return regions


def study_region(choice: str) -> Json:
    """Return a verdict on the whole film as Label Studio's choice."""
    return {
        "id": STUDY,
        "from_name": STUDY,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [choice]},
    }
