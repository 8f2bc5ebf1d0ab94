"""What runs is recognised however its image is written, and nothing else is taken for it."""

import pytest

from afdp_exporter.aws import names
from afdp_exporter.executors._cluster import runs
from afdp_exporter.executors._images import is_of
from afdp_exporter.fields import image_version
from executors.targets import template

COMMIT = "4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3d2"
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "version", "expected"),
    [
        ("shop/api:v2", "v2", True),
        ("shop/api:2", "v2", True),
        ("shop/api:v2", "2", True),
        ("registry:5000/shop/api:v2", "v2", True),
        (f"shop/api:v2@{DIGEST}", "v2", True),
        (f"shop/api@{DIGEST}", DIGEST, True),
        (f"shop/api@{DIGEST}", DIGEST.removeprefix("sha256:"), True),
        (f"shop/api:{COMMIT}", COMMIT[:7], True),
        (f"shop/api:{COMMIT}", COMMIT, True),
        ("shop/api:12", "2", False),
        ("shop/api:21.2", "1.2", False),
        (f"shop/api:v1@{DIGEST}", "v2", False),
        ("shop/api", "v2", False),
        ("registry:5000/shop/api", "5000/shop/api", False),
        (f"shop/api:{COMMIT}", COMMIT[:4], False),
        ("shop/api:", "", False),
    ],
)
def test_an_image_is_of_its_version_alone(image: str, version: str, expected: bool) -> None:
    assert is_of(image, version) is expected
    assert runs(template(image), version) is expected


@pytest.mark.parametrize("image", ["shop/api:v2", f"shop/api:v2@{DIGEST}", f"shop/api@{DIGEST}", f"shop/api:{COMMIT}"])
def test_what_is_recorded_of_an_image_is_found_in_it_again(image: str) -> None:
    assert is_of(image, image_version(image) or "")


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("123.dkr.ecr.eu-west-1.amazonaws.com/checkout:1.2", "v1.2", True),
        ("checkout-v1.2.zip", "1.2", True),
        ("arn:aws:ecs:eu-west-1:1:task-definition/checkout:7", "7", True),
        ("checkout:1.2.3", "1.2", False),
        ("checkout:11.2", "1.2", False),
        ("checkout:v1.20", "v1.2", False),
    ],
)
def test_a_version_in_a_text_is_a_word_of_its_own(text: str, version: str, expected: bool) -> None:
    assert names(text, version) is expected
