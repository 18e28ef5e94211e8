"""Readings made up for the tests of the log and of lungal.reading."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from lungal.records import CLASSES, Annotation, Asked, LabelledBox, SeenBox

MASS = LabelledBox("Mass", 10.0, 20.0, 30.5, 45.25)
MOMENTS = (  # the same instant in three spellings, and three others
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:00:00+00:00",
    "2026-11-23T09:00:00-01:00",
    "2026-11-23T10:00:00.5+00:00",
    "2026-11-23T11:30:00+01:00",
    "2026-11-23T09:00:00-02:00",
)
quick = settings(max_examples=40, deadline=None)  # other tests share the cores


def reading(number, image_id="00000001_000", **changes):
    plain = Annotation(
        source_id=f"ls-{number}",
        image_id=image_id,
        round=1,
        reader="r.schmidt",
        verdict="finding",
        boxes=(MASS,),
        at=f"2026-11-23T10:00:{number % 60:02d}+00:00",
    )
    return replace(plain, **changes)


def box(label="Mass", x=0.0, y=0.0, width=100.0, height=100.0, **said):
    return LabelledBox(label, float(x), float(y), float(x + width), float(y + height), **said)


def box_lists(labels=CLASSES, most=4):
    """Boxes on a coarse grid, so that pairs, ties and repeats are common."""
    grid = st.integers(0, 6).map(lambda step: 25.0 * step)
    sides = st.sampled_from([50.0, 75.0, 100.0])
    made = st.builds(box, st.sampled_from(labels), grid, grid, sides, sides)
    return st.lists(made, max_size=most).map(tuple)


FEW = CLASSES[:2]
"""Few classes, so that readers agree now and then."""

words = st.one_of(
    st.tuples(st.just("finding"), box_lists(FEW, most=3).filter(bool)),
    st.tuples(st.sampled_from(["no_finding", "unreadable", "skipped"]), st.just(())),
)
ends = st.tuples(st.sampled_from(["deleted", "refused"]), st.just(()))


@st.composite
def logs(draw, roles=("label", "reread", "adjudicate", "control", "import"), events=12):
    """Events of few films, rounds, readers and instants, so that ties and rivals are common."""
    log = []
    for number in range(draw(st.integers(0, events))):
        thread = f"ls-{draw(st.integers(1, 8))}"
        verdict, found = draw(st.one_of(words, words, ends))
        log.append(
            Annotation(
                source_id=f"{thread}@{number}",
                image_id=f"0000000{draw(st.integers(1, 2))}_000",
                round=draw(st.integers(1, 3)),
                reader=draw(st.sampled_from(["ana", "ben", "Ćao\u2028"])),
                verdict=verdict,
                boxes=found,
                at=draw(st.sampled_from(MOMENTS)),
                seconds=draw(st.none() | st.floats(0, 1e4)),
                model_version=draw(st.none() | st.just("r1-0a1b2c3d")),
                role=draw(st.sampled_from(roles)),
                blind=draw(st.booleans()),
                comment=draw(st.none() | st.just("überlagert")),
            )
        )
    return log


SEEN = SeenBox("Mass", 10.0, 20.0, 30.5, 45.25, 0.75)


def asked(number=1, **changes):
    plain = Asked(
        round=1,
        image_id=f"{number:08d}_000",
        rank=number,
        uncertainty=0.5,
        reason="least_confidence: unsure of a Mass",
        model_version="r1-0a1b2c3d",
        role="label",
        blind=False,
        readers=1,
        seen=(SEEN,),
        at="2026-11-23T10:00:00+00:00",
    )
    return replace(plain, **changes)
