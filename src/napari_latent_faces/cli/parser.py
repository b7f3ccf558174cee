"""The arguments of the command line."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_latent_faces import __version__
from napari_latent_faces.cli.options import add_hidden_options, add_options
from napari_latent_faces.methods import METHODS
from napari_latent_faces.nmf.params import NMFParams
from napari_latent_faces.reading.options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEBUG", "PROGRAM", "command_parser"]

PROGRAM = "latent-faces"
DEBUG = "LATENT_FACES_DEBUG"

_EPILOG = f"""\
Results go to standard output, everything else to standard error. The exit code is 0 when
all is well, 1 after an error, 2 after wrong usage and 130 after Ctrl-C. With {DEBUG}=1 in
the environment an error shows where it happened.
"""


def command_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; its namespace holds `command` and the `parser` of that command.

    Parameters
    ----------
    argv : sequence of str
        The arguments to come: the method that they name has options of its own.
    """
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
    _add_fit(commands, _method(argv))
    _add_info(commands)
    _add_demo(commands)
    return parser


def _method(argv: Sequence[str]) -> str:
    """Return the method that a command line names, the default one if it names none."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peek.add_argument("--method", default=NMFParams.method)
    try:
        method: str = peek.parse_known_args(argv)[0].method
    except argparse.ArgumentError:  # the real parser says what is wrong
        return NMFParams.method
    return method if method in METHODS else NMFParams.method


def _add_fit(commands: Any, method: str) -> None:
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
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=NMFParams.method,
        help=f"{', '.join(METHODS)} (default: {NMFParams.method}); --method NAME --help shows "
        "the options of another",
    )
    kind = METHODS[method]
    add_options(parser, kind, f"factorization ({kind.title})")
    known = {declared.name for declared in fields(kind)}  # type: ignore[arg-type]
    for other in METHODS.values():
        add_hidden_options(parser, other, known)
        known |= {declared.name for declared in fields(other)}  # type: ignore[arg-type]
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
