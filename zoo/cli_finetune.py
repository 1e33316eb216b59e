"""The commands `zoo finetune` and `zoo lr-find`; their options are the fields of `zoo.finetune.Wishes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from zoo.cli_given import preprocessing_options
from zoo.cli_options import as_json_option, offline_option

_TYPES = {
    int: int,
    float: float,
    str: str,
    int | None: int,
    float | None: float,
    str | None: str,
    str | bool: str,
    int | str: str,
}
_YES_NO = (bool, bool | None)


def wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every choice that a plan makes."""
    from zoo.finetune.wishes import options

    for name, kind, default, text, choices in reversed(options()):
        flag = f"--{name.replace('_', '-')}"
        if kind in _YES_NO:
            switch = click.option(f"{flag}/--no-{name.replace('_', '-')}", default=default, help=text)
        elif choices:
            switch = click.option(flag, type=click.Choice(choices), default=default, help=text)
        else:
            switch = click.option(flag, type=_TYPES[kind], default=default, help=text)
        command = switch(command)
    return command


@click.command()
@click.argument("name", metavar="NAME|RUN")
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", metavar="RUN_DIR", help="New folder for the model and its report.")
@click.option("--resume", is_flag=True, help="Go on with a run in RUN_DIR that was interrupted.")
@click.option("--old-data", metavar="DATA", help="With --keep-classes: images of the old classes, to measure them.")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--models", metavar="A,B,...", help="Fine-tune these too, each into RUN_DIR/MODEL, and compare them.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Spread --models, or else --folds and features, over a Ray cluster; without an address, over this machine.",
)
@click.option("--num-cpus", type=float, help="With --ray: cores of a task; default: 1.")
@click.option("--num-gpus", type=float, help="With --ray: GPUs of a task; default: one where there are any.")
@wishes
@preprocessing_options
@offline_option
@as_json_option
def finetune(
    name: str,
    data: str,
    models: str | None,
    ray: str | None,
    num_cpus: float | None,
    num_gpus: float | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Make a classifier of your own images.

    DATA is a folder with one subfolder of images per class, or with train, val and test folders of that kind, or a CSV
    or Parquet table of paths and labels. NAME is a model of the registry, or the folder of an earlier run. What is left
    out the plan decides, and says why; --dry-run shows it.
    """
    from zoo import show
    from zoo.finetune import Cluster, finetune_many
    from zoo.finetune import finetune as run

    report = None if as_json else click.echo
    if choices["output"] is None and not choices["dry_run"]:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if ray is None and (num_cpus, num_gpus) != (None, None):
        raise click.UsageError(f"--num-{'gpus' if num_cpus is None else 'cpus'}: is of a Ray task; add --ray")
    cluster = None if ray is None else Cluster(ray, 1 if num_cpus is None else num_cpus, num_gpus)
    if models is not None:
        if choices.pop("dry_run"):
            raise click.UsageError("--dry-run: for one model; `zoo advise --models` compares several before training")
        names = [name, *(other.strip() for other in models.split(","))]
        compared = finetune_many(list(dict.fromkeys(names)), data, report=report, ray=cluster, **choices)
        if as_json:
            click.echo(show.as_json(compared.as_json()))
        return
    try:
        result = run(name, data, report=report, ray=cluster, **choices)
    except KeyboardInterrupt:
        if (Path(choices["output"]) / "state").is_dir():
            click.echo(f"zoo: {choices['output']}: the same command with --resume goes on with it", err=True)
        raise
    if as_json:
        path = None if result.path is None else str(result.path)
        click.echo(show.as_json({"path": path, "metrics": result.metrics, "plan": result.plan.as_json()}))


@click.command("lr-find")
@click.argument("name", metavar="NAME|RUN")
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", metavar="FILE.svg", help="Where the curve is drawn.")
@click.option("--steps", default=100, show_default=True, help="Steps from the lowest to the highest rate.")
@wishes
@preprocessing_options
@offline_option
@as_json_option
def lr_find(name: str, data: str, output: str | None, as_json: bool, **choices: Any) -> None:
    """Try learning rates from tiny to absurd, a step each, and say where the loss falls fastest.

    Of the last phase that `zoo finetune` with the same options would run; no weight is kept.
    """
    from zoo import show
    from zoo.finetune.rates import lr_find as find

    found = find(name, data, output=output, **choices)
    click.echo(show.as_json(found.as_json()) if as_json else str(found))
