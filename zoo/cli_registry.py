"""`zoo registry`: other people's registries, whose models' names begin with the registry's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo.registries import Registry

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group("registry", invoke_without_command=True)
@click.pass_context
def registry(ctx: click.Context) -> None:
    """Add, list, update and remove other people's registries."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@registry.command()
@click.argument("source")
@click.option("--name", help="What its models' names begin with; from the source if left out.")
def add(source: str, name: str | None) -> None:
    """Add a registry: its models are called NAME/MODEL from then on.

    SOURCE is a folder (read where it is), a git address (https://host/repo.git, with #BRANCH), an https address of a
    .toml, .zip or .tar.gz, a Hugging Face repository (hf:OWNER/REPO) or an installed package with an entry point in the
    group zoo.registries. Nothing of it is executed; what is fetched is pinned until `zoo registry update`.
    """
    from zoo import registries

    found, count = registries.add(source, name)
    click.echo(f"{found.name}: {_models(count)}, {_state(found)}; `zoo list '{found.name}/*'`")


@registry.command("list")
@as_json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the registries that were added; the exit code is 1 if one of them is broken."""
    from dataclasses import asdict

    from zoo import registries, show
    from zoo.errors import ZooError

    found: list[dict[str, Any]] = []
    for one in registries.added():
        facts: dict[str, Any] = {**asdict(one), "root": str(one.folder), "models": None, "problem": None}
        try:
            facts["models"] = len(registries.open_(one).rows)
        except ZooError as error:
            facts["problem"] = str(error)
        found.append(facts)
    if as_json:
        click.echo(show.as_json(found))
    elif found:
        rows = [_row(facts) for facts in found]
        click.echo(show.table(("name", "models", "kind", "state", "updated", "source"), rows, show.width()))
        for facts in found:
            if facts["problem"]:
                click.echo(f"zoo: registry {facts['name']!r} is left out: {facts['problem']}", err=True)
    else:
        click.echo("none; `zoo registry add SOURCE` adds one")
    ctx.exit(1 if any(facts["problem"] for facts in found) else 0)


@registry.command()
@click.argument("name", required=False)
def update(name: str | None) -> None:
    """Fetch a registry again, or all of them.

    One whose new state is wrong stays as it was.
    """
    from zoo import registries

    for old, new, count in registries.update(name):
        same = "unchanged" if old.pin == new.pin and old.root == new.root and old.kind != "folder" else _state(new)
        click.echo(f"{new.name}: {_models(count)}, {same}")


@registry.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a registry; what was converted from its models stays in the cache."""
    from zoo import registries

    click.echo(f"{registries.remove(name).name}: removed")


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"


def _state(found: Registry) -> str:
    for key, value in found.pin.items():
        return f"{key} {value[:12]}"
    return f"read in {found.folder}"


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    pin = " ".join(f"{key} {value[:12]}" for key, value in facts["pin"].items())
    models = "broken" if facts["problem"] else str(facts["models"])
    return facts["name"], models, facts["kind"], pin or "-", facts["updated"][:10], facts["source"]
