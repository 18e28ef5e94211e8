"""The labelling interface, and tasks and boxes as Label Studio's JSON. Pure."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np

from lungal.boxes import FloatArray, IntArray, area, clip, to_percent
from lungal.records import CLASS_COLOURS, CLASSES, LabelledBox, Task, to_arrays

Json = dict[str, Any]

STREAM = "lungal"
"""What the server takes for the model version of all that was queued."""
FINDING, STUDY, IMAGE = "finding", "study", "image"
CONFIDENCE, NOTE, COMMENT = "confidence", "note", "comment"
CLAHE, INVERTED, PRIOR = "clahe", "inverted", "prior"
NO_FINDING, FINDING_PRESENT, UNREADABLE = "No finding", "Finding present", "Unreadable"
CHOICE_KEYS = {NO_FINDING: "0", FINDING_PRESENT: "9", UNREADABLE: "-"}
CONFIDENCE_KEYS = {"Low": "q", "Medium": "w", "High": "e"}
VIEWS = {CLAHE: "CLAHE", INVERTED: "Inverted", PRIOR: "Prior film"}
"""The extra images, in the order in which they are offered, and what readers see them called."""

TIE = 1e-6
"""What keeps films of the same uncertainty in the order of their ranks."""

HEIGHT = "calc(100vh - 118px)"  # what the server's bars leave of the window
STYLE = """
  .lungal { display: flex; gap: 12px; position: relative; min-height: calc(100vh - 124px) }
  .lungal .film { flex: 1 1 auto; min-width: 0 }
  .lungal .desk { flex: 0 0 264px }
  .lungal .lsf-choices { margin: 8px 0 0 !important }
  .lungal .lsf-choice { margin: 0 0 6px !important }
  .lungal .lsf-text-area .ant-form-item { margin-bottom: 6px }
  .lungal .lsf-richtext__line { font-size: 13px; line-height: 18px }
  .lungal .ant-collapse-header { padding: 6px 12px !important }
  .lungal .ant-collapse-content-active { position: absolute; top: 0; left: 0; z-index: 20;
    width: calc(100% - 276px); min-height: 100%; border: 0 }
  .lungal .ant-collapse-content-box { padding: 0 !important }
  .lungal .ant-collapse-content-active:has(.ant-collapse-content-box:empty) { position: static;
    width: auto; min-height: 0 }
  .lungal .ant-collapse-content-active .ant-collapse-content-box:empty::after { padding: 6px 12px;
    content: "There is none of this patient."; display: block }
"""
"""An opened view is laid over the film, in its place and of its size.

