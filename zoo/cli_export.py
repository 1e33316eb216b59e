"""`zoo export`: a model as a file for another runtime."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli_given import preprocessing_options
from zoo.cli_options import as_json_option, offline_option


@click.command()
@click.argument("model", metavar="RUN|NAME|FILE.keras")
@click.option("-o", "--output", required=True, metavar="OUT", help="File to write; for savedmodel a folder.")
@click.option("--format", help="keras, savedmodel, onnx or tflite; told from OUT's ending if left out.")
@click.option("--check/--no-check", default=True, show_default=True, help="Run the file and compare its answers.")
@click.option("--quantize", metavar="KIND", help="Of tflite: float16 halves the file, int8 quarters it.")
@click.option("--images", metavar="FOLDER", help="Images to check on; int8 learns its ranges from them.")
@preprocessing_options
@offline_option
@as_json_option
def export(model: str, as_json: bool, **how: Any) -> None:
    """Write a model for another runtime, then run it there and compare.

    The file takes RGB 0..255 at the model's size, any number of images at once, and gives what the model gives; what
    its inputs and outputs are stands beside it as JSON, the class names as text.
    """
    from zoo import show
    from zoo.export import export as write

    found = write(model, **how)
    click.echo(show.as_json(found.as_json()) if as_json else str(found))
