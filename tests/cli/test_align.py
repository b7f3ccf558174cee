from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import LatentFaces, align_faces, fit, read_faces, sample_faces
from tests.cli.conftest import table


@pytest.fixture(scope="module")
def faces():
    return sample_faces(8, 5)


@pytest.fixture
def folder(faces, tmp_path):
    place = tmp_path / "some faces"
    for name, image in zip(faces.names, faces.images, strict=True):
        path = (place / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return place


def test_pictures_and_transforms_are_written(run, folder, out, faces):
    code, printed, _ = run("align", folder, "-o", out, "--crop", "92,76", "-k", "8")
    assert code == 0
    expected = align_faces(faces, size=(92, 76), n_components=8)
    written = read_faces(out / "faces")
    np.testing.assert_array_equal(written.images, expected.images)
    assert written.subjects == faces.subjects
    rows = table(out / "transforms.csv")
    heads = ("y_y", "y_x", "y_0", "x_y", "x_x", "x_0")
    found = [[float(row[head]) for head in heads] for row in rows]
    np.testing.assert_array_equal(found, expected.transforms[:, :2].reshape(-1, 6))
    assert {(row["top"], row["left"]) for row in rows} == {("10", "8")}
    assert [row["picture"] for row in rows] == [
        f"faces/{name.removesuffix('.jpg')}.png" for name in faces.names
    ]
    whole = read_faces(out)  # so that a model of these pictures knows how they were aligned
    np.testing.assert_array_equal(whole.transforms, expected.transforms)
    assert whole.frame == expected.frame
    assert read_faces(out, size=(46, 38)).transforms is None
    (out / "faces" / faces.names[0]).with_suffix(".png").rename(out / "faces" / "other.png")
    assert read_faces(out).transforms is None  # the table is not about these pictures
    assert "40 faces aligned: error of 8 components" in printed
    assert "size: 76 x 92 pixels, from row 10 and column 8" in printed


def test_points_beside_the_pictures_are_used(run, folder, out, faces):
    for i, name in enumerate(faces.names):
        text = f"2\n{30 + i % 3} 50\n{60 + i % 3} 50\n"
        (folder / name).with_suffix(".tem").write_text(text)
    code, _, _ = run("align", folder, "-o", out, "--points", folder)
    assert code == 0
    shifts = [float(row["x_0"]) for row in table(out / "transforms.csv")]
    expected = np.array([i % 3 for i in range(40)], float)
    np.testing.assert_allclose(shifts, expected - expected.mean(), atol=1e-9)


def test_strangers_are_brought_onto_a_model_of_aligned_faces(run, folder, out, tmp_path, faces):
    model = fit(align_faces(faces, size=(92, 76)), n_components=8, tol=1e-3)
    model.save(tmp_path / "model.npz")
    place = tmp_path / "strangers"
    place.mkdir()
    for i, image in enumerate(faces.images[:6]):
        shifted = np.roll(image, (6, -4), (0, 1))
        Image.fromarray(shifted).resize((184, 224)).save(place / f"{i}.png")
    code, printed, _ = run("encode", tmp_path / "model.npz", place, "-o", out)
    assert code == 0
    assert "6 faces aligned" in printed
    found = LatentFaces.load(out / "model.npz")
    assert found.error < 1.05 * model.encoded(faces[:6], align=True).error
    moved = (found.transforms - model.transforms[:6]) @ [55, 45, 1]
    np.testing.assert_allclose(np.median(moved, 0), [6, -4, 0], atol=0.5)
    code, printed, _ = run(
        "encode", tmp_path / "model.npz", place, "-o", out, "--no-align", "--force"
    )
    assert LatentFaces.load(out / "model.npz").error > 1.3 * found.error
