"""The commands that apply a model to other faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces.cli.inputs import (
    CommandError,
    check_apart,
    load_model,
    read,
    warn_of_skipped,
)
from napari_latent_faces.cli.output import say, tell
from napari_latent_faces.cli.progress import progress
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

__all__ = ["encode_faces", "mend_faces"]


def encode_faces(args: argparse.Namespace) -> None:
    """Write weights, errors and reconstructions of a folder of faces."""
    from napari_latent_faces.encoding import iter_encode
    from napari_latent_faces.export_faces import ENCODED_LAYOUT, export_encoded, read_mask
    from napari_latent_faces.folders import check_folder

    check_folder(Path(args.out), ENCODED_LAYOUT, force=args.force)
    model = load_model(args.model)
    mask = None if args.mask is None else read_mask(args.mask, model.shape[1:])
    faces = _faces(args, model)
    encoding = _drain("encoding", iter_encode(model, faces, mask), len(faces))
    with progress("writing") as show:
        export_encoded(model, faces, encoding, args.out, force=args.force, progress=show)
    worst = int(encoding.errors.argmax())
    _report(faces)
    tell(
        {
            "components": model.n_components,
            "relative error": f"{encoding.error:.6f}",
            "mean error of a face": f"{encoding.errors.mean():.6f}",
            "worst": f"{faces.names[worst]} ({encoding.errors[worst]:.6f})",
            "written to": args.out,
        }
    )


def mend_faces(args: argparse.Namespace) -> None:
    """Write the faces of a folder with what a mask marks filled in."""
    from napari_latent_faces.encoding import relative_errors
    from napari_latent_faces.export_faces import MENDED_LAYOUT, export_mended, read_mask
    from napari_latent_faces.folders import check_folder
    from napari_latent_faces.mending import iter_mend

    check_folder(Path(args.out), MENDED_LAYOUT, force=args.force)
    model = load_model(args.model)
    mask = read_mask(args.mask, model.shape[1:])
    faces = _faces(args, model)
    mended = _drain("mending", iter_mend(model, faces, mask), len(faces))
    errors = relative_errors(model, faces, mended.expected.weights, mask)
    with progress("writing") as show:
        export_mended(mended, faces, errors, args.out, force=args.force, progress=show)
    _report(faces)
    tell({"pixels replaced": f"{mask.sum()} of {mask.size}", "written to": args.out})


def _faces(args: argparse.Namespace, model: LatentFaces) -> FaceStack:
    """Read the faces at the model's size."""
    check_apart(args.folder, args.out)
    args.size = model.shape[1:]
    faces = read(args.folder, args)
    if len(faces) == 0:
        raise CommandError(f"There are no faces in {args.folder}.")
    warn_of_skipped(faces, args.folder)
    return faces


def _report(faces: FaceStack) -> None:
    # most faces have one size; only those of others are listed as resized
    say(replace(faces.report, resized=()).summary())
    for note in faces.report.notes:
        say(note)


def _drain(title: str, steps: Generator[int, None, Any], total: int) -> Any:
    """Run the steps with progress; the result is the generator's return value."""
    with progress(f"{title} {total} faces") as show:
        return drain(steps, lambda done: show(done, total))
