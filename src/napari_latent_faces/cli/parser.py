"""The arguments of the command line, those that parameters make among them."""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any

from napari_latent_faces import __version__, params

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_KINDS = {int: "INT", float: "FLOAT", tuple: "INT,INT"}


def add_options(
    parser: argparse.ArgumentParser,
    parameters: type[Any],
    title: str,
    but: Collection[str] = (),
) -> None:
    """Add an option for each field of a dataclass, which knows its default, and checks it."""
    group = parser.add_argument_group(title)
    for each in fields(parameters):
        if each.name in but:
            continue
        known = each.metadata
        types, choices, flags = known["types"], known["choices"], [option(each.name)]
        told = known["help"].removeprefix(f"{each.name}: ")
        default = "none" if each.default is None else each.default
        text = f"{told} (default: {default})".replace("None", "none").replace("%", "%%")
        add = partial(group.add_argument, dest=each.name, default=argparse.SUPPRESS)
        if each.name == "n_components":
            flags.insert(0, "-k")
        if bool in types:
            add(*flags, action="store_const", const=True, help=text)
        else:
            names = [name for kind, name in _KINDS.items() if kind in types]
            names += [*choices, *["none"] * known["optional"]]
            shown = "TEXT" if str in types else "|".join(names)  # "none" would be a text, too
            add(*flags, type=partial(_read, types, choices), metavar=shown, help=text)
        if False in choices:
            add(option(f"no_{each.name}"), action="store_const", const=False, help=known["off"])


def option(name: str) -> str:
    """Return the option of a field: ``--n-components`` for ``n_components``."""
    return f"--{name.replace('_', '-')}"


