"""A block of configuration -> a checked, frozen object; a kind -> its class; errors that name their place."""

import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from importlib.metadata import metadata
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BeforeValidator, ConfigDict, SecretStr, TypeAdapter, ValidationError

from afdp_exporter.errors import ConfigError, Fault

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
"""Give it to a dataclass as `__pydantic_config__`: an unknown key is then an error."""

_DEEPEST = 50  # blocks within blocks

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")


def parse_duration(text: object) -> timedelta:
    """Read a duration as Prometheus writes it (`90s`, `1h30m`, `7d`). Raises ValueError."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if match is None:
        raise ValueError("a duration such as 30s, 5m, 1h30m or 7d is expected")
    units = ("y", "w", "d", "h", "m", "s", "ms")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in zip(match.groups(), units, strict=True) if count)
    try:
        return timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("this duration is too long") from error


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """The content of a YAML file. Raises ConfigError where it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - a safe loader
    except OSError as error:
        raise ConfigError(str(path), error.strerror or "cannot be read") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(str(path), f"is not YAML: {_place(error)}{_without_values(error.problem)}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:  # whose words may hold what stands in the file
        raise ConfigError(str(path), f"is not YAML: {type(error).__name__}") from None


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which the last would count silently, and what is nested without end."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As yaml's own, up to a depth."""
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "nested too deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As yaml's own, of keys that differ."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, "a key is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _without_values(problem: str | None) -> str:
    """What the parser says, without what it quotes from the file, which may be a secret."""
    return re.sub(r"""(['"`]).*\1""", "...", " ".join((problem or "cannot be read").split()))


def read_secret(value: SecretStr | None, file: Path | None) -> str | None:
    """The secret itself, read anew from its file when it has one, so that a rotated secret works at once."""
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return value.get_secret_value() if value is not None else None


def faults(error: ValidationError) -> list[Fault]:
    """Everything that is wrong, one entry a field; the refused values are left out, since they may be secrets."""
    found = []
    for entry in error.errors(include_url=False, include_input=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in entry["loc"]).lstrip(".")
        message = entry["msg"].removeprefix("Value error, ")
        if entry["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            message = "unknown key"
        found.append(Fault(field=place, message=message))
    return found


def parse(kind: type[T], block: object, where: str) -> T:
    """Check `block` against the dataclass `kind`. Raises ConfigError with the place of the first fault."""
    try:
        return TypeAdapter(kind).validate_python(block)
    except ValidationError as error:
        found = faults(error)
        first = next((fault for fault in found if fault.message == "unknown key"), found[0])  # the cause of the others
        place = f"{where}.{first.field}" if where and first.field else where or first.field
        if first.message == "unknown key" and "." not in first.field and is_dataclass(kind):
            known = ", ".join(entry.name for entry in fields(kind) if entry.init)
            raise ConfigError(place, f"unknown key; known: {known}") from None
        raise ConfigError(place, first.message) from None


def kinds(package: str) -> list[str]:
    """The kinds that a package of plugins holds, by the names of its files."""
    module = importlib.import_module(f"afdp_exporter.{package}")
    return sorted(entry.name for entry in pkgutil.iter_modules(module.__path__) if not entry.name.startswith("_"))


def build(package: str, kind: object, block: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - the kind decides
    """Build the plugin `kind` of `package` from its block; only that one file is imported.

    Raises ConfigError for an unknown kind, an unknown key, a wrong value, or a missing optional dependency.
    """
    known = kinds(package)
    if not isinstance(kind, str) or kind not in known:
        raise ConfigError(f"{where}.kind", f"unknown kind {kind!r}; known: {', '.join(known)}")
    try:
        plugin = importlib.import_module(f"afdp_exporter.{package}.{kind}").PLUGIN
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __package__:
            raise  # our own mistake, which no package mends
        raise ConfigError(where, f"kind {kind} needs the package {error.name}: {_remedy(kind, error.name)}") from None
    return parse(plugin, block, where)


def _remedy(kind: str, module: str) -> str:
    """How to get what a plugin imports: by its extra, where it has one."""
    extras = metadata("afdp-exporter").get_all("Provides-Extra") or []
    package = f"'afdp-exporter[{kind}]'" if kind in extras else module.partition(".")[0]
    return f"pip install {package}"
