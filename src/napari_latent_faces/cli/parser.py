"""The arguments of the command line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from napari_latent_faces import __version__
from napari_latent_faces.options import AlignOptions, ChoiceOptions, ReadOptions
from napari_latent_faces.params import METHODS, NMFParams, check_fields, parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = [
    "DEBUG",
    "PROGRAM",
    "Generation",
    "add_options",
    "chosen",
    "command_parser",
    "given",
    "option",
    "spelled",
]

# -- Command-line options made from the fields of a frozen dataclass of parameters -----

_SHORT = {"n_components": "-k"}
_KINDS = {int: "INT", float: "FLOAT", str: "TEXT", tuple: "INT,INT", NoneType: "none"}


def add_options(
    parser: argparse.ArgumentParser,
    parameters: type[Any],
    title: str | None,
    *,
    but: Collection[str] = (),
) -> None:
    """Add an option for each field of a dataclass, but some; without a title, they are hidden.

    An option that is not given leaves nothing in the namespace: the defaults are those
    of the dataclass, and its checks are the only ones.
    """
    group = parser if title is None else parser.add_argument_group(title)
    hints = get_type_hints(parameters)
    for declared in fields(parameters):
        if declared.name not in but:
            allowed = _alternatives(hints[declared.name])
            _add_option(group, declared, allowed, hidden=title is None)


def option(name: str) -> str:
    """Return the option of a field: ``--n-components`` for ``n_components``."""
    return f"--{name.replace('_', '-')}"


def given(parameters: type[Any], namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a dataclass that the command line gives, by name."""
    names = [declared.name for declared in fields(parameters)]
    return {name: getattr(namespace, name) for name in names if hasattr(namespace, name)}


def chosen(parameters: type[Any], namespace: argparse.Namespace, **changes: Any) -> Any:
    """Return the dataclass that a command line spells, or say which option is wrong."""
    try:
        return parameters(**{**given(parameters, namespace), **changes})
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(spelled(str(error), parameters)) from error


def spelled(message: str, *parameters: type[Any]) -> str:
    """Return a message of the library with fields spelled as options.

    A field is known by its place: at the start of the message, or before ``=``; what is
    switched off (``lazy=False``) has an option of its own (``--no-lazy``), and pairs
    (``shape=(h, w)``) come without brackets, which a shell would not take.
    """
    message = re.sub(r"=\((\w+), (\w+)\)", r"=\1,\2", message)
    names = "|".join(declared.name for each in parameters for declared in fields(each))
    pattern = rf"^({names})\b(?!=)|\b({names})(?:=True\b|(?==))"
    message = re.sub(rf"\b({names})=False\b", lambda found: option(f"no_{found[1]}"), message)
    return re.sub(pattern, lambda found: option(found[1] or found[2]), message)


