"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> list[str]:
    """Return the lines of a table and an empty one, the first columns as text to the left, numbers to the right."""
    rule = "|" + "---|" * text_columns + "---:|" * (len(header) - text_columns)
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in rows), ""]
