"""How far a long command is, said where there is no terminal."""

from io import StringIO

from rich.console import Console

from afdp_exporter.commands._progress import Advance


def said(*, every: float, total: int | None = 3, terminal: bool = False) -> str:
    out = StringIO()
    with Advance("Importing", total, console=Console(file=out, force_terminal=terminal, width=80), every=every) as bar:
        bar.advance()
        bar.reach(3)
    return out.getvalue()


def test_without_a_terminal_a_line_says_how_far_it_is() -> None:
    assert said(every=0).splitlines() == ["Importing: 1 of 3 after 0 seconds", "Importing: 3 of 3 after 0 seconds"]
    assert said(every=0, total=None).splitlines()[0] == "Importing: 1 after 0 seconds"


def test_what_is_soon_done_says_nothing() -> None:
    assert said(every=10) == ""


def test_on_a_terminal_a_bar_shows_it() -> None:
    assert "3/3" in said(every=0, terminal=True)
