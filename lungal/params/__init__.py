"""Typed parameters: the sections of params.yaml as frozen values.

Sections that depend on the machine (model, train, tune) stand under `profiles`; `profile` picks
one. All profiles are checked on every load, so that a typing error does not wait for the GPU.
"""

from lungal.params.choosing import ALL_LABELS as ALL_LABELS
from lungal.params.choosing import CHANCE as CHANCE
from lungal.params.choosing import CONTROLS as CONTROLS
from lungal.params.choosing import QueueParams as QueueParams
from lungal.params.choosing import Selector as Selector
from lungal.params.choosing import SelectParams as SelectParams
from lungal.params.choosing import SimulateParams as SimulateParams
from lungal.params.choosing import Strategy as Strategy
from lungal.params.detector import AnchorParams as AnchorParams
from lungal.params.detector import Architecture as Architecture
from lungal.params.detector import AugmentParams as AugmentParams
from lungal.params.detector import CrossfitParams as CrossfitParams
from lungal.params.detector import DetectParams as DetectParams
from lungal.params.detector import EvaluateParams as EvaluateParams
from lungal.params.detector import ModelParams as ModelParams
from lungal.params.detector import ProxyParams as ProxyParams
from lungal.params.detector import SpaceParams as SpaceParams
from lungal.params.detector import TrainParams as TrainParams
from lungal.params.detector import TuneParams as TuneParams
from lungal.params.detector import ViewName as ViewName
from lungal.params.films import DataParams as DataParams
from lungal.params.films import LabelParams as LabelParams
from lungal.params.films import PhantomParams as PhantomParams
from lungal.params.films import ReadingParams as ReadingParams
from lungal.params.films import RecordsParams as RecordsParams
from lungal.params.films import SplitParams as SplitParams
from lungal.params.films import SubsetParams as SubsetParams
from lungal.params.project import Params as Params
from lungal.params.project import Profile as Profile
from lungal.params.project import load_params as load_params
from lungal.params.project import read_sections as read_sections
from lungal.params.section import Fraction as Fraction
from lungal.params.section import Positive as Positive
from lungal.params.section import Section as Section
