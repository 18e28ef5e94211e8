"""Every annotation store keeps the same promises."""

from typing import cast

import pytest

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.memory import MemoryStore
from lungal.annotation.oracle import Reader, answer
from lungal.annotation.protocol import AnnotationStore
from lungal.records import LabelledBox
from lungal.testing import AnnotationStoreContract, Read

TRUTH = {
    "00000001_000": (LabelledBox("Mass", 10, 10, 40, 50), LabelledBox("Nodule", 90, 90, 96, 96)),
    "00000002_000": (),
}
READER = Reader(TRUTH)  # it does not know the third film


class TestMemoryStore(AnnotationStoreContract):
    @pytest.fixture
    def store(self) -> AnnotationStore:
        return MemoryStore()

    @pytest.fixture
    def read(self) -> Read:
        return lambda store: cast("MemoryStore", store).answer(READER) and None


@pytest.mark.label_studio
@pytest.mark.slow
class TestLabelStudio(AnnotationStoreContract):
    @pytest.fixture
    def store(self, store: LabelStudio) -> AnnotationStore:
        return store

    @pytest.fixture
    def read(self) -> Read:
        return lambda store: answer(cast("LabelStudio", store), READER) and None
