"""`zoo evaluate` and `zoo advise`: how good a model is on labelled images, and which one to fine-tune for them."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli_given import preprocessing_options
from zoo.cli_options import as_json_option, offline_option


@click.command()
@click.argument("model", metavar="RUN|NAME|FILE.keras")
@click.argument("data", metavar="DATA")
@click.option("--top", default=5, show_default=True, help="Answers that count for the second share.")
@click.option("--limit", type=int, metavar="N", help="At most N images, of each class its share.")
@click.option("--part", help="training, validation, test or all, where DATA is in parts; default: the test part first.")
@click.option("--batch-size", default=32, show_default=True, help="Images that go through the model at once.")
@click.option("--skip-unknown", is_flag=True, help="Leave out folders that fit no class of the model.")
@click.option("--seed", default=0, show_default=True, help="Decides which images, with --limit.")
@click.option("-o", "--output", metavar="FILE.csv", help="Write every image's answer.")
@preprocessing_options
@offline_option
@as_json_option
def evaluate(model: str, data: str, output: str | None, as_json: bool, **how: Any) -> None:
    """Measure how often a model is right on DATA.

    DATA is a folder with one subfolder of images per class, as `zoo finetune` takes it. Its folders are matched with
    the model's classes by WordNet id (n02123045, n02123045-tabby), by name (tiger cat, tiger_cat, or another WordNet
    name of the class), or by the index of the output; a run's by its class names. The shares stand beside the published
    ones where folders are named by WordNet id.
    """
    from zoo import show
    from zoo.evaluate import evaluate as measure

    found = measure(model, data, **how)
    if output is not None:
        found.write(output)
    click.echo(show.as_json(found.as_json()) if as_json else str(found))


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--models", metavar="A,B,...", help="Names to compare; default: models that are converted already.")
@click.option("--images", default=1000, show_default=True, metavar="N", help="At most N images are looked at.")
@click.option("--seed", default=0, show_default=True, help="Decides which images and folds.")
@preprocessing_options
@offline_option
@as_json_option
def advise(data: str, models: str | None, as_json: bool, **how: Any) -> None:
    """Say which model to fine-tune on DATA, and how.

    DATA is what `zoo finetune` takes. Each model is judged by LogME, the log evidence per image of a Bayesian linear
    model on its features, and by a cross-validated linear classifier on them; nothing is trained for good. Facts about
    preprocessing are for those models whose card lacks them.
    """
    from zoo import show
    from zoo.finetune.advise import advise as compare

    found = compare(data, None if models is None else [name.strip() for name in models.split(",")], **how)
    click.echo(show.as_json(found.as_json()) if as_json else str(found))
