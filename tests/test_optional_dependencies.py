"""What an installation does not use is not loaded, and named by its extra where it is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import build

OPTIONAL = (
    "aiodocker",
    "boto3",
    "botocore",
    "dask",
    "distributed",
    "google",
    "graphql",
    "jsonpath_ng",
    "kubernetes_asyncio",
    "opentelemetry",
    "psycopg",
    "psycopg_pool",
)
LATER = ("holidays", "pandas", "pyarrow", "scipy.optimize", "sqlite_utils")
CONFIG = """
sources:
  - {name: prometheus, kind: prometheus, url: "http://localhost:9090"}
metrics:
  - {name: up, layer: technical, query: sum(up)}
"""
PROGRAM = """
import sys
from pathlib import Path
import afdp_exporter.cli, afdp_exporter.server, afdp_exporter.store.sqlite
from afdp_exporter import config
config.load(Path(sys.argv[1]))
print(sorted(set(sys.modules) & set(sys.argv[2:])))
"""


@pytest.mark.parametrize("packages", [OPTIONAL, LATER], ids=["of the clouds", "that only some calls need"])
def test_who_asks_a_prometheus_alone_loads_nothing(packages: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(CONFIG)
    command = [sys.executable, "-c", PROGRAM, str(file), *packages]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


NEW_STORE = """
import asyncio, sys
from pathlib import Path
from afdp_exporter.store.sqlite import SQLiteStore
async def make():
    await (await SQLiteStore.open(Path(sys.argv[1]))).close()
asyncio.run(make())
print("sqlite_utils" in sys.modules, "pandas" in sys.modules)
import pandas
"""


def test_who_makes_a_store_loads_no_pandas(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NEW_STORE, str(tmp_path / "new.db")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True False\n"


COLLECTED = """
import gc
from afdp_exporter import cli
cli._Commands().get_command(None, "serve")
print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)
"""


def test_the_garbage_collector_walks_through_nothing_of_the_program() -> None:
    """It did for a quarter of a second at a time, in which no request was answered."""
    command = [sys.executable, "-c", COLLECTED]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True True True\n"


LOGINS = {"sigv4": ("_aws", "botocore", "aws"), "google_iam": ("_google", "google.auth", "google")}


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_whose_package_is_missing_names_its_extra(login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, package, extra = LOGINS[login]
    monkeypatch.delitem(sys.modules, f"afdp_exporter.logins.{module}", raising=False)
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")] + [package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"{login} needs the package {package}.*'afdp-exporter\[{extra}\]'"):
        build("sources", "prometheus", {"url": "http://localhost:9090", login: {}}, "sources[0]")


PLUGINS = {
    ("executors", "lambda"): ("botocore", "aws"),
    ("feeds", "kubernetes"): ("kubernetes_asyncio", "kubernetes"),
    ("webhooks", "new_relic"): ("graphql", "new_relic"),
}


@pytest.mark.parametrize(("package", "kind"), PLUGINS)
def test_a_plugin_whose_package_is_missing_names_the_extra_that_holds_it(
    package: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, extra = PLUGINS[package, kind]
    hidden = (f"afdp_exporter.{package}.{kind}", "afdp_exporter.aws")
    for name in hidden:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")] + [module]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"kind {kind} needs the package {module}.*'afdp-exporter\[{extra}\]'"):
        build(package, kind, {}, package)


def test_an_encoding_whose_package_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "afdp_exporter.notify._otlp_protobuf", raising=False)
    for name in [name for name in sys.modules if name.startswith("opentelemetry")] + ["opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"protobuf needs the package opentelemetry.*'afdp-exporter\[otlp\]'"):
        build("notify", "otlp", {"url": "http://localhost:4318", "encoding": "protobuf"}, "notify[0]")
