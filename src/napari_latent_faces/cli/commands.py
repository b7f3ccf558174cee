"""The command line: what it starts, how it fails, and fit, info and demo."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces.choosing.candidates import parse_ks
from napari_latent_faces.choosing.options import ChoiceOptions
from napari_latent_faces.cli.inputs import (
    CommandError,
    check_apart,
    find_face,
    load_model,
    read,
    warn_of_skipped,
)
from napari_latent_faces.cli.options import chosen, given, option, spelled
from napari_latent_faces.cli.output import (
    iterations,
    left_out_facts,
    method_facts,
    model_facts,
    say,
    size_facts,
    tell,
)
from napari_latent_faces.cli.parser import DEBUG, PROGRAM, command_parser
from napari_latent_faces.cli.progress import progress, write_line
from napari_latent_faces.methods import METHODS
from napari_latent_faces.nmf.params import NMFParams
from napari_latent_faces.reading.options import ReadOptions
from napari_latent_faces.report import in_one_line
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import FitStep
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["main"]

_ANSWER = 5  # seconds that a scheduler has for its first answer
_FAILED, _INTERRUPTED, _BROKEN_PIPE = 1, 130, 141  # argparse ends wrong usage with 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (code 0) and after wrong usage (code 2).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names need not fit its encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    args = command_parser(argv).parse_args(argv)
    command = _COMMANDS[args.command]
    try:
        with _warnings_as_lines():
            command(args)
    except argparse.ArgumentTypeError as error:
        args.parser.error(str(error))
    except KeyboardInterrupt:
        write_line(f"{PROGRAM}: interrupted, nothing was written")
        return _INTERRUPTED
    except BrokenPipeError:
        return _leave_broken_pipe()
    except (OSError, ValueError, TypeError, MemoryError, ImportError, CommandError) as error:
        if os.environ.get(DEBUG):
            raise
        write_line(f"{PROGRAM}: error: {_message(error)}")
        return _FAILED
    return 0


# -- commands ------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> None:
    from napari_latent_faces.export import check_export, export_model
    from napari_latent_faces.export_faces import read_mask

    params = _params(args)
    check_export(args.out, force=args.force)
    check_apart(args.folder, args.out)
    with _cluster(args) as client:
        faces = read(args.folder, args)
        warn_of_skipped(faces, args.folder)
        mask = None if args.mask is None else read_mask(args.mask, faces.shape[1:])
        model = _drain(faces, params, mask=mask, client=client)
    export_model(model, args.out, force=args.force)
    say(faces.report.summary())
    tell(
        {
            **method_facts(model),
            "components": model.n_components,
            "iterations": iterations(model),
            "relative error": f"{model.error:.6f}",
            **left_out_facts(model),
            "written to": args.out,
        }
    )


def _generate(args: argparse.Namespace) -> None:
    from napari_latent_faces.mixing import sample_weights
    from napari_latent_faces.mixing.generated import check_generated, write_generated

    if args.strength is not None and args.near is None:
        raise argparse.ArgumentTypeError("--strength is for --near: say which face.")
    check_generated(args.out, force=args.force)
    model = load_model(args.model)
    strength = 0.7 if args.strength is None else args.strength
    face = None if args.near is None else find_face(model, args.near)
    made = f"random, seed {args.random_state}"
    if face is not None:
        made += f", {strength:g} close to {args.near}"
    weights = sample_weights(model, args.count, args.random_state, face, strength)
    with progress("writing faces") as show:
        write_generated(model, weights, args.out, made=made, force=args.force, progress=show)
    tell({"faces": args.count, "made": made, "written to": args.out})


def _choose_k(args: argparse.Namespace) -> None:
    from napari_latent_faces.cli.choosing import check_table, measured, table_lines

    changes = {**given(ChoiceOptions, args), **given(NMFParams, args)}
    chosen(ChoiceOptions, args)
    chosen(NMFParams, args)
    try:
        ks = parse_ks(args.ks)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"-{error}") from error
    if args.out:
        check_table(args.out, force=args.force)
    choice = measured(read(args.folder, args), ks, changes)
    for line in table_lines(choice):
        say(line)
    say(choice.reason)
    if args.out:
        choice.save_csv(args.out)
        tell({"written to": args.out})


def _info(args: argparse.Namespace) -> None:
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.model_file import is_model_file

    for path in (Path(args.path), Path(args.path, "model.npz")):
        if is_model_file(path):
            for name in given(ReadOptions, args):
                raise argparse.ArgumentTypeError(f"{option(name)} is for folders of faces.")
            tell({"model": path, **model_facts(LatentFaces.load(path))})
            return
    faces = read(args.path, args)
    tell(
        {
            "source": faces.source,
            **size_facts(faces.shape, faces.subjects),
            "pixels": faces.dtype,
        }
    )
    say(faces.report.details())


def _demo(args: argparse.Namespace) -> None:
    from napari_latent_faces._demo import DemoError, run_demo

    chosen(NMFParams, args)
    faces = read(args.folder, args) if args.folder else None
    try:
        with redirect_stdout(sys.stderr):  # napari tells there what is going on
            saved = run_demo(faces, args.screenshot, **given(NMFParams, args))
    except DemoError as error:
        raise CommandError(str(error)) from error
    if saved is not None:
        tell({"written to": saved})


def _params(args: argparse.Namespace) -> Parameters:
    """Return the parameters of the method; an option of another method is an error."""
    kind = METHODS[args.method]
    for other in METHODS.values():
        for name in given(other, args):
            if name not in kind.names():
                raise argparse.ArgumentTypeError(
                    f"{option(name)} does not apply to --method {args.method}."
                )
    params: Parameters = chosen(kind, args)
    return params


def _encode(args: argparse.Namespace) -> None:
    from napari_latent_faces.cli.faces import encode_faces

    encode_faces(args)


def _mend(args: argparse.Namespace) -> None:
    from napari_latent_faces.cli.faces import mend_faces

    mend_faces(args)


_COMMANDS = {
    "fit": _fit,
    "choose-k": _choose_k,
    "encode": _encode,
    "mend": _mend,
    "generate": _generate,
    "info": _info,
    "demo": _demo,
}


@contextmanager
def _cluster(args: argparse.Namespace) -> Iterator[Any]:
    """Connect to the scheduler that is asked for, if any; its workers read the faces."""
    if args.scheduler is None:
        yield None
        return
    if not vars(args).setdefault("lazy", True):
        raise argparse.ArgumentTypeError("--scheduler reads where it fits: not with --no-lazy.")
    with _connected(args.scheduler) as client:
        yield client


def _connected(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise CommandError(
            "--scheduler needs dask.distributed: pip install 'napari-latent-faces[cluster]'"
        ) from error
    try:
        connect: Any = Client
        return connect(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The scheduler {address} does not answer: check its address, and that it runs "
            "(dask scheduler)."
        ) from error


def _drain(faces: FaceStack, params: Parameters, **options: Any) -> LatentFaces:
    """Fit with progress; the model is the generator's return value."""
    with progress(f"fitting {params.n_components} components") as show:
        from napari_latent_faces.fitting import iter_fit

        def show_step(step: FitStep) -> None:
            show(step.iteration, step.max_iter, f"relative error {step.error:.4f}")

        return drain(iter_fit(faces, params, **options), show_step)


# -- how it fails --------------------------------------------------------------


def _message(error: object) -> str:
    # names of files and in models may hold what a terminal obeys
    return "\n".join(map(in_one_line, _words(error).split("\n")))


def _words(error: object) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return spelled(str(error), *METHODS.values(), ReadOptions, ChoiceOptions) or "out of memory"


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show warnings without the line of code that they come from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        write_line(f"{PROGRAM}: warning: {_message(message)}")

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def _leave_broken_pipe() -> int:
    """Make Python not fail when it flushes the closed pipe at its end."""
    with open(os.devnull, "w") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), sys.stdout.fileno())
    return _BROKEN_PIPE
