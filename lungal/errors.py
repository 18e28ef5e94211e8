"""Everything that lungal raises on purpose.

    LungalError                     one clear line for a person; `exit_code` for a shell
    ├── ParamsError                 params.yaml says something that lungal does not understand
    │   └── ChangedParamsError      it says something else at the end of a stage than before
    ├── UnknownNameError            a finding, preset or profile that nobody has
    ├── SourceError                 the data root, a CSV or the images are missing or unreadable
    ├── ImageError                  one image cannot be used; ingest quarantines it
    ├── BoxError                    one box is impossible; ingest quarantines it, pull refuses it
    ├── QuarantineError             more bad input than the stated tolerance
    ├── LeakError                   a patient or a truth is where it must not be
    ├── StageOrderError             a stage's input is missing: an earlier stage has not run
    ├── AnnotationError             a reading that cannot be trusted
    ├── EvaluationError             truths and detections that cannot be judged together
    ├── SelectionError              a selection that cannot be made, or is not what it should be
    ├── PromotionError              a promotion of a model that is not there
    ├── PseudonymError              no key, or a poor one, for the names of films and readers
    ├── DetectorError               a model folder, checkpoint or weight file that cannot be used
    │   └── DivergedError           a training whose loss is no number any more
    └── ServerError                 Label Studio, MLflow or a download server does not answer
        └── TokenError              it answers, but not to us

They are rendered once, at the edge (`lungal.cli` and `pipelines`), and never hold a secret.
"""

from collections.abc import Iterable

INTERRUPTED = 130
"""Exit code after Ctrl+C, as shells have it: 128 and the number of the signal."""


class LungalError(Exception):
    """Base of all errors above; its text is one line that a person can act on."""

    exit_code = 1


class ParamsError(LungalError):
    """A parameter is misspelt, missing or out of range."""

    exit_code = 2


class ChangedParamsError(ParamsError):
    """A parameter was changed while a stage ran that had read it."""


class UnknownNameError(LungalError):
    """A name that is not in the registry it was looked up in."""

    exit_code = 2

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self.known)}")


class SourceError(LungalError):
    """The data that a source promised is not there; says what was looked for and where."""

    exit_code = 2


class ImageError(LungalError):
    """An image that cannot be read or has the wrong shape."""


class BoxError(LungalError):
    """A box outside its image, without area, not finite, or of an unknown class."""


class QuarantineError(LungalError):
    """The share of quarantined input is beyond the tolerance in params.yaml."""


class LeakError(LungalError):
    """A patient is in two splits, or a held-out film or truth is in reach of training."""


class StageOrderError(LungalError):
    """A file that an earlier stage writes is missing."""

    exit_code = 2


class AnnotationError(LungalError):
    """A reading that came back malformed."""


class EvaluationError(LungalError):
    """Truths and detections that cannot be judged together."""


class SelectionError(LungalError):
    """A selection that cannot be made or is not what it should be; nothing is queued from it."""


class PromotionError(LungalError):
    """There is nothing to promote."""


class PseudonymError(LungalError):
    """Films and readers cannot be given pseudonyms: the key is missing, too short or another."""

    exit_code = 3


class DetectorError(LungalError):
    """A model folder, a checkpoint or initial weights that cannot be used."""


class DivergedError(DetectorError):
    """A training whose loss is no number any more."""


class ServerError(LungalError):
    """A server is down, unreachable or answers with an error."""

    exit_code = 3


class TokenError(ServerError):
    """A server refused our credentials."""
