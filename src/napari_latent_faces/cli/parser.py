"""The arguments of the command line."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from napari_latent_faces import __version__
from napari_latent_faces.choosing.options import ChoiceOptions
from napari_latent_faces.cli.options import add_options
from napari_latent_faces.nmf.params import NMFParams
from napari_latent_faces.reading.options import ReadOptions

__all__ = ["DEBUG", "PROGRAM", "command_parser"]

PROGRAM = "latent-faces"
DEBUG = "LATENT_FACES_DEBUG"

_EPILOG = f"""\
Results go to standard output, everything else to standard error. The exit code is 0 when
all is well, 1 after an error, 2 after wrong usage and 130 after Ctrl-C. With {DEBUG}=1 in
the environment an error shows where it happened.
"""


def command_parser() -> argparse.ArgumentParser:
    """Return the parser; its namespace holds `command` and the `parser` of that command."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Find the parts that a folder of faces is made of (NMF).",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    _add_fit(commands)
    _add_choose_k(commands)
    _add_info(commands)
    _add_demo(commands)
    return parser


def _add_fit(commands: Any) -> None:
    parser = _add_command(
        commands, "fit", "fit latent faces and write model, pictures and weights"
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="folder, zip or tar of pictures, or URL of one",
    )
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="folder to make: model.npz, components/00.png and so on, components.png (all "
        "of them in one picture) and weights.csv",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the results in OUT; other files stay"
    )
    add_options(parser, NMFParams, "factorization")
    add_options(parser, ReadOptions, "reading")


def _add_choose_k(commands: Any) -> None:
    parser = _add_command(commands, "choose-k", "measure numbers of components and suggest one")
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="folder, zip or tar of pictures, or URL of one",
    )
    parser.add_argument(
        "-k",
        "--k",
        dest="ks",
        default="auto",
        metavar="K",
        help="numbers of components to measure: 5:60:5 (from, to, step), 2,4,8, or auto, a "
        "search (default: auto)",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="CSV",
        help="table to write, a line for each k; Ctrl-C ends the search, and writes what is "
        "there",
    )
    parser.add_argument("--force", action="store_true", help="replace CSV if it exists")
    add_options(parser, ChoiceOptions, "effort")
    used = {each.name for each in fields(NMFParams)} - {"n_components"}
    add_options(parser, NMFParams, "factorization", only=used)
    add_options(parser, ReadOptions, "reading")


def _add_info(commands: Any) -> None:
    parser = _add_command(commands, "info", "tell what is in a folder of faces or a model")
    parser.add_argument(
        "path",
        metavar="FOLDER|MODEL",
        help="folder or archive of pictures, URL of one, model file, or folder that fit wrote",
    )
    add_options(parser, ReadOptions, "reading (of a folder)")


def _add_demo(commands: Any) -> None:
    parser = _add_command(commands, "demo", "open napari and fit faces there")
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="faces to show (default: drawn ones)"
    )
    parser.add_argument(
        "--screenshot", metavar="PNG", help="save a picture of the fitted faces, and close"
    )
    add_options(parser, NMFParams, "factorization", only=("n_components", "max_iter"))


def _add_command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=description, allow_abbrev=False
    )
    parser.set_defaults(parser=parser)
    return parser
