"""What every implementation of a seam must do, as pytest classes to inherit.

    class TestMyStrategy(AcquisitionContract):
        @pytest.fixture
        def acquisition(self) -> Acquisition:
            return MyStrategy()

A detector, a strategy or a store that is written elsewhere is held to the same promises. What is
built on a store can be tested without a server, on a MemoryStore.
"""

from lungal.testing.choosing import AcquisitionContract as AcquisitionContract
from lungal.testing.choosing import SelectorContract as SelectorContract
from lungal.testing.detectors import DetectorContract as DetectorContract
from lungal.testing.makers import make_detections as make_detections
from lungal.testing.makers import make_evidence as make_evidence
from lungal.testing.makers import make_film as make_film
from lungal.testing.makers import make_pool as make_pool
from lungal.testing.makers import make_select as make_select
from lungal.testing.makers import make_task as make_task
from lungal.testing.memory import MemoryStore as MemoryStore
from lungal.testing.stores import AnnotationStoreContract as AnnotationStoreContract
from lungal.testing.stores import Change as Change
from lungal.testing.stores import Read as Read
