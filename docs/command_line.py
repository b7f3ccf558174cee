"""Write the reference of the command line from what the commands say themselves."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from unittest.mock import patch

from napari_latent_faces.cli.parser import command_parser
from napari_latent_faces.params import METHODS, NMFParams

PAGE = Path(__file__).parent / "reference" / "command-line.md"
WIDTH = "96"  # columns


@patch.dict(os.environ, COLUMNS=WIDTH)
def reference() -> str:
    """Return the page."""
    parser = command_parser()
    parts = ["# Command line", "Written from `latent-faces --help`.", _help(parser)]
    for name, command in _commands(parser).items():
        parts += [f"## {name}", _help(command)]
    for method in METHODS:
        if method != NMFParams.method:
            argv = ["fit", "--method", method]
            command = _commands(command_parser(argv))["fit"]
            parts += [f"## {' '.join(argv)}", _help(command)]
    return "\n\n".join(parts) + "\n"


def _help(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().strip()}\n```"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [commands] = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
