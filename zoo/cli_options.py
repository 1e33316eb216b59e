"""Options that several commands share."""

from __future__ import annotations

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
offline_option = click.option("--offline", is_flag=True, default=None, help="Never use the network (or ZOO_OFFLINE=1).")
