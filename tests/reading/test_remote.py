from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
import traceback
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from napari_latent_faces.cli import main
from napari_latent_faces.fitting import fit
from napari_latent_faces.reading import ArchiveError, NoFacesError, looks_like_faces, read_faces
from napari_latent_faces.reading.sources import is_url, masked
from napari_latent_faces.viewer.layers import faces_layer
from tests.helpers import PATIENCE
from tests.pictures import face, make, packed, people, tarred, zipped

KINDS = ["zip", "tar", "tar.gz", "tar.xz"]


class Ranged(SimpleHTTPRequestHandler):
    """A server of one folder that sends parts of files, or all of them if told so."""

    knows_ranges = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        if self.path.startswith("/refused"):
            self.send_error(403)
        elif wanted is None or not self.knows_ranges or self.path.endswith("/"):
            super().do_GET()
        else:
            content = Path(self.translate_path(self.path)).read_bytes()
            first, last = wanted.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
            self.server.sent.append(len(part))
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)


@pytest.fixture
def web(tmp_path):
    """Serve a folder on this machine; its address, and the bytes of each range sent."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("requests")

    def handler(*args):
        return Ranged(*args, directory=str(tmp_path))

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.sent = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", sent=server.sent)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def memory():
    """Return an empty file system in memory."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def same(stack, expected):
    assert stack.names == expected.names
    assert stack.subjects == expected.subjects
    assert stack.report == expected.report
    np.testing.assert_array_equal(np.asarray(stack), np.asarray(expected))


def everything(root):
    """Write what a listing has to judge."""
    people(root, 3, 2)
    extra = {"README.txt": b"x", "0.pgm": b"", "s1/3.pgm.bad": b"P5", "s1/broken.png": b"\x89P"}
    return make(root, extra | {".hidden/a/1.pgm": face(), "unknown.glasses": b"GIF"})


def test_urls_are_told_from_paths():
    urls = "s3://b/f HTTPS://h/f.zip memory://f zip://::https://h/f.zip simplecache::s3://b/f"
    assert all(map(is_url, urls.split()))
    assert not any(map(is_url, ["C:\\faces", "C://faces", "faces", "/faces/a::b", "a b://c"]))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_folder_reads_as_on_disk(tmp_path, memory, lazy):
    root = everything(tmp_path / "faces")
    memory.put(f"{root}/", "/faces", recursive=True)
    expected = read_faces(root, lazy=lazy)
    for url in ("memory://faces", "memory://faces/", root.as_uri()):
        stack = read_faces(url, lazy=lazy)
        same(stack, expected)
        assert stack.source == url


@pytest.mark.parametrize("kind", KINDS)
def test_archives_read_as_on_disk(tmp_path, memory, kind):
    path = tmp_path / f"faces.{kind}"
    packed(everything(tmp_path / "files"), path)
    memory.pipe_file("/some/faces." + kind, path.read_bytes())
    for lazy in (False, True):
        same(read_faces(f"memory://some/faces.{kind}", lazy=lazy), read_faces(path, lazy=lazy))
        same(read_faces(path.as_uri(), lazy=lazy), read_faces(path, lazy=lazy))


def test_chains_come_for_free(tmp_path, memory):
    path = zipped(people(tmp_path / "files"), tmp_path / "faces.zip")
    memory.pipe_file("/faces.zip", path.read_bytes())
    same(read_faces("zip://::memory://faces.zip"), read_faces(path))


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("kind", ["files", *KINDS])
def test_a_web_server(tmp_path, web, monkeypatch, kind, knows_ranges):
    monkeypatch.setattr(Ranged, "knows_ranges", knows_ranges)
    path = people(tmp_path / "files", 3, 2)
    if kind != "files":
        path = packed(path, tmp_path / f"faces.{kind}")
    same(read_faces(f"{web.url}/{path.name}"), read_faces(path))
    same(read_faces(f"{web.url}/{path.name}", lazy=True), read_faces(path, lazy=True))


def test_names_on_a_web_server_are_spelled_out(tmp_path, web):
    path = make(tmp_path / "some faces", {"ä b.pgm": face(), "1%20.pgm": face()})
    same(read_faces(f"{web.url}/some%20faces/"), read_faces(path))


def test_only_a_part_of_a_zip_is_sent(tmp_path, web):
    files = people(tmp_path / "files", 2, 2)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("movie.avi", bytes(4_000_000))
        for file in sorted(files.rglob("*.pgm")):
            archive.write(file, file.relative_to(files))
    assert len(read_faces(f"{web.url}/faces.zip")) == 4
    assert sum(web.sent) < 2_000_000


