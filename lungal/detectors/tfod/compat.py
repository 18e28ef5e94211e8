"""Makes the TF2 Object Detection API of 2022 importable beside today's TensorFlow.

`tf-models-research-object-detection` 2.8.0.post1 is the only packaged copy of the whole TF2 code.
It was written for protobuf 3, Keras 2, NumPy 1 and TF 2.8. `install` mends what broke since, in
memory only. Call it before the first import of `object_detection` (docs/adr/0003).
"""

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import re
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_PROTOS = "object_detection.protos."
_SERIALIZED = re.compile(r"serialized_pb=(b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_IMPORTS = re.compile(r"^from object_detection\.protos import (\w+_pb2) as", re.MULTILINE)
_ALIASES = {"bool": bool, "float": float, "int": int, "object": object, "str": str}


def install() -> None:
    """Prepare this process for `import object_detection`; a second call does nothing.

    Raises:
        RuntimeError: if TensorFlow was imported before with Keras 3, which cannot be undone.
    """
    if any(isinstance(finder, _ProtoFinder) for finder in sys.meta_path):
        return
    if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise RuntimeError("TensorFlow was imported before lungal.detectors.tfod.compat.install()")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Read when a GPU is first used: who only looks shares the card too, not just who trains.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.meta_path.insert(0, _ProtoFinder())
    _mend_numpy()
    _mend_tensorflow()
    sys.modules.setdefault("tensorflow_io", types.ModuleType("tensorflow_io"))  # deepmac only


class _ProtoFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Rebuilds the protobuf-3 `*_pb2` modules with the installed protobuf's own builder.

    Generated code of protobuf 3 creates descriptors one by one, which protobuf >= 4 refuses; but
    each module also carries its whole serialised FileDescriptorProto.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if not (fullname.startswith(_PROTOS) and fullname.endswith("_pb2")):
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=found.origin)

    def exec_module(self, module: types.ModuleType) -> None:
        from google.protobuf import descriptor_pool
        from google.protobuf.internal import builder

        assert module.__spec__ is not None  # noqa: S101  set by find_spec above
        assert module.__spec__.origin is not None  # noqa: S101
        source = Path(module.__spec__.origin).read_text(encoding="utf-8")
        for dependency in _IMPORTS.findall(source):
            importlib.import_module(_PROTOS + dependency)
        match = _SERIALIZED.search(source)
        if match is None:
            raise ImportError(f"{module.__spec__.origin} carries no serialised descriptor")
        serialised = eval(match.group(1), {"__builtins__": {}})  # noqa: S307  a bytes literal
        descriptor = descriptor_pool.Default().AddSerializedFile(serialised)
        builder.BuildMessageAndEnumDescriptors(descriptor, module.__dict__)
        builder.BuildTopDescriptorsAndMessages(descriptor, module.__name__, module.__dict__)


def _mend_numpy() -> None:
    import numpy as np

    for name, builtin in _ALIASES.items():
        if name not in np.__dict__:
            setattr(np, name, builtin)


def _mend_tensorflow() -> None:
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_ops

    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.WARNING)  # a line per checkpoint
    # The API's own way of switching between training and inference.
    warnings.filterwarnings("ignore", message=".*set_learning_phase.*", category=UserWarning)
    for name in ("case", "cond"):  # tf_slim's decoder
        if not hasattr(control_flow_ops, name):
            setattr(control_flow_ops, name, getattr(tf.compat.v1, name))
    if not hasattr(tf.compat.v1, "estimator"):  # only the names of the modes are used
        modes: Any = types.SimpleNamespace(TRAIN="train", EVAL="eval", PREDICT="infer")
        stand_in: Any = types.ModuleType("tensorflow.compat.v1.estimator")
        stand_in.ModeKeys = modes
        for missing in ("Estimator", "EstimatorSpec", "tpu"):
            setattr(stand_in, missing, types.SimpleNamespace())
        tf.compat.v1.estimator = stand_in