def given(parameters: type[Any], namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a dataclass that the command line gives, by name."""
    names = parameters.names()
    return {name: value for name, value in vars(namespace).items() if name in names}


def chosen(parameters: type[Any], namespace: argparse.Namespace, **changes: Any) -> Any:
    """Return the dataclass that a command line spells, or say which option is wrong."""
    try:
        return parameters(**{**given(parameters, namespace), **changes})
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(spelled(str(error), parameters)) from error


def spelled(message: str, *parameters: type[Any]) -> str:
    """Return a message of the library with fields spelled as options, such as ``--no-lazy``."""
    message = re.sub(r"=\((\w+), (\w+)\)", r"=\1,\2", message)  # no shell takes brackets
    names = {name for kind in parameters or params.ALL for name in kind.names()}
    some = "|".join(names)  # English words are names at the start only, and before =
    plain = "|".join(name for name in names if "_" in name or name == "tol")
    message = re.sub(rf"\b({some})=False\b", lambda found: option(f"no_{found[1]}"), message)
    places = rf"^(?:{some})\b(?!=)|(?:{some})(?==)|(?:{plain})\b(?!\.\w)"
    pattern = rf"(?<![-\w])(?:{places})(?:=True\b)?"
    return re.sub(pattern, lambda found: option(found[0].removesuffix("=True")), message)


def _refuse(words: str, _: str) -> None:
    raise argparse.ArgumentTypeError(words)


def _read(types: Collection[type], choices: Collection[Any], text: str) -> Any:
    """Return the value that an argument spells; what cannot be read the dataclass refuses."""
    if str in types or text in choices:
        return text
    if text == "none" and NoneType in types:
        return None
    with suppress(ValueError):
        if tuple in types and "," in text:
            return height_and_width(text)
        return int(text) if int in types else float(text)
    return text


def height_and_width(text: str) -> tuple[int, ...]:
    """Return the numbers that a text such as ``112,92`` spells; argparse tells this name."""
    return tuple(map(int, text.split(",")))


PROGRAM = "latent-faces"
DEBUG = "LATENT_FACES_DEBUG"

_EPILOG = f"""\
Results go to standard output, everything else to standard error. The exit code is 0 when
all is well, 1 after an error, 2 after wrong usage and 130 after Ctrl-C. With {DEBUG}=1 in
the environment an error shows where it happened.
"""


@dataclass(frozen=True)
class Generation(params.Options):
    """How faces are generated, and placed.

    Parameters
    ----------
    count : int
        How many.
    random_state : int
        Seed, so that the same number gives the same result.
    strength : float
        How close to --near: 0 is any face, 1 that face itself.
    """

    count: int = params.parameter(20, min=1)
    random_state: int = params.parameter(42, min=0, max=2**32 - 1)
    strength: float = params.parameter(0.7, min=0, max=1)


params.describe(Generation)


# The commands, their arguments and what they are for.
_USAGE = f"""
fit: fit latent faces and write model, pictures and weights
    folder FOLDER: folder, zip or tar of pictures, or URL of one
    -o --out OUT: folder to make: model.npz, components/00.png and so on, components.png (all of
        them in one picture) and weights.csv
    --force: replace the results in OUT, if it holds nothing else
    --scheduler ADDRESS: fit on the dask cluster of this scheduler (tcp://HOST:8786), whose
        workers read FOLDER themselves, under the same path; needs the extra 'cluster'
    --mask PNG: picture of the faces' size; what is not black in it, such as the background, is
        left out of the fit (NMF only)
    --method: {", ".join(params.METHODS)} (default: {params.NMFParams.method});
        --method NAME --help shows the options of another
align: move, turn and scale faces so that they lie on one another
    folder FOLDER: folder, zip or tar of pictures, or URL of one
    -o --out OUT: folder to make: faces (pictures under their own names) and transforms.csv
    --force: replace the results in OUT, if it holds nothing else
    --points PATH: align by points instead: a folder of .pts, .tem or .asf files (the names are
        those of the pictures), CelebA's list_landmarks.txt, dlib's .xml, or a .csv
    --crop INT,INT: keep a middle part of this height and width (default: what all aligned
        pictures cover)
choose-k: measure numbers of components and suggest one
    folder FOLDER: folder, zip or tar of pictures, or URL of one
    -k --k K: numbers of components to measure: 5:60:5 (from, to, step), 2,4,8, or auto, a
        search (default: auto)
    -o --out CSV: table to write, a line for each k; Ctrl-C ends the search, and writes what is
        there
    --force: replace CSV if it exists
encode: write what a model makes of other faces, and how well
    model MODEL: model file, or folder that fit wrote
    folder FOLDER: folder, zip or tar of pictures, or URL of one; they are scaled to the model's
        size
    -o --out OUT: folder to make: errors.csv, weights.csv, reconstructions/00.png and so on, and
        model.npz
    --force: replace the results in OUT, if it holds nothing else
    --align: bring the faces onto the model first (default: if those of the model were aligned)
    --mask PNG: picture of the model's size; what is not black in it is ignored
mend: replace a marked part of faces by what a model expects there
    model MODEL: model file, or folder that fit wrote
    folder FOLDER: folder, zip or tar of pictures, or URL of one; they are scaled to the model's
        size
    -o --out OUT: folder to make: mended/00.png and so on, and mended.csv
    --force: replace the results in OUT, if it holds nothing else
    --mask PNG: picture of the model's size; what is not black in it is replaced
generate: make random faces from a model and write pictures and recipes
    model MODEL: model file, or folder that fit wrote
    -o --out OUT: folder to make: faces/00.png and so on, and recipes.csv with their weights
    --force: replace the faces generated in OUT, if it holds nothing else
    --near FACE: stay close to a face of the model: its name, or its number counted from 0
map: place the faces of a model on a plane and write where they are
    model MODEL: model file, or folder that fit wrote
    -o --out CSV: table to write, a line a face
    --force: replace CSV if it exists
    --method: the plane of the most variance, or scikit-learn's t-SNE or MDS (default: pca)
info: tell what is in a folder of faces or a model
    folder FOLDER|MODEL: folder or archive of pictures, URL of one, model file, or folder that
        fit wrote
demo: open napari and fit faces there
    folder FOLDER: faces to show (default: drawn ones)
    --screenshot PNG: save a picture of the fitted faces, and close
"""

# what argparse is to know of an argument besides: of any command, or of one
_DETAILS: dict[str, dict[str, Any]] = {
    "-o --out OUT": {"required": True},
    "--force": {"action": "store_true"},
    "--crop INT,INT": {"type": height_and_width},
    "-k --k K": {"dest": "ks", "default": "auto"},
    "--align": {"action": argparse.BooleanOptionalAction},
    "fit --method": {"choices": params.METHODS, "default": params.NMFParams.method},
    "mend --mask PNG": {"required": True},
    "map -o --out CSV": {"required": True},
    "map --method": {"choices": ("pca", "tsne", "mds"), "default": "pca"},
    "demo folder FOLDER": {"nargs": "?"},
}

# the options made of parameters: of which class, under which title, but which
_READING, _FACTORS = (params.ReadOptions, "reading"), (params.NMFParams, "factorization")
_OPTIONS: dict[str, list[tuple[Any, ...]]] = {
    "fit": [_READING],  # after those of the method
    "align": [(params.AlignOptions, "aligning", ("size",)), _READING],
    "choose-k": [(params.ChoiceOptions, "effort"), (*_FACTORS, ("n_components",)), _READING],
    "encode": [(*_READING, ("size",))],
    "mend": [(*_READING, ("size",))],
    "generate": [(Generation, "random faces")],
    "map": [(Generation, "t-SNE and MDS", ("count", "strength"))],
    "info": [(params.ReadOptions, "reading (of a folder)")],
    "demo": [(*_FACTORS, {*params.NMFParams.names()} - {"n_components", "max_iter"})],
}


def command_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of some arguments, or all; its namespace holds that of a command."""
    about = "Find the parts that a folder of faces is made of (NMF)."
    parser = argparse.ArgumentParser(
        PROGRAM, description=about, epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for usage in re.split(r"\n(?=\w)", _USAGE)[1:]:
        told, *arguments = re.split(r"\n    (?=\S)", usage)
        name, text = told.split(": ")
        about = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=about, allow_abbrev=False)
        command.set_defaults(parser=command)
        if not argv or argv[0] == name:  # nobody asks for the others'
            for argument in arguments:
                form, text = " ".join(argument.split()).split(": ", 1)
                details = _DETAILS.get(form, {}) | _DETAILS.get(f"{name} {form}", {})
                *flags, last = form.split()
                if "-" in last:
                    flags.append(last)
                else:
                    details["metavar"] = last
                command.add_argument(*flags, help=text, **details)
            if name == "fit":  # with the options of the method that is named
                named = re.findall(r"--method[ =](\S+)", " ".join(argv))
                kind = params.METHODS.get(named[-1] if named else "", params.NMFParams)
                add_options(command, kind, f"factorization ({kind.title})")
                hidden: Any = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
                every = {other: taken.names() for other, taken in params.METHODS.items()}
                for field in {*chain(*every.values())} - {*kind.names()}:
                    takers = " or ".join(other for other, own in every.items() if field in own)
                    words = f"not for --method {kind.method}; choose --method {takers}."
                    command.add_argument(option(field), type=partial(_refuse, words), **hidden)
            for each in _OPTIONS[name]:
                add_options(command, *each)
    return parser