@pytest.mark.parametrize("packed", [False, True])
def test_another_process_reads_a_lazy_stack(tmp_path, web, packed):
    path = people(tmp_path / "files", 3, 2)
    if packed:
        path = zipped(path, tmp_path / "faces.zip")
    stack = read_faces(f"{web.url}/{path.name}", lazy=True)
    code = (
        "import pickle, sys; images = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(images.compute(scheduler='sync').tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(stack.images),
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == np.asarray(read_faces(path)).tobytes()


class TestErrors:
    @pytest.mark.parametrize(
        ("url", "kind", "message"),
        [
            ("memory://nothing", FileNotFoundError, "archive {url}: check the address"),
            ("file:///no/such/folder", FileNotFoundError, "archive {url}: check the address"),
            ("{web}/faces.zip", FileNotFoundError, "{url}: check"),
            ("{web}/refused.zip", PermissionError, r"refused.zip may not be read \(403"),
            ("http://127.0.0.1:1/a.zip", ConnectionError, "127.0.0.1:1/a.zip cannot be read"),
            ("nosuch://faces", ValueError, "{url} cannot be read: no such protocol"),
            ("memory://bad.zip", ArchiveError, "{url} is damaged"),
            ("memory://text", NoFacesError, "{url} is neither"),
            ("memory://folder", NoFacesError, "no picture that can be read in {url}"),
        ],
    )
    def test_what_cannot_be_read(self, web, memory, monkeypatch, url, kind, message):
        monkeypatch.setattr(Ranged, "do_HEAD", Ranged.do_GET)
        memory.pipe_file("/bad.zip", b"PK\3\4 and then nothing")
        memory.pipe_file("/text", b"x")
        memory.pipe_file("/folder/a.txt", b"x")
        url = url.format(web=web.url)
        with pytest.raises(kind, match=message.format(url=url)):
            read_faces(url)

    def test_a_missing_package(self, monkeypatch):
        def missing(url):
            raise ImportError("Install s3fs to access S3")

        monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
        with pytest.raises(ModuleNotFoundError, match=r"s3://b/f .*Install s3fs.*\[remote\]"):
            read_faces("s3://b/f")

    def test_a_connection_that_breaks_is_no_damage(self, tmp_path, memory, monkeypatch):
        path = tarred(people(tmp_path / "files"), tmp_path / "faces.tar")
        memory.pipe_file("/faces.tar", path.read_bytes())

        class Breaking(io.BytesIO):
            def read(self, size=-1):
                if self.tell() > 512:
                    raise OSError("reset by peer")
                return super().read(size)

        content = path.read_bytes()
        monkeypatch.setattr(type(memory), "_open", lambda *_, **__: Breaking(content))
        with pytest.raises(ConnectionError, match=r"memory://faces.tar .* \(reset by peer\)"):
            read_faces("memory://faces.tar")


SECRET = "pa55"


def test_secrets_are_masked():
    for text, expected in {
        "https://me:pa55@host/a.zip": "https://***@host/a.zip",
        "https://host/a.zip?X-Sig=pa55&x=1": "https://host/a.zip?***",
        "https://host/a.zip?pa55#pa55": "https://host/a.zip?***#***",
        "s3://bucket/faces": "s3://bucket/faces",
        "zip::https://pa55@h/a": "zip::https://***@h/a",
        "403 for url='https://h/a?k=pa55' (no)": "403 for url='https://h/a?***' (no)",
        "a@b and what?": "a@b and what?",
        "C:\\a?b": "C:\\a?b",
    }.items():
        assert masked(text) == expected


class TestSecrets:
    """None is in a message, a report, a layer, a model or a table."""

    @pytest.mark.parametrize("name", ["gone.zip", "refused.zip", "text.zip", "a.png"])
    def test_in_errors(self, web, tmp_path, name):
        make(tmp_path, {"text.zip": b"no zip at all" * 99, "a.png": face()})
        url = f"{web.url.replace('http://', f'http://me:{SECRET}@')}/{name}?sig={SECRET}"
        with pytest.raises((OSError, ValueError)) as error:
            read_faces(url)
        shown = "".join(traceback.format_exception(error.value))
        assert SECRET not in str(error.value)
        assert SECRET not in shown.splitlines()[-1]

    def test_in_results(self, web, tmp_path):
        zipped(people(tmp_path / "files", 2, 2), tmp_path / "a.zip")
        stack = read_faces(f"{web.url}/a.zip?sig={SECRET}")
        assert len(stack) == 4
        assert stack.source == f"{web.url}/a.zip?***"
        assert SECRET not in repr(stack) + stack.report.details()
        _, attributes, _ = faces_layer(stack, "faces")
        assert SECRET not in repr(attributes["metadata"])
        model = fit(stack, n_components=2, max_iter=2, tol=0)
        model.save(tmp_path / "m.npz")
        assert SECRET.encode() not in (tmp_path / "m.npz").read_bytes()


def test_napari_is_told_no_at_once():
    assert not looks_like_faces("https://host.invalid/faces.zip")


def test_the_command_line_takes_urls(tmp_path, memory, stack, capsys):
    make(tmp_path / "faces", dict(zip(stack.names, stack.images, strict=True)))
    memory.put(f"{tmp_path}/faces/", "/faces", recursive=True)
    assert main(["info", "memory://faces"]) == 0
    assert "source: memory://faces\nfaces: 30 of 6 subjects" in capsys.readouterr().out
    quick = ["-k", "2", "--max-iter", "3", "--tol", "0", "-o", str(tmp_path / "out")]
    assert main(["fit", "memory://faces", *quick]) == 0
    assert (tmp_path / "out" / "model.npz").exists()
    capsys.readouterr()
    assert main(["info", "nosuch://faces"]) == 1
    assert "error: nosuch://faces cannot be read" in capsys.readouterr().err
