"""What the image is made of: locked by hash, listed, the same at each build; and the lowest versions allowed."""

import hashlib
import json
import re
import shutil
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.conftest import DEPLOY, ROOT, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PURE = ("detectors", "impact", "patterns", "store/contract", "wording", "webhooks")
BESIDE_THE_PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "scripts/home.py")
IN_THE_IMAGE = ("aws", "dask", "generic", "github", "google", "kubernetes", "new_relic", "otlp", "swarm")


async def built(source: Path, target: str) -> list[Path]:
    done = await run("python", "-m", "hatchling", "build", "-t", target, cwd=source)
    assert done.code == 0, done.err
    return list((source / "dist").glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[target]))


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Package -> its version and how many files of it are allowed."""
    entries = re.split(r"^(?=[\w.-]+==)", (DEPLOY / "docker" / name).read_text(), flags=re.MULTILINE)
    found = {}
    for entry in filter(None, entries):
        package, version = entry.split()[0].split("==")
        found[package] = (version, entry.count("--hash=sha256:"))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_installs_what_the_project_asks_for_and_nothing_without_a_hash() -> None:
    found = locked("requirements.lock")
    extras = [PROJECT["optional-dependencies"][extra] for extra in IN_THE_IMAGE]
    for asked in map(Requirement, sum(extras, list(PROJECT["dependencies"]))):
        version, _ = found[normal(asked.name)]
        assert asked.specifier.contains(version), f"{asked} is locked at {version}: run scripts/lock"
    everything = found | locked("build.lock")
    assert all(hashes for _, hashes in everything.values())
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    installed = re.findall(r"pip install (.+?)(?: &&|$)", dockerfile, re.MULTILINE)
    assert all("--require-hashes" in line or "--no-deps" in line for line in installed)


def test_the_base_image_is_named_by_its_digest_and_each_action_by_its_commit() -> None:
    base = re.findall(r"^ARG BASE=(.+)$", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert [re.fullmatch(r"[\w.:-]+@sha256:[0-9a-f]{64}", name) is not None for name in base] == [True]
    used = [
        name
        for file in DEPLOY.rglob("*.y*ml")
        for name in re.findall(r"^\s*-? ?uses: (\S+@\S+)", file.read_text(), re.MULTILINE)
    ]
    assert used
    assert [name for name in used if not re.search(r"@([0-9a-f]{40}|COMMIT)$", name)] == []


async def test_two_builds_make_the_same_wheel(tmp_path: Path) -> None:
    digests = set()
    for place in ("one", "another"):
        source = tmp_path / place
        source.mkdir()
        for name in ("afdp_exporter", "grafana"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in BESIDE_THE_PACKAGE:
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
        (wheel,) = await built(source, "wheel")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1


async def test_a_package_names_its_home_wherever_it_was_built(tmp_path: Path) -> None:
    """The one line of pyproject.toml is enough, for the wheel, the source and a wheel that is built from that."""
    settings = (ROOT / "pyproject.toml").read_text()
    for home in ("", "https://git.example/team/afdp-exporter"):
        source = tmp_path / f"at-{len(home)}"
        for name in BESIDE_THE_PACKAGE:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
        (source / "afdp_exporter").mkdir()
        (source / "afdp_exporter/__init__.py").touch()
        (source / "pyproject.toml").write_text(settings.replace('\nhome = ""', f'\nhome = "{home}"'))
        (archive,) = await built(source, "sdist")
        with tarfile.open(archive) as content:
            content.extractall(source / "again", filter="data")
        (unpacked,) = (source / "again").iterdir()
        texts = []
        for (wheel,) in (await built(source, "wheel"), await built(unpacked, "wheel")):
            with zipfile.ZipFile(wheel) as content:
                (name,) = (each for each in content.namelist() if each.endswith(".dist-info/METADATA"))
                texts.append(content.read(name).decode())
        assert texts[0] == texts[1]
        metadata = message_from_string(texts[0])
        readme = (ROOT / "README.md").read_text()
        addresses = re.findall(r'(?:\]\(|src="|srcset=")([^)"]+)', metadata.get_payload())
        assert len(addresses) == len(re.findall(r'(?:\]\(|src="|srcset=")([^)"]+)', readme)) > 10
        relative = [each for each in addresses if not each.startswith(("https://", "#"))]
        if not home:
            assert (metadata.get_payload(), metadata.get_all("Project-URL")) == (readme, None)
            continue
        assert relative == []
        version = PROJECT["version"]
        assert f"Source, {home}" in metadata.get_all("Project-URL")
        for address in addresses:
            place = address.removeprefix(f"{home}/").removeprefix(f"raw/v{version}/").removeprefix(f"blob/v{version}/")
            assert place == address or (ROOT / place.partition("#")[0]).exists(), address


async def test_the_bill_of_materials_names_every_dependency(tmp_path: Path) -> None:
    """As the image's build writes it, here of the environment of the tests."""
    bill = tmp_path / "sbom.cdx.json"
    done = await run("cyclonedx-py", "environment", "--output-reproducible", "-o", bill)
    assert done.code == 0, done.err
    named = {normal(each["name"]) for each in json.loads(bill.read_text())["components"]}
    assert {normal(Requirement(each).name) for each in PROJECT["dependencies"]} <= named


@pytest.mark.slow
async def test_the_lowest_versions_that_are_allowed_do(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    install = ("uv", "pip", "install", "--quiet", "--system-certs", "--python", python)
    floors = ("--resolution", "lowest-direct", "--editable", f"{ROOT}[{','.join(IN_THE_IMAGE)}]")
    for command in (
        ("uv", "venv", "--quiet", tmp_path / "venv"),
        (*install, *floors),
        (*install, "--editable", f"{ROOT}[test]"),  # what is installed stays as it is where it will do
        (python, "-m", "pytest", "-q", "-x", "-n", "2", "-p", "no:cacheprovider", *(f"tests/{part}" for part in PURE)),
    ):
        done = await run(*command, cwd=ROOT, patience=3600)
        assert done.code == 0, done.out + done.err
