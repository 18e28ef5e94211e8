"""The MLflow adapter: one run per round, curves while it trains, the registry of detectors.

Everything is journalled first and sent after, so that a server that is away costs a training
nothing. mlflow is imported here only, and only when something is sent or asked.
"""

from lungal.tracking.connection import OUTBOX, tracking_uri
from lungal.tracking.lineage import content_hash, dvc_hashes, dvc_tags, git_tags
from lungal.tracking.outbox import FlushReport
from lungal.tracking.registry import MlflowRegistry, ModelVersion
from lungal.tracking.run import Run
from lungal.tracking.tracker import Tracker, flush_outbox

__all__ = [
    "OUTBOX",
    "FlushReport",
    "MlflowRegistry",
    "ModelVersion",
    "Run",
    "Tracker",
    "content_hash",
    "dvc_hashes",
    "dvc_tags",
    "flush_outbox",
    "git_tags",
    "tracking_uri",
]