Of a picture that is not there (a patient's first film has no prior one) the server draws nothing.
It escapes ">", so no selector has one.
"""


def labelling_config() -> str:
    """Return the labelling interface: the film on the left, all else in a column on the right.

    Nothing is `required`: that would block Ctrl+Enter with a dialogue. What a reader leaves out
    follows from the boxes.
    """
    labels = "\n".join(
        f'      <Label value="{name}" hotkey="{key}" background="{colour}"/>'
        for key, (name, colour) in enumerate(zip(CLASSES, CLASS_COLOURS, strict=True), start=1)
    )
    choices = "\n".join(
        f'      <Choice value="{name}" hotkey="{key}"/>' for name, key in CHOICE_KEYS.items()
    )
    sure = "\n".join(
        f'      <Choice value="{name}" hotkey="{key}"/>' for name, key in CONFIDENCE_KEYS.items()
    )
    views = "\n".join(
        f'''      <Panel value="{title}">
        <Image name="{name}" value="${name}" zoom="true" maxHeight="{HEIGHT}"/>
      </Panel>'''
        for name, title in VIEWS.items()
    )
    return f"""<View className="lungal">
  <Style>{STYLE}</Style>
  <View className="film">
    <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" rotateControl="false"
           brightnessControl="true" contrastControl="true" maxHeight="{HEIGHT}"/>
  </View>
  <View className="desk">
    <RectangleLabels name="{FINDING}" toName="{IMAGE}" canRotate="false" showInline="true"
                     fillOpacity="0.08" strokeWidth="2">
{labels}
    </RectangleLabels>
    <Choices name="{STUDY}" toName="{IMAGE}" choice="single" showInline="false">
{choices}
    </Choices>
    <Choices name="{CONFIDENCE}" toName="{IMAGE}" choice="single" perRegion="true"
             showInline="true">
{sure}
    </Choices>
    <TextArea name="{NOTE}" toName="{IMAGE}" perRegion="true" rows="1" maxSubmissions="1"
              editable="true" placeholder="About this box"/>
    <TextArea name="{COMMENT}" toName="{IMAGE}" rows="1" maxSubmissions="1" editable="true"
              placeholder="About the film"/>
    <Text name="receipt" value="$receipt"/>
    <Collapse bordered="true">
{views}
    </Collapse>
  </View>
</View>
"""


def stream_scores(tasks: Sequence[Task]) -> list[float]:
    """Return one prediction score in (0, 1) for each task, which rises with rank within a round.

    Label Studio serves the lowest prediction score first. So all scores s of a later round lie
    below those of an earlier one: s = 2^-round (3 + d / (1 + |d|)) / 2, d = 1 - uncertainty. Where
    the ranking does not follow the uncertainty (diverse batches, films without detections placed
    first) d is raised just enough to keep the rank's order.

    Args:
        tasks: in the order of their rounds and ranks.
    """
    scores: list[float] = []
    before: tuple[int, float] | None = None
    for task in tasks:
        doubtless = 1.0 - task.uncertainty
        if before is not None and before[0] == task.round:
            doubtless = max(doubtless, before[1] + TIE)
        before = task.round, doubtless
        scores.append(2.0**-task.round * (3 + doubtless / (1 + abs(doubtless))) / 2)
    return scores


def task_data(task: Task, film: str, pictures: Mapping[str, str]) -> Json:
    """Return what a Label Studio task says of a film, and no more than its readers may know.

    Args:
        task: the film's; neither its image_id nor its role nor whether it is blind gets out.
        film: its pseudonym.
        pictures: addresses of IMAGE, CLAHE, INVERTED and, if there is one, PRIOR.
    """
    return {
        IMAGE: pictures[IMAGE],
        CLAHE: pictures[CLAHE],
        INVERTED: pictures[INVERTED],
        PRIOR: pictures.get(PRIOR, ""),
        "film": film,
        "round": task.round,
        "rank": task.rank,
        "uncertainty": task.uncertainty,
        "receipt": receipt(task),
        "model_version": task.model_version,
        "width": task.width,
        "height": task.height,
    }


def receipt(task: Task) -> str:
    """Say in plain words why a reader has this film in front of them.

    What the model saw on it is left out, with boxes and without: a blind film's receipt would draw
    in words what the film does not show, and differ from the others'.
    """
    place = f"Film {task.rank} of round {task.round}"
    if task.readings:
        return (
            f"{place}: {len(task.readings)} readers disagree about it. Their readings are drawn, "
            "without names (select a box to see which reading it is of). Keep what is right, "
            "mend or delete the rest; what you submit counts."
        )
    words = (
        f"{place}, chosen by {task.reason.replace('_', ' ')}: it scores {task.uncertainty:.2f} by "
        f"what the model {task.model_version} sees (0 to 1, the highest first)."
    )
    return f"{words} An earlier film of this patient is below." if task.prior else words


def task_prediction(task: Task, score: float) -> Json:
    """Return the pre-drawn boxes of a task, with the score that places it in the stream.

    They go by the name STREAM, whichever model drew them: the server shows boxes of one version
    alone, and films of earlier rounds that nobody has read must keep theirs. The task's data says
    which model it was.

    The stream needs the score of a blind task too, so that has a prediction without boxes. An
    adjudication shows what its readers drew instead of what the model saw.
    """
    return {"model_version": STREAM, "score": score, "result": _drawn(task)}


def _drawn(task: Task) -> list[Json]:
    if task.blind:
        return []
    if task.readings:
        return [
            region | {"id": f"{letter}-{region['id']}", "meta": {"text": [f"reading {letter}"]}}
            for letter, boxes in zip(ascii_uppercase, task.readings, strict=False)
            for region in _regions_of(boxes, task)
        ]
    seen = task.detections
    return box_regions(seen.boxes, seen.labels, task.width, task.height, seen.scores)


def _regions_of(boxes: Sequence[LabelledBox], task: Task) -> list[Json]:
    return box_regions(*to_arrays(boxes), task.width, task.height)


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
