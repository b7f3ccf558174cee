"""Command-line options made from the fields of a frozen dataclass of parameters."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["add_hidden_options", "add_options", "chosen", "given", "option", "spelled"]

_SHORT = {"n_components": "-k"}
_KINDS = {int: "INT", float: "FLOAT", str: "TEXT", tuple: "INT,INT", NoneType: "none"}


def add_options(
    parser: argparse.ArgumentParser,
    parameters: type[Any],
    title: str,
    only: Collection[str] | None = None,
) -> None:
    """Add a group with an option for each field of a dataclass.

    An option that is not given leaves nothing in the namespace: the defaults are those
    of the dataclass, and its checks are the only ones.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Where to.
    parameters : dataclass
        Its fields' metadata holds `help`, the types of the fields say what is taken.
    title : str
        Title of the group.
    only : collection of str, optional
        Names of the fields to offer; all by default.
    """
    group = parser.add_argument_group(title)
    hints = get_type_hints(parameters)
    for declared in fields(parameters):
        if only is None or declared.name in only:
            _add_option(group, declared, _alternatives(hints[declared.name]))


def add_hidden_options(
    parser: argparse.ArgumentParser, parameters: type[Any], known: Collection[str]
) -> None:
    """Add the options of a dataclass that are not `known`, without showing them.

    They are taken so that the command can say why they do not apply.

    Parameters
    ----------
    parser, parameters
        As in `add_options`.
    known : collection of str
        Names of the fields that the parser has already.
    """
    hints = get_type_hints(parameters)
    for declared in fields(parameters):
        if declared.name not in known:
            _add_option(parser, declared, _alternatives(hints[declared.name]), hidden=True)


def option(name: str) -> str:
    """Return the option of a field: ``--n-components`` for ``n_components``."""
    return f"--{name.replace('_', '-')}"


def given(parameters: type[Any], namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a dataclass that the command line gives, by name."""
    names = [declared.name for declared in fields(parameters)]
    return {name: getattr(namespace, name) for name in names if hasattr(namespace, name)}


def chosen(parameters: type[Any], namespace: argparse.Namespace) -> Any:
    """Return the dataclass that a command line spells.

    Raises
    ------
    argparse.ArgumentTypeError
        If the dataclass refuses a value; the message names the option.
    """
    try:
        return parameters(**given(parameters, namespace))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(spelled(str(error), parameters)) from error


def spelled(message: str, *parameters: type[Any]) -> str:
    """Return a message of the library with fields spelled as options.

    A field is known by its place: at the start of the message, or before ``=``.
    """
    names = "|".join(declared.name for each in parameters for declared in fields(each))
    pattern = rf"^({names})\b(?!=)|\b({names})(?:=True\b|(?==))"
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


def _add_option(group: Any, declared: Any, allowed: list[Any], *, hidden: bool = False) -> None:
    flags = [option(declared.name)]
    if declared.name in _SHORT:
        flags.insert(0, _SHORT[declared.name])
    common = {"dest": declared.name, "default": argparse.SUPPRESS}
    text = argparse.SUPPRESS if hidden else _help(declared)
    if bool in allowed:
        group.add_argument(*flags, action="store_const", const=True, help=text, **common)
    else:
        spellings = _spellings(allowed)
        group.add_argument(
            *flags, type=_reader(allowed), metavar="|".join(spellings), help=text, **common
        )
    if bool in allowed or False in allowed:
        off = f"--no-{declared.name.replace('_', '-')}"
        group.add_argument(
            off, action="store_const", const=False, help=f"not {flags[-1]}", **common
        )


def _help(declared: Any) -> str:
    # the option's own name says what the parenthesis does in a form
    text = str(declared.metadata["help"]).replace(f" ({declared.name})", "")
    default = "none" if declared.default is None else declared.default
    return f"{text} (default: {default})".replace("%", "%%")


def _spellings(allowed: list[Any]) -> list[str]:
    """Return how each allowed value or type is written."""
    words = [_KINDS.get(each, each) for each in allowed if each is not False]
    # any text would be a text, "none" too
    return [word for word in words if str not in allowed or word == _KINDS[str]]


def _reader(allowed: list[Any]) -> Any:
    """Return the function that turns an argument into the value it spells.

    What it cannot read stays text, for the dataclass to complain about.
    """

    def read(text: str) -> Any:
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

    return read


def _pair(text: str) -> tuple[int, int]:
    first, second = map(int, text.split(","))
    return first, second
