from __future__ import annotations

import os
import stat

import pytest

from napari_latent_faces.files import open_regular, replacing


def listing(folder):
    return [path.name for path in folder.iterdir()]


def fail_half_way(target, error):
    with replacing(target) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_no_rubbish(tmp_path, error):
    target = tmp_path / ("n" * 255)  # as long as a name may be
    with replacing(target) as file:
        file.write(b"old")
        assert not target.exists()  # but when the block ends
    with pytest.raises(error):
        fail_half_way(target, error)
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == [target.name]


def test_errors_name_the_file_and_not_a_temporary_one(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: .*m\.npz'$"):
        fail_half_way(tmp_path / "m.npz", OSError(28, "No space left on device"))
    with pytest.raises(OSError, match=r"/elsewhere'$"):
        fail_half_way(tmp_path / "m.npz", OSError(28, "No space left on device", "/elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"/no/m\.npz'$"):
        fail_half_way(tmp_path / "no/m.npz", AssertionError)
    assert not (tmp_path / "no").exists()


def test_a_link_stays_and_its_target_is_written(tmp_path):
    store, link = tmp_path / "store" / "m.npz", tmp_path / "m.npz"
    store.parent.mkdir()
    link.symlink_to(store)
    for content in (b"new", b"newer"):  # at first it leads to nothing
        with replacing(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert store.read_bytes() == content
    assert listing(store.parent) == ["m.npz"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs")
def test_what_is_no_file_is_neither_opened_nor_replaced(tmp_path):
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    for path in (fifo, tmp_path):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            open_regular(path)
    for path in (fifo, link):
        with pytest.raises(OSError, match="fifo is no regular file: choose another name"):
            fail_half_way(path, AssertionError)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_umask_counts_and_stays(tmp_path, monkeypatch, umask):
    before = os.umask(umask)
    try:
        monkeypatch.delattr(os, "umask")  # it is one for all threads, even for a moment
        with replacing(tmp_path / "m.npz"):
            pass
    finally:
        monkeypatch.undo()
        assert os.umask(before) == umask
    assert stat.S_IMODE((tmp_path / "m.npz").stat().st_mode) == 0o666 & ~umask
