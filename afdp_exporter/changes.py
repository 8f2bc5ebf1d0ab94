"""What a deployment changes, by the paths of its files and by its version: traits to learn from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from afdp_exporter.model import ChangeType, Trait

_MOST = 3000  # files that are looked at; more are only counted
_DOCUMENTS = {".md", ".rst", ".adoc", ".txt"}
_CODE = frozenset(
    (".c .cc .clj .cpp .cs .ex .exs .go .h .java .js .jsx .kt .php .pl .py .rb .rs .scala .swift .ts .tsx .vue").split()  # noqa: SIM905 - it reads better
)
_CONFIGURATION = {".yml", ".yaml", ".toml", ".ini", ".cfg", ".conf", ".env", ".properties", ".json"}
_MANIFESTS = re.compile(r"(^|/)(k8s|kubernetes|manifests?|helm|charts?|kustomize|deploy)/|(^|/)kustomization\.ya?ml$")
_MIGRATIONS = re.compile(r"(^|/)(db/migrate|migrations?|alembic|flyway|liquibase)/|\.sql$", re.IGNORECASE)
_DOCKERFILES = re.compile(r"(^|/)([\w.-]*\.)?(Dockerfile|Containerfile)(\.[\w.-]+)?$", re.IGNORECASE)
_TERRAFORM = re.compile(r"\.(tf|tfvars|hcl)$|(^|/)\.terraform\.lock\.hcl$")
_DEPENDENCIES = re.compile(
    r"(^|/)(requirements[\w.-]*\.txt|pyproject\.toml|poetry\.lock|uv\.lock|package(-lock)?\.json|yarn\.lock|pnpm-lock\.yaml|"
    r"go\.(mod|sum)|Cargo\.(toml|lock)|Gemfile(\.lock)?|pom\.xml|build\.gradle(\.kts)?|composer\.(json|lock))$"
)
_TESTS = re.compile(r"(^|/)(tests?|spec|__tests__)/|(^|/)test_[^/]+$|[._](test|spec)\.\w+$")


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that was added, changed or taken away; the lines where they are known."""

    path: str
    added: int | None = None
    removed: int | None = None


def change_features(files: Iterable[ChangedFile]) -> dict[str, Trait]:
    """How much is changed, and how many files of each kind that matters: only kinds that are there."""
    every = {file.path: file for file in files}
    counts: dict[str, float] = {}
    for path in list(every)[:_MOST]:
        kind = _kind(path)
        if kind is not None:
            counts[f"{kind}_changed"] = counts.get(f"{kind}_changed", 0.0) + 1
    found: dict[str, Trait] = {"files_changed": float(len(every)), **counts}
    lines = {
        "lines_added": [file.added for file in every.values()],
        "lines_removed": [file.removed for file in every.values()],
    }
    known = {name: [count for count in each if count is not None] for name, each in lines.items()}
    return found | {name: float(sum(each)) for name, each in known.items() if each}


def change_types(files: Iterable[ChangedFile]) -> tuple[ChangeType, ...]:
    """What kinds of change these files are; documents and tests are none."""
    found = set()
    for file in list(files)[:_MOST]:
        kind = _kind(file.path)
        if kind in _TYPES:
            found.add(_TYPES[kind])
        elif kind is None and PurePosixPath(file.path).suffix.lower() in _CODE:
            found.add(ChangeType.CODE)
        elif kind is None and PurePosixPath(file.path).suffix.lower() in _CONFIGURATION:
            found.add(ChangeType.CONFIG)
    return tuple(sorted(found))


_TYPES = {
    "migrations": ChangeType.DATABASE,
    "dockerfiles": ChangeType.INFRASTRUCTURE,
    "manifests": ChangeType.INFRASTRUCTURE,
    "terraform": ChangeType.INFRASTRUCTURE,
    "dependencies": ChangeType.CODE,
}
_KINDS = (
    ("tests", _TESTS),
    ("migrations", _MIGRATIONS),
    ("dockerfiles", _DOCKERFILES),
    ("terraform", _TERRAFORM),
    ("dependencies", _DEPENDENCIES),
    ("manifests", _MANIFESTS),
)


def _kind(path: str) -> str | None:
    if PurePosixPath(path).suffix.lower() in _DOCUMENTS and not _DEPENDENCIES.search(path):
        return "documents"
    return next((name for name, pattern in _KINDS if pattern.search(path)), None)
