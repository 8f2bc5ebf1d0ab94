"""The house as it is drawn, and the house as it stands."""

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from afdp_exporter.alerts import AlertSettings
from afdp_exporter.config import Policy
from afdp_exporter.handlers.access import Token, User
from afdp_exporter.metrics import CardinalityLimits
from afdp_exporter.model import CalendarEntry, Metric, Money, Service
from afdp_exporter.planning.plans import PlanningSettings
from afdp_exporter.source_access import PacingPolicy
from afdp_exporter.tracking.annotations import AnnotationSettings
from afdp_exporter.watching.evidence import AnalysisSettings
from afdp_exporter.watching.watch import Schedule

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "afdp_exporter"
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 500


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_function_fits_on_a_screen_and_hides_no_import_of_ours(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{module.name}: {node.name}"
            hidden = [inner for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom)]
            assert not any((entry.module or "").startswith("afdp_exporter") for entry in hidden), node.name


def imports(module: Path) -> list[str]:
    """Everything that a module imports, dotted; `a.b` for `from a import b`."""
    found = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_no_private_module_is_imported_by_another_package() -> None:
    for module in MODULES:
        home = ".".join(("afdp_exporter", *module.relative_to(PACKAGE).parent.parts))
        for name in imports(module):
            owner = re.match(r"(afdp_exporter\.[\w.]*?)\._(?!_)", name)
            assert owner is None or f"{home}.".startswith(f"{owner[1]}."), f"{module}: {name}"


def protocols() -> list[tuple[str, int]]:
    """Each protocol of the package, and how many operations it has."""
    return [
        (node.name, sum(isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) for inner in node.body))
        for module in MODULES
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    ]


def test_a_port_is_of_one_aggregate_and_has_nine_operations_at_most() -> None:
    found = dict(protocols())
    assert {"DeploymentStore", "DecisionStore", "ActionStore", "ComputePool"} <= found.keys()
    large = {name: operations for name, operations in found.items() if operations > 9}
    assert large.keys() == {"Store"}  # all ports of one store together


def test_only_the_shell_answers_requests() -> None:
    shell = {"handlers", "background.py", "server.py", "commands", "demo"}
    serving = {module.relative_to(PACKAGE).parts[0] for module in MODULES if "aiohttp.web" in imports(module)}
    assert serving <= shell


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "helpers", "core", "common", "base", "manager", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in empty]


def test_every_place_of_the_architecture_page_exists() -> None:
    table = (ROOT / "docs/architecture.md").read_text().split("## The tree")[1].split("## ")[0]
    named = {
        name for row in re.findall(r"^\|([^|]+)\|", table, re.MULTILINE) for name in re.findall(r"`([\w/.]+)`", row)
    }
    missing = {name for name in named if not (PACKAGE / name).exists()}
    assert not missing
    listed = {name.strip("/") for name in named}
    present = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert present - {"__init__.py", "__main__.py"} <= listed


@pytest.mark.parametrize("step", ["tracking", "watching", "planning"])
def test_every_module_of_a_step_is_named_in_its_row(step: str) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    (row,) = re.findall(rf"^\| `{step}/` \|.*$", page, re.MULTILINE)
    modules = {path.stem for path in (PACKAGE / step).glob("*.py")} - {"__init__"}
    assert modules == set(re.findall(r"`(\w+)`", row))


def test_the_way_from_a_webhook_body_to_a_number_names_each_room_once() -> None:
    way = (ROOT / "docs/architecture.md").read_text().split("## From a webhook body")[1].split("## ")[0]
    rooms = re.findall(r"`([\w.]+)[/`]", way.partition("\n")[2])
    assert len(rooms) == len(set(rooms))
    assert [name for name in rooms if not (PACKAGE / name).exists()] == []
    asked = {
        "handlers",
        "webhooks",
        "tracking",
        "store",
        "jobs",
        "watching",
        "sources",
        "detectors",
        "impact",
        "metrics",
    }
    assert asked <= set(rooms)


def test_every_place_of_the_map_exists() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## Map")[1].split("## ")[0]
    missing = [name for name in re.findall(r"^\| `([\w/.]+)`", table, re.MULTILINE) if not (ROOT / name).exists()]
    assert not missing


def glossary() -> list[tuple[str, str]]:
    """Each term of the glossary, and where it is said to be."""
    table = (ROOT / "docs/architecture.md").read_text().split("## Glossary")[1].split("## ")[0]
    return re.findall(r"^\| ([^|]+?) \| `([\w/.]+)` \| [^|]+ \|$", table, re.MULTILINE)


def test_the_glossary_is_read() -> None:
    assert len(glossary()) > 40


@pytest.mark.parametrize(("term", "place"), glossary())
def test_every_term_of_the_glossary_stands_where_it_says(term: str, place: str) -> None:
    def plain(text: str) -> str:
        return re.sub(r"[\s_]+", " ", text.lower())

    assert plain(term) in plain((PACKAGE / place).read_text())


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    blocks = (
        Metric,
        Money,
        Service,
        CalendarEntry,
        Token,
        AnnotationSettings,
        User,
        Schedule,
        AnalysisSettings,
        CardinalityLimits,
        PlanningSettings,
        PacingPolicy,
        AlertSettings,
    )
    keys = {entry.name for block in blocks for entry in fields(block)} | {entry.name for entry in fields(Policy)}
    assert not [key for key in sorted(keys) if not re.search(rf"\b{key}\b", page)]


def pages() -> list[Path]:
    """Every document of the project."""
    top = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"))
    return [*top, *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")]


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_file_that_a_page_names_exists() -> None:
    known = {
        path.name
        for folder in ("afdp_exporter", "benchmarks", "scripts", "tests")
        for path in ROOT.glob(f"{folder}/**/*.py")
    }
    for page in pages():
        for name in re.findall(r"`(?:[\w.-]+/)*(\w+\.py)`", page.read_text()):
            assert name in known, f"{page.name}: {name}"


def test_the_badges_say_what_the_project_says() -> None:
    done = subprocess.run(
        (sys.executable, ROOT / "scripts/badges.py", "--check"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_unforeseen_errors_are_caught_where_the_architecture_page_says_and_nowhere_else() -> None:
    def catches_all(module: Path) -> bool:
        handlers = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ExceptHandler)]
        raised = (ast.unparse(each.type) if each.type else "Exception" for each in handlers if not _raises(each))
        return "Exception" in set(raised)

    def _raises(handler: ast.ExceptHandler) -> bool:
        """Whether it only cleans up: its last word is a bare `raise`."""
        last = handler.body[-1]
        return isinstance(last, ast.Raise) and last.exc is None

    (line,) = re.findall(r"An error that nobody foresaw.*", (ROOT / "docs/architecture.md").read_text())
    listed = set(re.findall(r"`([\w/]+\.py)`", line))
    assert {str(module.relative_to(PACKAGE)) for module in MODULES if catches_all(module)} == listed
