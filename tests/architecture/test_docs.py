"""The documentation keeps its promises: what it names exists, and what exists is named."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer
import yaml

from lungal import errors
from lungal.acquisition.selection import SELECTORS
from lungal.acquisition.strategies import STRATEGIES
from lungal.cli.main import app
from lungal.errors import LungalError

ROOT = Path(__file__).resolve().parents[2]
DOCS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "mlruns/README.md",
]
CODE = [
    path for folder in ("lungal", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))
]
MACHINE = ("model", "train", "tune", "crossfit")
SHIPPED = ("demo", "cpu", "gpu")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
WIDEST = 100


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def leaves(section, prefix=""):
    for key, value in section.items():
        # An empty one is a mapping that a user fills, and so are the arms of a simulation.
        if isinstance(value, dict) and value and key != "arms":
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def parameters():
    params = yaml.safe_load(read("params.yaml"))
    profiles = params.pop("profiles")
    return {*leaves(params), *(key for profile in profiles.values() for key in leaves(profile))}


def commands(command=None, path=("lungal",)):
    """Yield ("lungal data fetch", its options) of every command that does something."""
    command = command or typer.main.get_command(app)
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
        return
    options = [opt for param in command.params for opt in (*param.opts, *param.secondary_opts)]
    yield (
        " ".join(path),
        {option for option in options if option.startswith("-")} - {"--help", "-h"},
    )


def sections(markdown):
    """Return the text below each heading of the second level, by heading without backquotes."""
    parts = re.split(r"^## (.+)$", markdown, flags=re.MULTILINE)[1:]
    return {
        title.strip().replace("`", ""): body for title, body in zip(*[iter(parts)] * 2, strict=True)
    }


def without_code(markdown):
    return re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """GitHub's names of a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", without_code(path.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets(text):
    for code in re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.MULTILINE | re.DOTALL):
        for words in re.findall(r"(?:^|[`$] ?|time |&& )make ((?:[a-z-]+ ?)+)", code, re.MULTILINE):
            yield from words.split()


def test_every_parameter_is_documented_and_none_that_is_gone():
    documented = re.findall(r"^\| `([a-z0-9_.]+)` \|", read("docs/params.md"), re.MULTILINE)
    assert len(documented) == len(set(documented)), "a parameter is documented twice"
    assert set(documented) == parameters()


def test_the_profiles_that_are_documented_exist():
    profiles = yaml.safe_load(read("params.yaml"))["profiles"]
    for page in ("README.md", "docs/params.md"):
        assert {name for name in SHIPPED if f"`{name}`" in read(page)} == set(SHIPPED)
    assert set(SHIPPED) <= set(profiles)  # people add their own


def test_machine_sections_have_a_heading_each():
    assert set(MACHINE) == set(next(iter(yaml.safe_load(read("params.yaml"))["profiles"].values())))
    for section in MACHINE:
        assert f"\n### {section}\n" in read("docs/params.md")


def test_every_command_is_documented_and_none_that_is_gone():
    documented = {title for title in sections(read("docs/cli.md")) if title.startswith("lungal ")}
    assert documented == {name for name, _ in commands()}


@pytest.mark.parametrize(("name", "options"), list(commands()))
def test_every_option_is_documented_and_none_that_is_gone(name, options):
    rows = re.findall(r"^\| (`-.+?) \|", sections(read("docs/cli.md"))[name], re.MULTILINE)
    assert {option.strip("` ") for row in rows for option in row.split(",")} == options


@pytest.mark.parametrize(("known", "part"), [(STRATEGIES, "Strategies"), (SELECTORS, "Selectors")])
def test_every_way_of_choosing_is_explained_and_none_that_is_gone(known, part):
    page = read("docs/choosing.md")
    (explained,) = re.findall(rf"^## {part}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"^### (\w+)$", explained, re.MULTILINE))
    assert named == set(known)
    audited = set(re.findall(r"^\| `(\w+)` \|", page.split("## The audit")[1], re.MULTILINE))
    assert audited == set(SELECTORS)


def test_the_readme_names_every_command():
    for name, _ in commands():
        words = name.split()
        assert f"`{name}`" in read("README.md") or f"`{words[-1]}`" in read("README.md")


def test_every_error_is_documented_with_its_exit_code():
    known = {
        name: cls.exit_code
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, LungalError)
    }
    rows = re.findall(r"^\| `(\w+Error)` \| (\d+) \|", read("docs/cli.md"), re.MULTILINE)
    assert {name: int(code) for name, code in rows} == known


def test_every_environment_variable_that_is_read_is_documented():
    pattern = re.compile(
        r'environ(?:\.get\(|\[)"(\w+)"|envvar="(\w+)"|^ROOT_VARIABLE = "(\w+)"', re.M
    )
    read_somewhere = {
        name
        for path in CODE
        for names in pattern.findall(path.read_text(encoding="utf-8"))
        for name in names
        if name
    }
    assert len(read_somewhere) > 5, "the pattern finds nothing any more"
    assert {name for name in read_somewhere if f"`{name}`" not in read("docs/cli.md")} == set()


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(make_targets(page.read_text(encoding="utf-8"))) <= targets


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_fit_a_screen(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert [number for number, line in lines if len(line) > WIDEST] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_named_in_the_documentation_exist(page):
    named = re.findall(
        r"`((?:lungal|pipelines|tests|servers|benchmarks)/[\w./-]+)`", page.read_text()
    )
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_pages_named_in_the_code_exist():
    named = {
        (path.name, page)
        for path in [*CODE, ROOT / "params.yaml", ROOT / "pyproject.toml", ROOT / "Makefile"]
        for page in re.findall(r"docs/[\w/-]+(?:\.md)?", path.read_text(encoding="utf-8"))
    }
    assert named, "the pattern finds nothing any more"
    assert {
        name for name in named if not list(ROOT.glob(f"{name[1].removesuffix('.md')}*.md"))
    } == set()


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_in_the_documentation_imports(page):
    blocks = re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.DOTALL
    )
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("lungal"):
            place = ROOT.joinpath(*node.module.split("."))
            source = (
                place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            ).read_text()
            for alias in node.names:
                offered = rf"^(class|def) {alias.name}\b|import {alias.name} as {alias.name}$"
                assert re.search(offered, source, re.MULTILINE), alias.name


def test_every_decision_is_in_the_index():
    pages = {path.name for path in (ROOT / "docs/adr").glob("0*.md")}
    assert pages == set(LINK.findall(read("docs/adr/README.md")))
