"""The constants of what measures, learns and decides: listed, or swept over a benchmark.

    python benchmarks/constants.py [impact]
    python benchmarks/constants.py impact.bayes_factor.PRIOR 0.1 0.3 0.5 -- weak_spots.py --n 20

A constant stands beside the method that it belongs to, with what it is. To sweep one, the benchmark is run anew for
each value, with the constant's assignment replaced before its module is executed: what is computed from it follows.
Worker processes import the modules as they are, so only benchmarks that measure in their own process can be swept.
"""

import argparse
import ast
import importlib.util
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "afdp_exporter"
PACKAGES = ("detectors", "impact", "patterns", "gate", "planning", "automation", "watching")


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, or several, by which a method goes; `name` is dotted from the package on."""

    name: str
    value: str
    meaning: str


def constants(packages: Sequence[str] = PACKAGES) -> Iterator[Constant]:
    """Every constant of the packages that holds a number, in order of modules and lines."""
    for package in packages:
        for path in sorted((PACKAGE / package).rglob("*.py")):
            source = path.read_text()
            body, lines = ast.parse(source).body, source.splitlines()
            module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            for node, following in zip(body, [*body[1:], None], strict=True):
                for name, value in _assigned(node):
                    if any(
                        isinstance(part, ast.Constant) and type(part.value) in {int, float} for part in ast.walk(value)
                    ):
                        yield Constant(f"{module}.{name}", ast.unparse(value), _meaning(node, following, lines))


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The names in capitals that a statement assigns, each with its value."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return
    target = node.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        pairs = zip(target.elts, node.value.elts, strict=True)
    else:
        pairs = zip([target], [node.value], strict=True)
    for name, value in pairs:
        if isinstance(name, ast.Name) and name.id.isupper():
            yield name.id, value


def _meaning(node: ast.stmt, following: ast.stmt | None, lines: Sequence[str]) -> str:
    """What the comment behind a constant says, or the text below it."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return " ".join(str(following.value.value).split())
    ends = (lines[(node.end_lineno or node.lineno) - 1], lines[node.lineno - 1])
    return next((text for line in ends if (text := line.partition("  # ")[2])), "")


class _Replaced(SourceFileLoader):
    """Loads a module with one constant replaced."""

    constant = value = ""

    def get_code(self, _name: str) -> CodeType:
        tree = ast.parse(self.get_data(self.path))
        given = ast.parse(self.value, mode="eval").body
        for node in tree.body:
            for name, old in _assigned(node):
                if name == self.constant and isinstance(node, ast.Assign):
                    node.value = given if old is node.value else _with(node.value, old, given)
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


def _with(values: ast.expr, old: ast.expr, new: ast.expr) -> ast.expr:
    if isinstance(values, ast.Tuple):
        values.elts = [new if each is old else each for each in values.elts]
    return values


class _Finder(MetaPathFinder):
    """Finds the one module whose constant is replaced."""

    def __init__(self, constant: str, value: str) -> None:
        module, _, self._constant = constant.rpartition(".")
        self._module, self._value = f"afdp_exporter.{module}", value

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        loader = _Replaced(fullname, str(PACKAGE.parent / Path(*fullname.split(".")).with_suffix(".py")))
        loader.constant, loader.value = self._constant, self._value
        return importlib.util.spec_from_loader(fullname, loader)


def main() -> None:
    """List, or sweep."""
    arguments, benchmark = sys.argv[1:], list[str]()
    if "--" in arguments:
        place = arguments.index("--")
        arguments, benchmark = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("constant", nargs="?", default="", help="a package to list, or a constant to sweep")
    parser.add_argument("values", nargs="*", help="its values, as Python writes them")
    given = parser.parse_args(arguments)
    if not given.values:
        print("| constant | value | what it is |\n|---|---|---|")
        for each in constants([given.constant] if given.constant else PACKAGES):
            print(f"| `{each.name}` | {each.value} | {each.meaning} |")
        return
    if given.constant not in {each.name for each in constants()}:
        parser.error(f"there is no constant {given.constant}")
    if len(given.values) == 1:
        sys.meta_path.insert(0, _Finder(given.constant, given.values[0]))
        sys.argv = benchmark
        runpy.run_path(str(HERE / benchmark[0]), run_name="__main__")
        return
    for value in given.values:
        print(f"\n## {given.constant} = {value}\n", flush=True)
        subprocess.run([sys.executable, __file__, given.constant, value, "--", *benchmark], check=True)


if __name__ == "__main__":
    main()
