"""What is changed, by the paths of files and by versions."""

import pytest

from afdp_exporter.changes import ChangedFile, change_features, change_types
from afdp_exporter.model import ChangeType


@pytest.mark.parametrize(
    ("path", "kind", "types"),
    [
        ("app/api.py", None, (ChangeType.CODE,)),
        ("db/migrate/20260301_add.rb", "migrations", (ChangeType.DATABASE,)),
        ("shop/migrations/0042_move.py", "migrations", (ChangeType.DATABASE,)),
        ("src/main/resources/V7__orders.sql", "migrations", (ChangeType.DATABASE,)),
        ("Dockerfile", "dockerfiles", (ChangeType.INFRASTRUCTURE,)),
        ("build/api.Dockerfile", "dockerfiles", (ChangeType.INFRASTRUCTURE,)),
        ("Dockerfile.prod", "dockerfiles", (ChangeType.INFRASTRUCTURE,)),
        ("charts/shop/values.yaml", "manifests", (ChangeType.INFRASTRUCTURE,)),
        ("overlays/kustomization.yml", "manifests", (ChangeType.INFRASTRUCTURE,)),
        ("infra/main.tf", "terraform", (ChangeType.INFRASTRUCTURE,)),
        ("package-lock.json", "dependencies", (ChangeType.CODE,)),
        ("requirements-dev.txt", "dependencies", (ChangeType.CODE,)),
        ("config/settings.yml", None, (ChangeType.CONFIG,)),
        ("tests/test_api.py", "tests", ()),
        ("web/cart.spec.ts", "tests", ()),
        ("README.md", "documents", ()),
        ("docs/migrations/how-to.md", "documents", ()),
        ("logo.png", None, ()),
        ("Dockerfiles.txt.bak", None, ()),
    ],
)
def test_a_path_shows_its_kind(path: str, kind: str | None, types: tuple[ChangeType, ...]) -> None:
    found = change_features([ChangedFile(path)])
    assert found.pop("files_changed") == 1
    assert found == ({} if kind is None else {f"{kind}_changed": 1.0})
    assert change_types([ChangedFile(path)]) == types


def test_files_count_once_and_lines_only_where_they_are_known() -> None:
    files = [ChangedFile("a.py", 3, 1), ChangedFile("a.py", 3, 1), ChangedFile("b.sql", 2, 0), ChangedFile("c.bin")]
    assert change_features(files) == {
        "files_changed": 3.0,
        "migrations_changed": 1.0,
        "lines_added": 5.0,
        "lines_removed": 1.0,
    }
    assert change_features([]) == {"files_changed": 0.0}
