"""What belongs to the whole process is afterwards as it was before."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_latent_faces import (
    DictionaryParams,
    ICAParams,
    MiniBatchNMFParams,
    NMFParams,
    PCAParams,
    PictureNMF,
    choose_k,
    fit,
    iter_fit,
    sample_faces,
)
from napari_latent_faces.choosing import iter_choose_k
from napari_latent_faces.encoding import encode, iter_encode, iter_mend
from napari_latent_faces.solvers.blocks import one_blas_thread
from tests.helpers import consume, run_python

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


PILLOW = ("LOAD_TRUNCATED_IMAGES", "MAXBLOCK", "SAFEBLOCK")


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
        "Pillow": repr([Image.MAX_IMAGE_PIXELS, *map(vars(ImageFile).get, PILLOW)]),
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
jobs = {
    "read": lambda: done.update(stack=faces.read_faces(folder / "faces")),
    "read lazily": lambda: np.asarray(faces.read_faces(folder / "faces", lazy=True).images),
    "fit": lambda: done.update(model=faces.fit(done["stack"], n_components=3, max_iter=500)),
    "fit, mu": lambda: faces.fit(done["stack"], solver="mu", n_components=3, max_iter=500),
    "fit PCA": lambda: faces.fit(done["stack"], faces.PCAParams(n_components=3)),
    "save": lambda: done["model"].save(folder / "model.npz"),
    "load": lambda: faces.LatentFaces.load(folder / "model.npz"),
    "export": lambda: export_model(done["model"], folder / "export"),
}
forest()  # what it sets up itself is there
for name, job in jobs.items():
    before = state() | thread_limits()
    job()
    after = state() | thread_limits()
    changed = {key: (old, after[key]) for key, old in before.items() if after[key] != old}
    assert not changed, f"{name} changed {changed}"
    forest()
print("nothing changed")
'''


@pytest.mark.skipif(sys.platform == "win32", reason="umask, signals")
def test_nothing_of_the_process_is_changed(tmp_path):
    """Read, fit, save and export; scikit-learn still works in parallel after each."""
    script = tmp_path / "job.py"
    script.write_text(JOB)  # processes of scikit-learn read it again
    assert run_python(f"import runpy; runpy.run_path({str(script)!r})") == "nothing changed\n"


# -- Fits in several threads: the same result in each, and no clash of first imports ---


METHODS = [
    NMFParams(n_components=4),
    NMFParams(n_components=4, solver="cd"),
    PCAParams(n_components=4),
    ICAParams(n_components=4, tol=0.1),
    DictionaryParams(n_components=4),
    MiniBatchNMFParams(n_components=4),
]


@pytest.fixture(scope="module")
def faces():
    return sample_faces(10, shape=(56, 46))


def blas_threads():
    from threadpoolctl import threadpool_info

    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.mark.parametrize(
    "params", METHODS, ids=lambda params: f"{params.title} {vars(params).get('solver', '')}"
)
@pytest.mark.filterwarnings("ignore:Not converged:UserWarning")
def test_a_fit_is_the_same_in_any_thread_and_beside_others(faces, params):
    alone = _components(faces, params)
    for n in (1, 2):
        with ThreadPoolExecutor(n) as pool:
            for other in pool.map(_components, [faces] * n, [params] * n):
                np.testing.assert_array_equal(other, alone)


def _components(faces, params=METHODS[0]):
    return fit(faces, params).components


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_fit_is_the_same_under_joblib(faces, backend):
    joblib = pytest.importorskip("joblib")
    pixels, alone = np.asarray(faces.images), _components(faces)
    jobs = [joblib.delayed(_components)(pixels) for _ in range(2)]
    for other in joblib.Parallel(2, backend=backend)(jobs):
        np.testing.assert_array_equal(other, alone)


ENTRIES = {
    "fit": lambda faces, _: fit(faces, n_components=4),
    "fit by scikit-learn": lambda faces, _: fit(faces, n_components=4, solver="cd"),
    "choose_k": lambda faces, _: choose_k(faces, [2, 3]),
    "encode": lambda faces, model: encode(model, faces),
    "PictureNMF": lambda faces, _: PictureNMF(4).fit(faces.matrix),
    "its transform": lambda faces, _: PictureNMF(4).fit(faces.matrix).transform(faces.matrix),
}


@pytest.fixture(scope="module")
def model(faces):
    return fit(faces, n_components=4)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.filterwarnings("ignore:Not converged:UserWarning")
def test_whatever_multiplies_does_so_on_one_thread_of_blas(faces, model, entry, monkeypatch):
    """In a thread, while the main thread holds a limit of its own."""
    from threadpoolctl import threadpool_limits

    before, seen = blas_threads(), []
    qr = np.linalg.qr

    def watched(*args, **kwargs):
        seen.append(blas_threads())
        return qr(*args, **kwargs)

    monkeypatch.setattr(np.linalg, "qr", watched)
    with threadpool_limits(2, user_api="blas"):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ENTRIES[entry], faces, model).result()
        assert blas_threads() == {2}
    assert seen
    assert all(each == {1} for each in seen)
    assert blas_threads() == before


GENERATORS = {
    "fit": lambda faces, _: iter_fit(faces, n_components=4),
    "another method": lambda faces, _: iter_fit(faces, MiniBatchNMFParams(n_components=4)),
    "choose_k": lambda faces, _: iter_choose_k(faces, [2, 3]),
    "encode": lambda faces, model: iter_encode(model, faces),
    "mend": lambda faces, model: iter_mend(model, faces, np.eye(56, 46, dtype=bool)),
}


@pytest.mark.parametrize("entry", GENERATORS)
def test_work_that_waits_is_left_or_fails_limits_nothing(faces, model, entry):
    before = blas_threads()
    steps = GENERATORS[entry](faces, model)
    next(steps)
    if entry != "choose_k":  # its fits go on in threads of their own
        assert blas_threads() == before
    steps.close()
    assert blas_threads() == before
    pixels = np.asarray(faces.images, np.float64)
    pixels[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        consume(GENERATORS[entry](pixels, model))
    assert blas_threads() == before


SCIPY_COMES_LATER = """
import sys
from threadpoolctl import threadpool_info, threadpool_limits
from napari_latent_faces.solvers.blocks import importing, one_blas_thread

