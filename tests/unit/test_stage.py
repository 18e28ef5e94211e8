import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lungal.errors import ParamsError, ServerError
from lungal.params import Params
from lungal.paths import Paths, load_paths
from pipelines import stage

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def raising(error: BaseException) -> Callable[[Params], None]:
    def body(_: Params) -> None:
        raise error

    return body


def test_a_body_gets_the_parameters() -> None:
    seen: list[str] = []
    assert stage.run("split", lambda params: seen.append(params.profile)) == 0
    assert seen == ["demo"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ServerError("no answer"), 3, "lungal split: no answer\n"),
        (ParamsError("misspelt"), 2, "lungal split: misspelt\n"),
        (KeyboardInterrupt(), 130, "lungal split: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.run("split", raising(error)) == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        stage.run("split", raising(ZeroDivisionError()))


def test_without_params_it_says_where_to_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").unlink()
    assert stage.run("split", raising(AssertionError())) == 2
    assert "run from the root" in capsys.readouterr().err


def test_paths_are_those_of_dvc_yaml() -> None:
    spelled = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["vars"][0]["path"]
    assert {name: str(getattr(stage.PATHS, name)) for name in spelled} == spelled
    assert set(spelled) == set(Paths.__slots__)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("vars:\n  - path: {images: data/images}", "disagree on annotations, best"),
        ("vars: []", "disagree"),
        ("", "disagree"),
        ("vars: [", "is not YAML"),
        (None, "is missing"),
    ],
)
def test_paths_that_cannot_be_read(project: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (project / "dvc.yaml").write_text(text)
    with pytest.raises(ParamsError, match=complaint):
        load_paths(project / "dvc.yaml")


def test_progress_off_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr(stage.time, "monotonic", lambda: next(now))
    with caplog.at_level(logging.INFO):
        assert list(stage.track("abcdefgh", 8, "letters")) == list("abcdefgh")
    assert [record.getMessage() for record in caplog.records] == [
        "letters: 3 of 8",
        "letters: 6 of 8",
    ]


def test_progress_on_a_terminal_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(stage.track(range(3), 3, "letters"))
    drawn = capsys.readouterr()
    assert "letters" in drawn.err
    assert not drawn.out
