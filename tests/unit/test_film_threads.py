"""Films are read in threads: in order, a few ahead, and with their errors at their place."""

import threading

import cv2
import numpy as np
import pytest

from lungal.data.films import read_films
from lungal.data.threads import map_in_order
from lungal.errors import ImageError, StageOrderError


def test_results_come_in_the_order_of_the_items():
    first_may_end = threading.Event()

    def work(number):
        if number == 0:
            assert first_may_end.wait(10)
        if number == 1:
            first_may_end.set()
        return number * number

    assert list(map_in_order(work, range(20), workers=2)) == [n * n for n in range(20)]


def test_no_more_items_are_taken_than_are_worked_on():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_order(str, items(), workers=3)
    assert next(results) == "0"
    assert len(taken) <= 2 * 3 + 1
    results.close()


def test_an_error_is_raised_at_its_place():
    results = map_in_order(lambda number: 1 // number, [1, 0, 1], workers=1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_to_do_is_nothing_done():
    assert list(map_in_order(str, [])) == []


def test_films_are_read_by_id_whatever_their_format(tmp_path):
    pixels = np.full((20, 30), 77, np.uint8)
    paths = {"00000001_000": tmp_path / "a.png", "00000002_000": tmp_path / "b.jpg"}
    for path in paths.values():
        cv2.imwrite(str(path), pixels)
    films = list(read_films(paths, ["00000002_000", "00000001_000"]))
    assert [film.image_id for film in films] == ["00000002_000", "00000001_000"]
    for film in films:
        np.testing.assert_array_equal(film.pixels, pixels)


def test_a_film_that_is_unknown_or_gone_is_named(tmp_path):
    with pytest.raises(StageOrderError, match="00000009_000"):
        list(read_films({}, ["00000009_000"]))
    with pytest.raises(ImageError, match=r"gone\.png"):
        list(read_films({"00000001_000": tmp_path / "gone.png"}, ["00000001_000"]))