def threads():
    return sorted(each["num_threads"] for each in threadpool_info())

with one_blas_thread():
    assert "scipy" not in sys.modules
    with importing():
        import scipy.linalg
    inside = threads()
assert set(inside) == {1}, inside
with one_blas_thread():
    inside = threads()
assert set(inside) == {1}, inside
after = threads()
with threadpool_limits(2):
    assert threads() == [2] * len(after)
assert threads() == after
"""


def test_the_blas_of_scipy_is_limited_as_soon_as_it_is_loaded():
    run_python(SCIPY_COMES_LATER)


def test_the_limit_lasts_until_the_last_one_leaves_whichever_thread_that_is():
    before = blas_threads()
    inside, go = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            inside.set()
            go.wait()
            return blas_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_blas_thread():
            staying = pool.submit(stay)
            inside.wait()
        meanwhile = blas_threads()
        go.set()
        assert meanwhile == staying.result() == {1}
    assert blas_threads() == before


FIRST_FITS = """
import warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from napari_latent_faces import ICAParams, KMeansParams, NMFParams, PCAParams, fit
warnings.simplefilter("ignore")
faces = np.random.default_rng(0).integers(0, 255, (30, 20, 20)).astype(np.uint8)
kinds = (NMFParams, PCAParams, KMeansParams, ICAParams)
with ThreadPoolExecutor(4) as pool:
    models = list(pool.map(lambda kind: fit(faces, kind(n_components=3)), kinds))
print(len(models))
"""


def test_the_first_fits_of_a_process_may_begin_together():
    for _ in range(2):
        assert run_python(FIRST_FITS) == "4\n"
