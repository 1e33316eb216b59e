"""`zoo check` and `zoo schema`: for those who write cards. `zoo new` is in `zoo.cli_new`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli_options import as_json_option, offline_option


@click.command()
@click.argument("files", nargs=-1, metavar="[FILES...]")
@click.option("--online", is_flag=True, help="Also ask every address whether it answers.")
@click.option("--files", "convert", is_flag=True, help="Also convert: every tensor accounted for, numbers compared.")
@offline_option
@as_json_option
@click.pass_context
def check(
    ctx: click.Context, files: tuple[str, ...], online: bool, convert: bool, offline: bool | None, as_json: bool
) -> None:
    """Check cards as a contribution is checked.

    FILES are TOML files of cards, or folders of them; the whole registry if left out. The exit code is 1 if there are
    errors; a warning is something that someone should look at.
    """
    from zoo import show
    from zoo.check import as_text
    from zoo.check import check as run

    report = run(files, online=online, files=convert, offline=offline, tell=lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(show.as_json(report.as_json()))
    else:
        for line in as_text(report.findings):
            click.echo(line)
        for made in report.converted:
            if not made["problem"]:
                click.echo(show.conversion(made), err=True)
        for text in report.not_checked:
            click.echo(f"not checked: {text}", err=True)
        click.echo(_summary(report), err=True)
    ctx.exit(1 if report.count("error") else 0)


def _summary(report: object) -> str:
    from zoo.check import Report

    assert isinstance(report, Report)
    counts = [
        _counted(report.models, "model"), _counted(report.files, "file"),
        _counted(report.count("error"), "error"), _counted(report.count("warning"), "warning"),
    ]  # fmt: skip
    if report.addresses:
        answering = sum(answer["answers"] for answer in report.addresses)
        counts.append(f"{answering} of {len(report.addresses)} addresses answer")
    return f"{counts[0]} in {counts[1]}: {', '.join(counts[2:])} ({report.seconds:.1f} s)"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
def schema(output: Path | None) -> None:
    """Print the JSON schema of a file of cards, for editors.

    The registry's own files are completed and checked through .taplo.toml. For files of your own, write the schema
    beside them and begin each with `#:schema ./FILE`.
    """
    from zoo import cache, show
    from zoo.card_schema import file_schema

    text = show.as_json(file_schema())
    if output is None:
        click.echo(text)
        return
    with cache.atomic_file(output) as temporary:
        temporary.write_text(text + "\n", "utf-8")
    click.echo(str(output))
