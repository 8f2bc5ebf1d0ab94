"""How far it is from one version to the next: the same answer for whoever asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.versions import version_jump


@pytest.mark.parametrize(
    ("previous", "version", "jump"),
    [
        ("1.4.2", "2.0.0", "major"),
        ("v1.4.2", "v1.5.0", "minor"),
        ("1.4.2", "1.4.3", "patch"),
        ("1.4.2", "1.4.1", "back"),
        ("2.0", "1.9.9", "back"),
        ("1.4.2", "1.4.2", "same"),
        ("1.4.2", "v1.4.2", "same"),
        ("1.2", "1.2.0+build5", "same"),
        ("1.2.0+9c1", "1.2.0+0a2", "same"),
        ("1.4.2-rc1", "1.4.2", "patch"),
        ("1.2.3", "1.2.3-rc1", "back"),
        ("1.2.3-rc.1", "1.2.3-rc.2", "patch"),
        ("1.2.3.4", "1.2.3.5", "patch"),
        ("1.2.3-SNAPSHOT", "1.3.0-SNAPSHOT", "minor"),
        ("1.2.3-alpine", "1.2.4-alpine", "patch"),
        ("api-v2.1.0", "api-v2.2.0", "minor"),
        ("release/2.1", "release/3.0", "major"),
        ("1.9.0", "1.10.0", "minor"),
        ("7", "8", "major"),
        ("10", "9", "back"),
        ("2026.11", "2026.12", "minor"),
        ("2024-05-01", "2024-06-02", "minor"),
        ("2024-05-01", "2024-05-02", "patch"),
        ("20240501", "20250101", "major"),
        ("2024.05.01-1", "2024.05.01-2", "patch"),
        ("2024-06-01", "2024-05-31", "back"),
        ("v2024.5.1", "2024-05-01", "same"),
        ("1.9.3", "2024.1.0", None),
        ("f95f852", "1.2.3", None),
        ("1234a56", "1234a57", None),
        ("12345678", "12345679", None),
        ("release", "1.0.0", None),
        ("latest", "latest", None),
        (None, "1.2.3", None),
        ("1.2.3", None, None),
        ("", "1.2.3", None),
        ("1.2.3", "9" * 5000 + ".1", "major"),
    ],
)
def test_a_jump_is_named_by_its_first_number_that_differs(
    previous: str | None, version: str | None, jump: str | None
) -> None:
    assert version_jump(previous, version) == jump


@given(previous=st.text(st.sampled_from("v0129.-+_/rca "), max_size=14), version=st.text(max_size=14))
def test_any_two_texts_have_a_jump_or_none_and_only_one_way_is_forward(previous: str, version: str) -> None:
    there, back = version_jump(previous, version), version_jump(version, previous)
    assert (there is None) is (back is None)
    assert there not in {"major", "minor", "patch"} or back == "back"
    assert version_jump(previous, previous) in {None, "same"}
