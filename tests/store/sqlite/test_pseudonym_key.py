"""The key that hides people: made once, for nobody else to read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.store.sqlite.pseudonym_key import pseudonym_key


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = pseudonym_key(tmp_path)
    assert (len(first), pseudonym_key(tmp_path)) == (32, first)
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert pseudonym_key(tmp_path / "other") != first


def test_of_several_that_are_made_at_once_one_stays(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(pseudonym_key, [tmp_path] * 32))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"pepper")
    with pytest.raises(StoreError, match="is no key"):
        pseudonym_key(tmp_path)
    assert (tmp_path / "salt").read_bytes() == b"pepper"


def test_a_folder_that_is_away_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        pseudonym_key(tmp_path / "none")
