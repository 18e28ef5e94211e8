"""What is drawn today. Another drawing has another count, so that kept campaigns are told apart."""

import dataclasses

import numpy as np
import pytest

from lungal.data.sources.phantom import DRAWING
from lungal.data.sources.phantom.film import draw
from lungal.data.sources.phantom.population import plan
from lungal.params import PhantomParams
from lungal.records import CLASSES

COUNT = 1
"""Of `DRAWING` when the numbers below were written down."""
GREYS = {
    "Atelectasis": [
        [102.95, 152.35, 145.66, 112.01],
        [112.16, 140.94, 143.23, 112.60],
        [110.09, 175.30, 190.55, 108.72],
        [195.34, 225.70, 225.29, 202.11],
    ],
    "Cardiomegaly": [
        [92.21, 127.29, 145.31, 93.62],
        [128.46, 129.22, 158.87, 118.95],
        [125.83, 184.04, 203.97, 131.70],
        [162.86, 217.77, 218.61, 186.34],
    ],
    "Effusion": [
        [95.67, 118.33, 131.55, 93.08],
        [85.73, 108.72, 130.93, 87.14],
        [95.58, 142.67, 172.30, 94.11],
        [155.18, 200.18, 200.82, 176.59],
    ],
    "Infiltrate": [
        [105.82, 137.74, 141.75, 100.10],
        [104.25, 131.38, 146.92, 110.05],
        [104.15, 162.17, 177.19, 93.29],
        [171.16, 209.48, 207.55, 159.85],
    ],
    "Mass": [
        [97.93, 134.44, 143.71, 107.78],
        [109.93, 121.77, 144.09, 108.56],
        [85.90, 143.22, 186.27, 101.21],
        [152.83, 212.50, 214.60, 187.44],
    ],
    "Nodule": [
        [109.98, 148.94, 146.06, 115.93],
        [115.99, 137.83, 142.11, 116.98],
        [105.97, 158.22, 174.70, 100.55],
        [184.34, 209.20, 208.26, 182.77],
    ],
    "Pneumonia": [
        [114.52, 148.25, 155.25, 112.11],
        [120.46, 138.38, 150.06, 121.88],
        [100.33, 157.70, 203.55, 120.16],
        [191.12, 222.34, 219.97, 190.83],
    ],
    "Pneumothorax": [
        [97.61, 135.60, 145.91, 97.31],
        [99.59, 119.33, 135.86, 103.61],
        [78.85, 152.49, 177.56, 79.07],
        [155.14, 204.87, 203.00, 154.28],
    ],
}  # fmt: skip
"""Finding to the mean grey value of each sixteenth of a film that shows it, row by row."""


@pytest.mark.parametrize("name", CLASSES)
def test_another_drawing_is_counted(name: str) -> None:
    case = plan(PhantomParams(films=len(CLASSES)))[CLASSES.index(name)]
    film, _ = draw(dataclasses.replace(case, findings=(name,)))
    found = film.pixels.reshape(4, 256, 4, 256).mean(axis=(1, 3))
    drawn_as_then = np.abs(found - GREYS[name]).max() < 0.01
    assert drawn_as_then, f"count DRAWING up, and write down: {found.round(2).tolist()}"
    assert DRAWING == COUNT, "these numbers are of another drawing"
