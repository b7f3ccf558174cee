"""What belongs to the whole process is afterwards as it was before."""

from __future__ import annotations

import subprocess
import sys

import pytest

JOB = '''
import gc, json, locale, logging, os, signal, sys, tempfile, threading, warnings
from pathlib import Path

import numpy as np
import threadpoolctl
from PIL import Image, ImageFile
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import napari_latent_faces as faces
from napari_latent_faces.export import export_model


def umask():
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def state():
    """Return what code in this process shares, as text."""
    kind, keys, *rest = np.random.get_state()
    return {
        "warning filters": repr(warnings.filters),
        "warnings": repr((warnings.showwarning, warnings.formatwarning)),
        "umask": umask(),
        "locale": locale.setlocale(locale.LC_ALL),
        "Pillow": repr(
            [
                Image.MAX_IMAGE_PIXELS,
                ImageFile.LOAD_TRUNCATED_IMAGES,
                ImageFile.MAXBLOCK,
                ImageFile.SAFEBLOCK,
            ]
        ),
        "NumPy's random numbers": repr([kind, keys.tolist(), rest]),
        "NumPy's errors": repr((np.geterr(), np.geterrcall())),
        "NumPy's printing": repr(np.get_printoptions()),
        "signals": repr([(int(s), signal.getsignal(s)) for s in signal.valid_signals()]),
        "environment": repr(sorted(os.environ.items())),
        "folder": os.getcwd(),
        "logging": repr([logging.root.level, logging.root.handlers]),
        "hooks": repr([sys.excepthook, sys.displayhook, threading.excepthook]),
        "recursion": sys.getrecursionlimit(),
        "garbage": gc.isenabled(),
    }


def thread_limits():
    """Return the limit of every library by its file: a job may load further ones."""
    return {lib["filepath"]: lib["num_threads"] for lib in threadpoolctl.threadpool_info()}


def forest():
    """Let scikit-learn work in threads and in processes."""
    rng = np.random.default_rng(0)
    X, y = rng.random((24, 4)), np.arange(24) % 2
    RandomForestClassifier(4, n_jobs=2).fit(X, y).predict(X)
    assert np.isfinite(cross_val_score(LogisticRegression(), X, y, n_jobs=2, cv=2)).all()


folder = Path(tempfile.mkdtemp())
(folder / "faces").mkdir()
pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 16), np.uint8)
options = {"tif": {"compression": "tiff_lzw"}}
for i, (picture, ending) in enumerate(
    zip(pixels, ["png", "jpg", "gif", "bmp", "pgm", "tif", "webp"] * 2)
):
    Image.fromarray(picture).save(folder / "faces" / f"{i}.{ending}", **options.get(ending, {}))
(folder / "faces" / "cut.png").write_bytes((folder / "faces" / "0.png").read_bytes()[:200])

done = {}


def read():
    done["stack"] = faces.read_faces(folder / "faces")
    assert len(done["stack"]) == 12


def read_lazily():
    assert np.asarray(faces.read_faces(folder / "faces", lazy=True).images).any()


def fit():
    done["model"] = faces.fit(done["stack"], n_components=3, max_iter=500)


def fit_with_scikit_learn():
    faces.fit(done["stack"], solver="mu", n_components=3, max_iter=500)


def save():
    done["model"].save(folder / "model.npz")
    faces.LatentFaces.load(folder / "model.npz")


def export():
    export_model(done["model"], folder / "export")


def fit_other():
    faces.fit(done["stack"], faces.PCAParams(n_components=3))


forest()  # what it sets up itself is there
for job in (read, read_lazily, fit, fit_with_scikit_learn, fit_other, save, export):
    before, limits = state(), thread_limits()
    job()
    after, limits_after = state(), thread_limits()
    changed = {name: (old, after[name]) for name, old in before.items() if after[name] != old}
    changed |= {
        path: (limit, limits_after[path])
        for path, limit in limits.items()
        if limits_after[path] != limit
    }
    assert not changed, f"{job.__name__} changed {changed}"
    forest()
print("nothing changed")
'''


@pytest.mark.skipif(sys.platform == "win32", reason="umask, signals")
def test_nothing_of_the_process_is_changed(tmp_path):
    """Read, fit, save and export; scikit-learn still works in parallel after each."""
    script = tmp_path / "job.py"
    script.write_text(JOB)
    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.stdout == "nothing changed\n", ran.stderr
