"""`zoo search` and `zoo plot`: models by words, and models as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli_facts import card_facts, rows
from zoo.cli_options import as_json_option


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--columns", metavar="A,B,...", help="Columns of the table.")
@as_json_option
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], columns: str | None, as_json: bool) -> None:
    """Find models by WORDS, best first.

    Every word has to occur in the name, the architecture, the family, the publisher, the title of the paper, the data
    set or the summary; case, blanks and hyphens do not count.
    """
    from zoo import search as finding
    from zoo import show

    found = finding.search(rows(), words)
    if as_json:
        click.echo(show.as_json([card_facts(row["name"]) for row in found]))
        return
    if not found:
        click.echo(f"nothing has {' and '.join(map(repr, words))}; `zoo list` shows all", err=True)
        ctx.exit(1)
    click.echo(show.models(found, show.width(), columns.split(",") if columns else show.MODEL_COLUMNS))


@click.command()
@click.argument("pattern", default="*")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.png|svg", help="File to write."
)
@click.option("--origin", help="As in `zoo list`, and so are the others.")
@click.option("--family")
@click.option("--status")
@click.option("--license")
def plot(pattern: str, output: Path, **conditions: Any) -> None:
    """Draw published accuracy against parameters.

    Of the models whose name fits PATTERN, those with a published ImageNet accuracy and a number of parameters; the ones
    that no other beats are named.
    """
    from zoo import index
    from zoo import plot as drawing

    drawn, left_out = drawing.save(index.select(rows(), pattern, **conditions), output)
    why = "their accuracy on ImageNet or number of parameters is unknown"
    click.echo(f"{drawn} models drawn; {left_out} left out: {why}", err=True)
    click.echo(str(output))
