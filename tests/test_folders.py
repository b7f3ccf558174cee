"""What is not already shown by the exports that write such folders."""

from __future__ import annotations

import pytest

from napari_latent_faces.files import Layout, check_folder, writing_folder


@pytest.fixture
def layout():
    return Layout(("a.csv",), "pictures", "a.csv", lambda path: path.read_text() == "ours")


def write(folder, layout, *, count=2, suffix=".png", force=False):
    with writing_folder(folder, layout, force=force) as new:
        (new / "a.csv").write_text("ours")
        (new / "pictures").mkdir()
        for i in range(count):
            (new / f"pictures/{i}{suffix}").write_text("picture")


def there(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_earlier_results_of_any_picture_type_are_replaced(layout, tmp_path):
    out = tmp_path / "out"
    write(out, layout, count=3, suffix=".tif")
    (out / "pictures/mine.tif").write_text("mine")
    write(out, layout, count=1, force=True)
    assert there(out) == ["a.csv", "pictures/0.png", "pictures/mine.tif"]


def test_what_has_another_mark_is_not_replaced(layout, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.csv").write_text("theirs")
    with pytest.raises(FileExistsError, match="not part of an earlier export"):
        check_folder(out, layout, force=True)
    with pytest.raises(FileExistsError, match="exists already"):
        check_folder(out, layout)


def test_a_failure_leaves_everything_as_it_was(layout, tmp_path):
    out = tmp_path / "out"
    write(out, layout)
    before = there(out)
    with pytest.raises(FileExistsError):
        write(out, layout)
    with pytest.raises(TypeError):
        write(out, layout, suffix=None, count="many", force=True)  # fails half-way
    assert there(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
