"""The command `zoo`: each command parses its arguments, calls the library and prints what comes back."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import click

from zoo import __version__
from zoo.cli_facts import card_facts, described, listed, told
from zoo.cli_given import preprocessing_options
from zoo.cli_options import as_json_option, offline_option
from zoo.errors import UsageError
from zoo.main import complain

SECTIONS = {
    "Find a model": ("list", "search", "info", "diff", "plot"),
    "Use it": ("get", "predict", "evaluate", "export", "verify"),
    "Make one": ("advise", "finetune", "lr-find", "push", "convert", "architectures"),
    "Add one": ("new", "check", "schema"),
    "See it work": ("demo",),
    "Keep house": ("cache", "registry"),
}
ELSEWHERE = {
    "advise": "zoo.cli_evaluate:advise",
    "cache": "zoo.cli_cache:cache",
    "check": "zoo.cli_contribute:check",
    "evaluate": "zoo.cli_evaluate:evaluate",
    "export": "zoo.cli_export:export",
    "finetune": "zoo.cli_finetune:finetune",
    "lr-find": "zoo.cli_finetune:lr_find",
    "push": "zoo.cli_push:push",
    "registry": "zoo.cli_registry:registry",
    "new": "zoo.cli_new:new",
    "plot": "zoo.cli_find:plot",
    "schema": "zoo.cli_contribute:schema",
    "search": "zoo.cli_find:search",
}
"""Commands with modules of their own, imported when one is asked for."""

sandbox_option = click.option(
    "--sandbox/--no-sandbox",
    default=None,
    help="Read the files in a child process with limits; default: unless the model is a built-in one.",
)
against_option = click.option(
    "--against", metavar="FILE.npz", help="Arrays that the origin gave: its input, and values by their name there."
)
source_option = click.option(
    "--source", metavar="PATH", help="Folder or file of yours where the model's files are looked for first, by hash."
)


def _shape(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    numbers = value.replace("x", ",").split(",")
    if len(numbers) != 3 or not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise click.BadParameter(f"{value!r}: expected channels, height and width, such as 3,224,224")
    return tuple(int(number) for number in numbers)


class _Grouped(click.Group):
    """Lists the commands under headings, in the order in which they are needed; imports some when asked for them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE and cmd_name not in self.commands:
            module, name = ELSEWHERE[cmd_name].split(":")
            self.commands[cmd_name] = getattr(importlib.import_module(module), name)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *ELSEWHERE})

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None  # click itself would print an empty line first

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in found if command])