def _alternatives(hint: Any) -> list[Any]:
    """Return what a type allows: literal values and simple types, without unions."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    if get_origin(hint) is tuple:
        return [tuple]
    if get_args(hint):  # a union
        return [each for part in get_args(hint) for each in _alternatives(part)]
    return [hint]


def _add_option(group: Any, declared: Any, allowed: list[Any], *, hidden: bool) -> None:
    flags = [option(declared.name)]
    if declared.name in _SHORT:
        flags.insert(0, _SHORT[declared.name])
    common = {"dest": declared.name, "default": argparse.SUPPRESS}
    text = argparse.SUPPRESS if hidden else _help(declared)
    if bool in allowed:
        group.add_argument(*flags, action="store_const", const=True, help=text, **common)
    else:
        group.add_argument(
            *flags,
            type=partial(_read, allowed),
            metavar=_spelling(allowed),
            help=text,
            **common,
        )
    if bool in allowed or False in allowed:
        off = option(f"no_{declared.name}")
        group.add_argument(
            off, action="store_const", const=False, help=f"not {flags[-1]}", **common
        )


def _help(declared: Any) -> str:
    # the option's own name says what the parenthesis does in a form
    text = str(declared.metadata["help"]).replace(f" ({declared.name})", "")
    default = "none" if declared.default is None else declared.default
    return f"{text} (default: {default})".replace("%", "%%")


def _spelling(allowed: list[Any]) -> str:
    """Return how the allowed values and types are written."""
    words = [_KINDS.get(each, each) for each in allowed if each is not False]
    # any text would be a text, "none" too
    return "|".join(word for word in words if str not in allowed or word == _KINDS[str])


def _read(allowed: list[Any], text: str) -> Any:
    """Return the value that an argument spells; what cannot be read the dataclass refuses."""
    if str in allowed or text in allowed:
        return text
    if text == _KINDS[NoneType] and NoneType in allowed:
        return None
    for kind, parse in ((int, int), (tuple, _pair), (float, float)):
        try:
            if kind in allowed:
                return parse(text)
        except ValueError:
            continue
    return text


def _pair(text: str) -> tuple[int, int]:
    first, second = map(int, text.split(","))
    return first, second


# -- The arguments of the command line -------------------------------------------------

PROGRAM = "latent-faces"
DEBUG = "LATENT_FACES_DEBUG"

_EPILOG = f"""\
Results go to standard output, everything else to standard error. The exit code is 0 when
all is well, 1 after an error, 2 after wrong usage and 130 after Ctrl-C. With {DEBUG}=1 in
the environment an error shows where it happened.
"""


def command_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; its namespace holds `command` and the `parser` of that command.

    Of the arguments to come, the method that they name has options of its own, and only the
    command that they begin with is told its arguments; without any, all commands are.
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
    for name, (text, add_arguments) in _COMMANDS.items():
        description = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(
            name, help=text, description=description, allow_abbrev=False
        )
        command.set_defaults(parser=command)
        if not argv or argv[0] == name:  # nobody asks for the others'
            add_arguments(command, argv)
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


def _add_fit(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    _add_folder(parser)
    _add_out(
        parser,
        "model.npz, components/00.png and so on, components.png (all of them in one picture) "
        "and weights.csv",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="fit on the dask cluster of this scheduler (tcp://HOST:8786), whose workers read "
        "FOLDER themselves, under the same path; needs the extra 'cluster'",
    )
    parser.add_argument(
        "--mask",
        metavar="PNG",
        help="picture of the faces' size; what is not black in it, such as the background, is "
        "left out of the fit (NMF only)",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=NMFParams.method,
        help=f"{', '.join(METHODS)} (default: {NMFParams.method}); --method NAME --help shows "
        "the options of another",
    )
    kind = METHODS[_method(argv)]
    add_options(parser, kind, f"factorization ({kind.title})")
    known = set(kind.names())
    for other in METHODS.values():  # taken, so that it can be said that they do not apply
        add_options(parser, other, None, but=known)
        known.update(other.names())
    add_options(parser, ReadOptions, "reading")


def _add_align(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_folder(parser)
    _add_out(parser, "faces (pictures under their own names) and transforms.csv")
    parser.add_argument(
        "--points",
        metavar="PATH",
        help="align by points instead: a folder of .pts, .tem or .asf files (the names are "
        "those of the pictures), CelebA's list_landmarks.txt, dlib's .xml, or a .csv",
    )
    parser.add_argument(
        "--crop",
        type=_pair_of_pixels,
        metavar="INT,INT",
        help="keep a middle part of this height and width (default: what all aligned pictures "
        "cover)",
    )
    add_options(parser, AlignOptions, "aligning", but=("size",))
    add_options(parser, ReadOptions, "reading")


def _add_encode(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_model_and_faces(
        parser,
        "errors.csv, weights.csv, reconstructions/00.png and so on, and model.npz",
    )
    parser.add_argument(
        "--align",
        action=argparse.BooleanOptionalAction,
        help="bring the faces onto the model first (default: if those of the model were "
        "aligned)",
    )
    parser.add_argument(
        "--mask",
        metavar="PNG",
        help="picture of the model's size; what is not black in it is ignored",
    )


def _add_mend(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_model_and_faces(parser, "mended/00.png and so on, and mended.csv")
    parser.add_argument(
        "--mask",
        required=True,
        metavar="PNG",
        help="picture of the model's size; what is not black in it is replaced",
    )


def _add_model_and_faces(parser: argparse.ArgumentParser, made: str) -> None:
    _add_model(parser)
    _add_folder(parser, "; they are scaled to the model's size")
    _add_out(parser, made)
    add_options(parser, ReadOptions, "reading", but=("size",))


@dataclass(frozen=True)
class Generation:
    """How faces are generated."""

    count: int = parameter(20, "", "How many.", min=1)
    random_state: int = parameter(42, "", "Seed; the same seed gives the same faces.", min=0)
    strength: float = parameter(
        0.7, "", "How close to --near: 0 is any face, 1 that face itself.", min=0, max=1
    )

    def __post_init__(self) -> None:
        check_fields(self)


def _add_generate(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_model(parser)
    _add_out(
        parser,
        "faces/00.png and so on, and recipes.csv with their weights",
        replaced="the faces generated",
    )
    parser.add_argument(
        "--near",
        metavar="FACE",
        help="stay close to a face of the model: its name, or its number counted from 0",
    )
    add_options(parser, Generation, "random faces")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="model file, or folder that fit wrote")


def _add_folder(parser: argparse.ArgumentParser, more: str = "") -> None:
    text = f"folder, zip or tar of pictures, or URL of one{more}"
    parser.add_argument("folder", metavar="FOLDER", help=text)


def _add_out(parser: argparse.ArgumentParser, made: str, replaced: str = "the results") -> None:
    """Add where results go, which is no folder that there is unless that is said."""
    parser.add_argument(
        "-o", "--out", required=True, metavar="OUT", help=f"folder to make: {made}"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help=f"replace {replaced} in OUT, if it holds nothing else",
    )


def _pair_of_pixels(text: str) -> tuple[int, int]:
    try:
        return _pair(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a height and a width, such as 112,92, got {text!r}"
        ) from None


def _add_choose_k(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_folder(parser)
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
    add_options(parser, NMFParams, "factorization", but=("n_components",))
    add_options(parser, ReadOptions, "reading")


def _add_map(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    _add_model(parser)
    parser.add_argument(
        "-o", "--out", required=True, metavar="CSV", help="table to write, a line a face"
    )
    parser.add_argument("--force", action="store_true", help="replace CSV if it exists")
    parser.add_argument(
        "--method",
        choices=("pca", "tsne", "mds"),
        default="pca",
        help="the plane of the most variance, or scikit-learn's t-SNE or MDS (default: pca)",
    )
    parser.add_argument(
        "--random-state",
        type=int,
        default=42,
        metavar="INT",
        help="seed of t-SNE and MDS (default: 42)",
    )


def _add_info(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    parser.add_argument(
        "path",
        metavar="FOLDER|MODEL",
        help="folder or archive of pictures, URL of one, model file, or folder that fit wrote",
    )
    add_options(parser, ReadOptions, "reading (of a folder)")


def _add_demo(parser: argparse.ArgumentParser, _argv: Sequence[str]) -> None:
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="faces to show (default: drawn ones)"
    )
    parser.add_argument(
        "--screenshot", metavar="PNG", help="save a picture of the fitted faces, and close"
    )
    others = set(NMFParams.names()) - {"n_components", "max_iter"}
    add_options(parser, NMFParams, "factorization", but=others)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser, Sequence[str]], None]]] = {
    "fit": ("fit latent faces and write model, pictures and weights", _add_fit),
    "align": ("move, turn and scale faces so that they lie on one another", _add_align),
    "choose-k": ("measure numbers of components and suggest one", _add_choose_k),
    "encode": ("write what a model makes of other faces, and how well", _add_encode),
    "mend": ("replace a marked part of faces by what a model expects there", _add_mend),
    "generate": (
        "make random faces from a model and write pictures and recipes",
        _add_generate,
    ),
    "map": ("place the faces of a model on a plane and write where they are", _add_map),
    "info": ("tell what is in a folder of faces or a model", _add_info),
    "demo": ("open napari and fit faces there", _add_demo),
}
