"""A real browser for tests, and the reading room as a person meets it there.

Screenshots are kept in LUNGAL_TEST_ARTIFACTS, or in `artifacts` below pytest's own folder.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser")
SCREEN = {"width": 1366, "height": 768}  # the smallest that a reading room still has
PATIENCE = 60_000  # ms, on a busy machine

SELECTED = "window.Htx?.annotationStore?.selected"
PAINTED = f"() => !!{SELECTED}?.names.get('image')?.imageIsLoaded"
RANK = "rank => window.Htx?.task?.dataObj?.rank === rank"
FILM = ".film img"  # exactly as large as the film is shown
STAGE = ".film .konvajs-content"  # on top of it; may be wider
CANVAS = """([selector, colours, reach]) => {
    const near = (pixels, at, colour) =>
        pixels[at + 3] > 128 && colour.every((v, i) => Math.abs(pixels[at + i] - v) < reach);
    const counts = colours.map(() => 0);
    for (const canvas of document.querySelectorAll(selector + ' canvas')) {
        const pixels = canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height).data;
        for (let at = 0; at < pixels.length; at += 4)
            colours.forEach((colour, i) => { counts[i] += near(pixels, at, colour) });
    }
    return counts;
}"""
UNCOVERED = """element => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return !!there && (element.contains(there) || there.contains(element));
}"""


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what a test run leaves to be looked at."""
    told = os.environ.get("LUNGAL_TEST_ARTIFACTS")
    folder = Path(told) if told else tmp_path_factory.getbasetemp() / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser without a window.

    Of a module, not of a session: as long as it is there, no other test can run an event loop.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is installed")
    with sync_playwright() as playwright:
        there = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield there
        there.close()


@pytest.fixture(scope="module")
def take_a_seat(browser: Browser, artifacts: Path) -> Iterator[Callable[[str, str], "Desk"]]:
    """Return a maker of desks: one for each person, none knows of another's session."""
    desks: list[Desk] = []

    def sit_down(url: str, who: str) -> Desk:
        context = browser.new_context(viewport=SCREEN, base_url=url)
        context.set_default_timeout(PATIENCE)
        desks.append(Desk(context.new_page(), who, artifacts))
        return desks[-1]

    yield sit_down
    for desk in desks:
        desk.keep("last")
        desk.page.context.close()


@dataclass(frozen=True)
class Desk:
    """A person before Label Studio.

    Args:
        page: of a browser.
        who: names the screenshots.
        artifacts: where they are kept.
    """

    page: Page
    who: str
    artifacts: Path

    def keep(self, name: str) -> None:
        """Keep a screenshot."""
        self.page.screenshot(path=self.artifacts / f"{self.who}-{name}.png")

    def log_in(self, address: str, password: str) -> None:
        """Fill in the form."""
        self._fill_in("/user/login/", address, password)

    def join(self, invitation: str, address: str, password: str) -> None:
        """Follow an invitation and choose a password."""
        self._fill_in(invitation, address, password)

    def label_all(self, project_id: int) -> None:
        """Open a project and its label stream."""
        self.page.goto(f"/projects/{project_id}/data")
        self.page.get_by_role("button", name="Label All Tasks").click()

    def wait_for_film(self, rank: int | None = None) -> None:
        """Return when a film, or that of a rank, is painted."""
        if rank is not None:
            self.page.wait_for_function(RANK, arg=rank)
        self.page.wait_for_function(PAINTED)
        self.page.wait_for_timeout(300)  # the boxes are painted after the film

    def shown(self) -> dict[str, Any]:
        """Return the data of the task in front of the reader."""
        return self.page.evaluate("() => window.Htx.task.dataObj")

    def boxes(self) -> list[tuple[str, str, list[float]]]:
        """Return label, origin and x, y, width, height in percent of each box on the film."""
        return [
            (label, origin, xywh)
            for label, origin, xywh in self.page.evaluate(
                f"() => {SELECTED}.regionStore.regions"
                ".map(r => [r.labels[0], r.origin, [r.x, r.y, r.width, r.height]])"
            )
        ]

    def answers(self) -> dict[str, Any]:
        """Return what is answered so far beside the boxes: name of the question to value."""
        said = self.page.evaluate(f"() => {SELECTED}.serializeAnnotation()")
        return {one["from_name"]: one["value"] for one in said if one["from_name"] != "finding"}

    def click_on(self, xywh: Sequence[float]) -> None:
        """Click on the middle of a place on the film, in percent of it."""
        x, y, width, height = xywh
        self.page.mouse.click(*self._at(x + width / 2, y + height / 2))
        self.page.wait_for_timeout(200)

    def drag(self, xywh: Sequence[float]) -> None:
        """Draw a box by the mouse, in percent of the film."""
        x, y, width, height = xywh
        self.page.mouse.move(*self._at(x, y))
        self.page.mouse.down()
        for share in (0.3, 0.6, 1.0):  # a hand does not jump
            self.page.mouse.move(*self._at(x + share * width, y + share * height), steps=3)
        self.page.mouse.up()
        self.page.wait_for_timeout(200)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(200)

    def choice(self, name: str) -> Locator:
        """Return an answer that can be ticked."""
        return self.page.locator(".lsf-choice", has_text=name)

    def label(self, name: str) -> Locator:
        """Return the button of a class."""
        return self.page.locator(".lsf-label", has_text=name)

    def listed_boxes(self, label: str) -> Locator:
        """Return the boxes of a class in the panel at the side."""
        return self.page.locator(".lsf-outliner-item", has_text=label)

    def out_of_sight(self, parts: dict[str, Locator]) -> list[str]:
        """Return the names of those that are not wholly on the screen, or covered."""
        hidden = []
        for name, part in parts.items():
            box = part.bounding_box() if part.count() == 1 and part.is_visible() else None
            if box is None or not _is_inside(box) or not part.evaluate(UNCOVERED):
                hidden.append(name)
        return hidden

    def film_pixels(self) -> np.ndarray:
        """Return (H, W) uint8, grey: the film as the screen shows it, boxes and all."""
        picture = np.frombuffer(self.page.screenshot(clip=self._film()), np.uint8)
        return cv2.imdecode(picture, cv2.IMREAD_GRAYSCALE)

    def painted(self, colours: Sequence[str]) -> list[int]:
        """Return how many pixels of the film's canvas have each of some colours, #RRGGBB."""
        rgb = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]
        return self.page.evaluate(CANVAS, [STAGE, rgb, 12])

    def _fill_in(self, form: str, address: str, password: str) -> None:
        self.page.goto(form)
        self.page.fill("input[name=email]", address)
        self.page.fill("input[name=password]", password)
        self.page.locator("button[type=submit]").click()
        self.page.wait_for_url(lambda url: "/user/" not in url)

    def _film(self) -> FloatRect:
        box = self.page.locator(FILM).bounding_box()
        assert box is not None
        return box

    def _at(self, x: float, y: float) -> tuple[float, float]:
        box = self._film()
        return box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100


def _is_inside(box: FloatRect) -> bool:
    return (
        min(box["x"], box["y"]) >= 0
        and box["x"] + box["width"] <= SCREEN["width"]
        and box["y"] + box["height"] <= SCREEN["height"]
    )
