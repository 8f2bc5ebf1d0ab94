"""A block of configuration -> a checked, frozen object; a kind -> its class; errors that name their place."""

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from importlib.metadata import metadata
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from packaging.requirements import Requirement
from pydantic import BeforeValidator, ConfigDict, SecretStr, TypeAdapter, ValidationError, WithJsonSchema

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


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|[ywdhms]))+$", "examples": ["30s", "5m", "1h30m", "7d"]}),
]


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


def line_of(path: Path, place: str) -> int | None:
    """The line, from 1, at which a place such as `metrics[0].query` stands in a YAML file, else the block around it.

    None where nothing of it is found.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), _Strict)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    line = None
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        if isinstance(node, yaml.MappingNode) and name:
            found = next(((key, value) for key, value in node.value if key.value == name), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line + 1
        else:
            break
    return line


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
    return [
        Fault(field=_dotted(entry["loc"]), message=_worded(entry["type"], entry["msg"]))
        for entry in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _dotted(place: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _worded(kind: str, message: str) -> str:
    """A fault in words that name no class of ours and none of a library."""
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        return "unknown key"
    if kind in _WORDS:
        return _WORDS[kind]
    return re.sub(r"^(Value error, |Input should be (?=\S))", lambda found: _ROOTS[found[0]], message)


_ROOTS = {"Value error, ": "", "Input should be ": "should be "}
_WORDS = {
    "missing": "is missing",
    "missing_argument": "is missing",
    "dataclass_type": "a block of keys is expected",
    "dict_type": "a block of keys is expected",
    "mapping_type": "a block of keys is expected",
    "list_type": "a list is expected",
    "tuple_type": "a list is expected",
    "string_type": "text is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "int_type": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_type": "a number is expected",
    "float_parsing": "a number is expected",
}


def parse(kind: type[T], block: object, where: str) -> T:
    """Check `block` against the dataclass `kind`. Raises ConfigError with every fault, unknown keys first."""
    try:
        return TypeAdapter(kind).validate_python(block)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_input=False, include_context=False)
        found = [_named(kind, entry["loc"], fault) for entry, fault in zip(entries, faults(error), strict=True)]
        unknown = [fault for fault in found if fault.message.startswith("unknown key")]
        meant = {(_parent(fault.field), name) for fault in unknown for name in _meant(fault.message)}
        others = [  # a key that is written wrongly is also missing: that is said once
            each for each in found if each not in unknown and (_parent(each.field), _leaf(each.field)) not in meant
        ]
        first, *rest = [replace(each, field=_within(where, each.field)) for each in (*unknown, *others)]
        raise ConfigError(first.field, first.message, *rest) from None


def _named(kind: type, place: Sequence[int | str], fault: Fault) -> Fault:
    """A fault as it is; an unknown key with those that are known, and the one that was probably meant."""
    known = _keys(kind, place[:-1]) if fault.message == "unknown key" else []
    if not known:
        return fault
    near = get_close_matches(str(place[-1]), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return Fault(fault.field, f"unknown key; known: {', '.join(known)}{hint}")


def _keys(kind: Any, place: Sequence[int | str]) -> list[str]:  # noqa: ANN401 - any annotation
    """The keys of the block at a place within a dataclass; none where no block is there."""
    if get_origin(kind) is Annotated or get_origin(kind) in {Union, UnionType}:
        return next(filter(None, (_keys(each, place) for each in get_args(kind))), [])
    if place and isinstance(place[0], int):
        return next(filter(None, (_keys(each, place[1:]) for each in get_args(kind))), [])
    if get_origin(kind) is not None and issubclass(get_origin(kind), Mapping):
        return _keys(get_args(kind)[1], place[1:]) if place else []
    if not is_dataclass(kind):
        return []
    if not place:
        return [entry.name for entry in fields(kind) if entry.init]
    return _keys(get_type_hints(kind, include_extras=True).get(str(place[0])), place[1:])


def _meant(message: str) -> list[str]:
    return re.findall(r"did you mean (\w+)\?", message)


def _parent(place: str) -> str:
    return place.rpartition(".")[0]


def _leaf(place: str) -> str:
    return place.rpartition(".")[2]


_FOR_DEVELOPERS = frozenset({"dev", "docs", "fuzz", "test"})


def _within(where: str, place: str) -> str:
    return f"{where}.{place}" if where and place and place[0] != "[" else where + place


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
        near = get_close_matches(str(kind), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{where}.kind", f"unknown kind {kind!r}; known: {', '.join(known)}{hint}")
    try:
        plugin = importlib.import_module(f"afdp_exporter.{package}.{kind}").PLUGIN
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __package__:
            raise  # our own mistake, which no package mends
        raise ConfigError(where, f"kind {kind} needs the package {error.name}: {_remedy(kind, error.name)}") from None
    return parse(plugin, block, where)


def optional(user: str, module: str, *, extra: str) -> Any:  # noqa: ANN401 - whatever it holds
    """A module of ours that needs optional packages, for a setting. Raises ValueError where they are not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __package__:
            raise  # our own mistake, which no package mends
        raise ValueError(f"{user} needs the package {error.name}: pip install 'afdp-exporter[{extra}]'") from None


def _remedy(kind: str, module: str) -> str:
    """How to get what a plugin imports: by the extra of its name or the one that holds it, where there is one."""
    described, package = metadata("afdp-exporter"), module.partition(".")[0]
    extras = [extra.replace("-", "_") for extra in described.get_all("Provides-Extra") or []]
    asked = [Requirement(each) for each in described.get_all("Requires-Dist") or []]
    holding = [
        extra
        for extra in extras
        if extra not in _FOR_DEVELOPERS
        for each in asked
        if each.name.replace("-", "_") == package and each.marker and each.marker.evaluate({"extra": extra})
    ]
    found = kind if kind in extras else next(iter(holding), None)
    return f"pip install 'afdp-exporter[{found}]'" if found else f"pip install {package}"
