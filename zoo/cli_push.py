"""`zoo push`: a fine-tuning run to a Hugging Face hub."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("repo", metavar="OWNER/REPO")
@click.option("--private", is_flag=True, help="Only its owner may see it.")
@click.option("--message", help="Of the commit.")
@click.option("--dry-run", is_flag=True, help="Print the model card; upload nothing, ask no one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def push(run: str, repo: str, private: bool, message: str | None, dry_run: bool, as_json: bool) -> None:
    """Upload a fine-tuning run to a Hugging Face hub, with a model card.

    The model, its metrics, plan and labels; no images. It is then called hf:OWNER/REPO. HF_TOKEN or `hf auth login`
    says who you are, HF_ENDPOINT names another hub.
    """
    from dataclasses import asdict

    from zoo import show
    from zoo.push import push as upload

    pushed = upload(run, repo, private=private, message=message, dry_run=dry_run)
    if as_json:
        click.echo(show.as_json(asdict(pushed)))
    elif dry_run:
        click.echo(pushed.card, nl=False)
    else:
        click.echo(f"{pushed.url}\nzoo predict hf:{pushed.repo}@{pushed.commit} IMAGE", nl=True)
