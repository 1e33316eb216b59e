"""`zoo cache`: what is in the cache, whether it is whole, and how to get rid of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo.storage import Entry


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be removed.")


@click.group("cache", invoke_without_command=True)
@click.pass_context
def cache(ctx: click.Context) -> None:
    """List, check and remove what is in the cache."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cache.command()
def path() -> None:
    """Print the cache's folder ($ZOO_HOME moves it)."""
    from zoo.cache import home

    click.echo(str(home()))


@cache.command()
@as_json_option
def ls(as_json: bool) -> None:
    """List models, their originals, and what is unfinished."""
    from zoo import show, storage

    found = storage.contents()
    if as_json:
        click.echo(show.as_json([_facts(entry) for entry in found]))
    else:
        click.echo(_table(found))
        click.echo(_total(found, "in"))


@cache.command()
@click.argument("name", required=False)
@as_json_option
@click.pass_context
def verify(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Hash every file again, or those of one model.

    Says what is damaged and what to do about it; the exit code is 1 then.
    """
    from zoo import show, storage

    checked, damaged = storage.verify(name)
    if as_json:
        answers = {damage.entry.path: damage for damage in damaged}
        facts = []
        for entry in checked:
            damage = answers.get(entry.path)
            told = {"problem": damage.problem, "advice": damage.advice} if damage else {"problem": None, "advice": None}
            facts.append({**_facts(entry), **told})
        click.echo(show.as_json(facts))
    else:
        for damage in damaged:
            click.echo(f"damaged: {damage.entry.path}: {damage.problem}; {damage.advice}")
        click.echo(f"{len(checked) - len(damaged)} of {len(checked)} whole")
    ctx.exit(1 if damaged else 0)


@cache.command()
@click.option("--originals", is_flag=True, help="Also the downloaded files of converted models.")
@click.option(
    "--older-than", type=click.FloatRange(0), default=0.0, metavar="DAYS", help="Spare younger downloads and features."
)
@dry_run_option
@as_json_option
def prune(originals: bool, older_than: float, dry_run: bool, as_json: bool) -> None:
    """Remove what nobody needs.

    Unfinished downloads, leftovers of killed processes, models converted from an earlier state of their card, and
    features of fine-tuning runs, which are computed again where they are needed.
    Nothing that a running process works on, nothing that zoo did not make, and no model whose card is not there today.
    """
    from zoo import storage

    _removed(storage.prune(originals=originals, older_than=older_than, dry_run=dry_run), dry_run, as_json)


@cache.command()
@click.argument("name")
@click.option("--files", is_flag=True, help="Also its downloaded files, unless another model shares them.")
@dry_run_option
@as_json_option
def rm(name: str, files: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a model's converted forms."""
    from zoo import storage

    _removed(storage.remove(name, files=files, dry_run=dry_run), dry_run, as_json)


def _removed(entries: list[Entry], dry_run: bool, as_json: bool) -> None:
    from zoo import show

    if as_json:
        click.echo(show.as_json({"dry_run": dry_run, "removed": [_facts(entry) for entry in entries]}))
        return
    if entries:
        click.echo(_table(entries))
    click.echo(_total(entries, "would be removed from" if dry_run else "removed from"))


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "state": entry.state,
        "models": list(entry.models),
        "name": entry.name,
        "size": entry.size,
        "modified": _date(entry, "seconds"),
        "path": str(entry.path),
    }


def _date(entry: Entry, precision: str) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(entry.modified, UTC)
    return moment.isoformat(timespec="seconds") if precision == "seconds" else moment.date().isoformat()


def _table(entries: list[Entry]) -> str:
    from zoo import show
    from zoo.cache import home, megabytes

    rows = [
        (
            entry.kind,
            entry.state,
            megabytes(entry.size),
            _date(entry, "day"),
            ", ".join(entry.models) or "-",
            entry.name or "-",
            entry.path.relative_to(home()).as_posix(),
        )
        for entry in entries
    ]
    columns = ("kind", "state", "size", "changed", "model", "name", "path")
    return show.table(columns, rows, show.width())


def _total(entries: list[Entry], verb: str) -> str:
    from zoo.cache import home, megabytes

    if not entries:
        return f"nothing {verb} {home()}"
    count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    return f"{count}, {megabytes(sum(entry.size for entry in entries))}, {verb} {home()}"
