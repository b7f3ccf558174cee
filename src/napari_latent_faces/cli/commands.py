"""The command line: fit a folder of faces, tell about one, show the demo."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces.cli.options import chosen, given, option, spelled
from napari_latent_faces.cli.parser import DEBUG, PROGRAM, command_parser
from napari_latent_faces.cli.progress import progress, write_line
from napari_latent_faces.methods import METHODS
from napari_latent_faces.nmf.params import NMFParams
from napari_latent_faces.reading.options import ReadOptions
from napari_latent_faces.report import in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["main"]

_FAILED, _INTERRUPTED, _BROKEN_PIPE = 1, 130, 141  # argparse ends wrong usage with 2


class _CommandError(Exception):
    """A command cannot do its work; the message is for its user."""


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
    command = {"fit": _fit, "info": _info, "demo": _demo}[args.command]
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
    except (OSError, ValueError, TypeError, MemoryError, ImportError, _CommandError) as error:
        if os.environ.get(DEBUG):
            raise
        write_line(f"{PROGRAM}: error: {_message(error)}")
        return _FAILED
    return 0


# -- commands ------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> None:
    from napari_latent_faces.export import check_export, export_model

    params = _params(args)
    check_export(args.out, force=args.force)
    _check_apart(args.folder, args.out)
    faces = _read(args.folder, args)
    if skipped := len(faces.report.skipped):
        where = f"{PROGRAM} info {in_one_line(args.folder)}"
        write_line(f"{PROGRAM}: warning: {skipped} skipped, listed by {where}")
    model = _drain(faces, params)
    export_model(model, args.out, force=args.force)
    _say(faces.report.summary())
    _tell(
        {
            **_method(model),
            "components": model.n_components,
            "iterations": _iterations(model),
            "relative error": f"{model.error:.6f}",
            "written to": args.out,
        }
    )


def _info(args: argparse.Namespace) -> None:
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.model_file import is_model_file

    for path in (Path(args.path), Path(args.path, "model.npz")):
        if is_model_file(path):
            for name in given(ReadOptions, args):
                raise argparse.ArgumentTypeError(f"{option(name)} is for folders of faces.")
            _tell({"model": path, **_facts(LatentFaces.load(path))})
            return
    faces = _read(args.path, args)
    _tell({"source": faces.source, **_size(faces.shape, faces.subjects), "pixels": faces.dtype})
    _say(faces.report.details())


def _demo(args: argparse.Namespace) -> None:
    from napari_latent_faces._demo import DemoError, run_demo

    chosen(NMFParams, args)
    faces = _read(args.folder, args) if args.folder else None
    try:
        with redirect_stdout(sys.stderr):  # napari tells there what is going on
            saved = run_demo(faces, args.screenshot, **given(NMFParams, args))
    except DemoError as error:
        raise _CommandError(str(error)) from error
    if saved is not None:
        _tell({"written to": saved})


def _params(args: argparse.Namespace) -> Parameters:
    """Return the parameters of the method; an option of another method is an error."""
    kind = METHODS[args.method]
    for other in METHODS.values():
        for name in given(other, args):
            if name not in kind.__dataclass_fields__:  # type: ignore[attr-defined]
                raise argparse.ArgumentTypeError(
                    f"{option(name)} does not apply to --method {args.method}."
                )
    params: Parameters = chosen(kind, args)
    return params


def _check_apart(folder: str, out: str) -> None:
    """Refuse to write among the faces, where the next read would find the components."""
    place = folder.removeprefix("file://")
    if Path(out).resolve().is_relative_to(Path(place).resolve()):
        raise _CommandError(
            f"{out} lies in {folder}, where the components would be read as faces: choose a "
            "folder elsewhere."
        )


def _read(path: str, args: argparse.Namespace) -> FaceStack:
    options = asdict(chosen(ReadOptions, args))
    with progress(f"reading {in_one_line(path)}") as show:
        from napari_latent_faces.folder import read_faces

        return read_faces(path, **options, progress=show)


def _drain(faces: FaceStack, params: Parameters) -> LatentFaces:
    """Fit with progress; the model is the generator's return value."""
    with progress(f"fitting {params.n_components} components") as show:
        from napari_latent_faces.fitting import iter_fit

        steps = iter_fit(faces, params)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                model: LatentFaces = end.value
                return model
            show(step.iteration, step.max_iter, f"relative error {step.error:.4f}")


# -- what is printed -----------------------------------------------------------


def _facts(model: LatentFaces) -> dict[str, Any]:
    origin = model.provenance
    return {
        "source": origin.source,
        **_size(model.shape, origin.subjects),
        "pixels": f"{origin.dtype}, {model.scale:g} is 1 in the fit",
        **_method(model),
        "components": model.n_components,
        "iterations": _iterations(model),
        "relative error": f"{model.error:.6f}",
        "parameters": _listed(model.params.to_dict()),
        "versions": _listed(origin.versions),
        "shares": " ".join(f"{share:.4f}" for share in model.shares),
    }


def _size(shape: tuple[int, int, int], subjects: tuple[str, ...] | None) -> dict[str, str]:
    n, height, width = shape
    people = f" of {len(set(subjects))} subjects" if subjects else ""
    return {"faces": f"{n}{people}", "size": f"{width} x {height} pixels"}


def _method(model: LatentFaces) -> dict[str, str]:
    """Name the method, where it is not the usual one."""
    method = model.params.method
    return {} if method == NMFParams.method else {"method": method}


def _iterations(model: LatentFaces) -> str:
    how = "converged" if model.provenance.stop_reason == "converged" else "not converged"
    return f"{model.provenance.n_iter} ({how})"


def _listed(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _tell(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        _say(f"{name}: {in_one_line(str(value))}")


def _say(text: str) -> None:
    print(text, flush=True)  # so that a closed pipe is noticed here


def _message(error: object) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return spelled(str(error), *METHODS.values(), ReadOptions) or "out of memory"


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