@click.group(cls=_Grouped, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="zoo %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Pretrained convnets as plain Keras models: find, fetch, predict, fine-tune."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cli.command("list")
@click.argument("pattern", default="*")
@click.option("--origin", help="Framework it came from: caffe, keras, tensorflow, torch, mxnet.")
@click.option("--family", help="Family, such as efficientnet-lite.")
@click.option("--status", help="verified, convertible, unverified or unsupported.")
@click.option("--task", help="What it tells apart: imagenet, imagenet-other, places, faces, cifar, ...")
@click.option("--license", help="Licence of the weights (shell wildcards), such as 'Apache*'.")
@click.option("--max-params", type=float, metavar="MILLIONS", help="Most trained parameters, in millions.")
@click.option("--min-top1", type=float, metavar="PERCENT", help="Least published top-1 accuracy, in percent.")
@click.option("--sort", default="name", show_default=True, metavar="KEY", help="name, top1, parameters, status, ...")
@click.option("--columns", metavar="A,B,...", help="Columns of the table.")
@as_json_option
def list_(pattern: str, columns: str | None, as_json: bool, **conditions: Any) -> None:
    """List the models whose name fits PATTERN (shell wildcards)."""
    most, least = conditions["max_params"], conditions["min_top1"]
    if most is not None and not 0 < most < 1e5:
        raise UsageError(f"--max-params: expected millions of parameters, such as 25, got {most:g}")
    if least is not None and not (least == 0 or 1 <= least <= 100):
        raise UsageError(f"--min-top1: expected percent, such as 75, got {least:g}")
    for key, unit in (("max_params", 1e6), ("min_top1", 0.01)):
        conditions[key] = None if conditions[key] is None else conditions[key] * unit
    click.echo(listed(pattern, columns.split(",") if columns else None, as_json=as_json, **conditions))


@cli.command()
@click.argument("name")
@click.option("--bibtex", is_flag=True, help="Only the paper, as BibTeX: what the card knows of it.")
@as_json_option
def info(name: str, bibtex: bool, as_json: bool) -> None:
    """Show everything that is known about a model, with sources."""
    if bibtex:
        from zoo import cite

        click.echo(cite.bibtex(card_facts(name)))
    else:
        click.echo(described(name, as_json=as_json))


@cli.command()
@click.argument("first")
@click.argument("second")
@click.option("--all", "everything", is_flag=True, help="Also show what is the same in both.")
@as_json_option
def diff(first: str, second: str, everything: bool, as_json: bool) -> None:
    """Show what two models do differently.

    Networks, preprocessing, outputs, published accuracy. A name may also be an architecture in a publisher's dialect,
    such as resnet50/slim.
    """
    from dataclasses import asdict

    from zoo import show
    from zoo.diff import diff as compare

    rows = [row for row in compare(first, second) if everything or not row.same]
    if as_json:
        click.echo(show.as_json([asdict(row) for row in rows]))
    elif rows:
        columns = ("", "fact", first, second)
        click.echo(show.table(columns, [(row.part, row.fact, row.first, row.second) for row in rows], show.width()))
    else:
        click.echo("no difference is known")


@cli.command()
@click.argument("name")
@click.option("-o", "--output", metavar="FILE.keras", help="Export to this file, for keras.saving.load_model.")
@source_option
@offline_option
@sandbox_option
@click.option("--jobs", default=1, show_default=True, help="Connections at a time for a large file, 1 to 16.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "bars", "lines", "json", "off"]),
    default="auto",
    help="How a download is told, on stderr; auto: bars in a terminal, lines in a log, or what ZOO_PROGRESS says.",
)
@preprocessing_options
def get(name: str, output: str | None, progress: Any, **how: Any) -> None:
    """Fetch, check and convert a model; print where it is."""
    from zoo import library

    told(name)
    click.echo(str(library.get(name, output=output, progress=True if progress == "auto" else progress, **how)))


@cli.command()
@click.argument("model", metavar="NAME|RUN")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", default=5, show_default=True, help="Answers per image.")
@offline_option
@as_json_option
@preprocessing_options
def predict(model: str, images: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Name what is on images, with a model or a fine-tuning run; a folder stands for its images."""
    from dataclasses import asdict

    from zoo import show
    from zoo.predict import predict as name_images
    from zoo.preprocessing import image_paths

    paths = [found for image in images for found in (image_paths(image) if os.path.isdir(image) else [image])]
    answers = name_images(model, paths, **how)
    pairs = [(str(path), found) for path, found in zip(paths, answers, strict=True)]
    if as_json:
        click.echo(show.as_json([{"image": path, "predictions": [asdict(a) for a in found]} for path, found in pairs]))
    else:
        click.echo("\n\n".join(show.predictions(path, found, show.width()) for path, found in pairs))


@cli.command()
@click.argument("name")
@against_option
@offline_option
@as_json_option
def verify(name: str, against: str | None, offline: bool | None, as_json: bool) -> None:
    """Check a model's numbers against the origin framework's, now."""
    from zoo import library, show
    from zoo.errors import ParityError

    receipt = library.verify(name, against=against, offline=offline)
    if as_json:
        click.echo(show.as_json(receipt))
    elif against is None:
        click.echo(show.receipt(receipt, show.width()))
    else:
        click.echo(show.nodes(receipt["nodes"], show.width()))
    if against is not None and receipt["nodes"]["result"] != "equal":
        raise ParityError(f"{name}: {receipt['nodes']['summary']}")


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("-o", "--output", required=True, metavar="OUT.keras", help="File to write.")
@click.option(
    "--format",
    help="Told from the files if left out: caffe, checkpoint, keras, mxnet, onnx, pytorch, tensorflow or torch7.",
)
@click.option(
    "--architecture", help="For weights that carry no graph, such as resnet50/torchvision; see `zoo architectures`."
)
@click.option("--until", metavar="LAYER", help="Convert only up to this layer, by its name in the origin.")
@click.option("--input", metavar="NODE", help="Start a TensorFlow graph at this node's value, such as Mul.")
@against_option
@click.option("--input-shape", metavar="C,H,W", callback=_shape, help="Size of the input, if the files do not say it.")
@click.option("--theano-kernels", is_flag=True, default=None, help="The Keras model was made with Theano.")
@click.option(
    "--sandbox/--no-sandbox", default=True, show_default=True, help="Read the files in a child process with limits."
)
@as_json_option
def convert(files: tuple[str, ...], output: str, as_json: bool, **how: Any) -> None:
    """Convert model files of your own to a .keras file."""
    from zoo import library, show

    receipt = library.convert_to(output, files, **how)
    if as_json:
        click.echo(show.as_json(receipt))
        return
    for name, reason in receipt["unused"].items():
        click.echo(f"not used: {name}: {reason}", err=True)
    if "nodes" in receipt:
        click.echo(receipt["nodes"]["summary"], err=True)
    click.echo(output)


@cli.command("architectures")
@click.argument("pattern", default="*")
@as_json_option
def architectures_(pattern: str, as_json: bool) -> None:
    """List the networks for files of weights, and their publishers.

    What `zoo convert --architecture` takes for files that hold no graph: a network, or NETWORK/PUBLISHER where several
    publishers' files have the same names.
    """
    from fnmatch import fnmatchcase

    from zoo import architectures, show

    found = {name: architectures.dialects(name) for name in architectures.variants() if fnmatchcase(name, pattern)}
    if as_json:
        click.echo(show.as_json(found))
    else:
        rows = [(name, ", ".join(dialects)) for name, dialects in found.items()]
        click.echo(show.table(("network", "as published by"), rows, show.width()))


@cli.command()
@click.option("-o", "--output", default="zoo-demo", show_default=True, metavar="DIR", help="Where results are put.")
def demo(output: str) -> None:
    """Fetch a model, name what is on photographs, fine-tune on digits."""
    from zoo.demo import run

    run(Path(output), click.echo)


def run() -> int:
    """Runs the command that the process was started with; returns its exit code.

    Raises:
        KeyboardInterrupt: the user ended it.
    """
    try:
        # click returns an exit code where --help or a failed write ends it early, else the command's None
        return cli.main(prog_name="zoo", standalone_mode=False) or 0
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "zoo"
        return complain(f"{error.format_message()} (`{where} --help` shows how)", error.exit_code)
