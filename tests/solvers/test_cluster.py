"""Fits on a real cluster of two processes."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest

from napari_latent_faces.cli import main
from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.solvers import cluster, multilevel
from napari_latent_faces.solvers.cluster import chosen_client
from napari_latent_faces.stack import as_stack
from tests.helpers import PATIENCE, consume
from tests.solvers.conftest import faces, lost

distributed = pytest.importorskip("distributed")
SchedulerPlugin = distributed.SchedulerPlugin

# distributed leaves the closing of its sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

N = 300
PARAMS = {"n_components": 4, "max_iter": 12, "tol": 0}


@pytest.fixture(scope="module")
def local_cluster():
    # an idle worker would take a share of its neighbour, as it should
    with (
        dask.config.set({"distributed.scheduler.work-stealing": False}),
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0"
        ) as found,
    ):
        yield found


@pytest.fixture
def client(local_cluster):
    with distributed.Client(local_cluster) as found:
        found.wait_for_workers(2, timeout=PATIENCE)
        yield found


@pytest.fixture(autouse=True)
def small_partitions(small_samples, monkeypatch):
    """Put three blocks in a partition."""
    monkeypatch.setattr(cluster, "_PARTITIONS", 6)


@pytest.fixture(scope="module")
def images():
    return np.round(faces(N, (37, 33)) * 255).astype(np.uint8)


@pytest.fixture
def lazy(images):
    return da.from_array(images, chunks=(16, -1, -1))


def assert_same(one, two, error=1e-5):
    """Compare two models that rounding may tell apart."""
    assert one.error == pytest.approx(two.error, rel=error)
    np.testing.assert_allclose(one.components, two.components, atol=0.02)
    np.testing.assert_allclose(one.weights, two.weights, atol=0.02)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (np.uint8, {}),
        (np.float64, {}),
        (np.uint8, {"alpha_W": 1e-4, "l1_ratio": 0.5}),
        (np.uint8, {"sparseness": 0.6}),
        (np.uint8, {"start": "one component empty"}),
    ],
    ids=str,
)
def test_the_result_is_that_of_a_local_fit(client, images, kind, params):
    images = images.astype(kind)
    if "start" in params:  # it is given the worst face
        H = images[:4] / 255 * np.array([1, 0, 1, 1])[:, None, None]
        params = {"start": (np.full((N, 4), 0.3), H)}
    lazy = da.from_array(images, chunks=(16, -1, -1))
    assert_same(fit(lazy, **PARAMS, **params), fit(images, **PARAMS, **params))


def test_colour_and_levels_of_all_faces_are_fitted_on_a_cluster(client, images, monkeypatch):
    colour = np.stack([images, images[:, ::-1], images[:, :, ::-1]], axis=-1)
    for few, pixels in ((50, colour), (1000, faces(90, (47, 37)))):
        monkeypatch.setattr(multilevel, "_SAMPLE_FACES", few)
        lazy = da.from_array(pixels, chunks=(16, *[-1] * (pixels.ndim - 1)))
        assert_same(fit(lazy, client=client, **PARAMS), fit(pixels, **PARAMS))


def kill_one(client):
    """Kill a worker that holds something; its nanny starts another one."""
    held = {address for places in client.who_has().values() for address in places}
    [pid] = client.run(os.getpid, workers=[min(held)]).values()
    os.kill(pid, signal.SIGKILL)


class Made(SchedulerPlugin):
    """Notes how often each task was done."""

    def __init__(self):
        self.times = Counter()

    def transition(self, key, start, finish, *_, **__):
        if (start, finish) == ("processing", "memory") and str(key).startswith(
            "advance_partition"
        ):
            self.times[key] += 1


@pytest.fixture
def made(local_cluster):
    """Count the tasks that make weights; the scheduler lives in this process."""
    plugin = Made()
    local_cluster.scheduler.add_plugin(plugin, name="made")
    yield plugin.times
    local_cluster.scheduler.remove_plugin("made")


@pytest.fixture
def copied(monkeypatch):
    """Copy weights after every second iteration, and wait for it; the keys copied last."""
    copy, keys = cluster.Cluster.copy, []

    def copy_now(self, *weights):
        copy(self, *weights)
        self._copying.result(timeout=PATIENCE)
        keys[:] = [future.key for some in weights for future in some]

    monkeypatch.setattr(cluster.Cluster, "copy", copy_now)
    monkeypatch.setattr(cluster, "_COPY_EVERY", 2)
    return keys


def on_full_pictures(steps, iterations=1):
    """Go on with a fit until so many iterations on the full pictures are made."""
    while (step := next(steps)).factors.level:
        pass
    for _ in range(iterations - 1):
        step = next(steps)
    return step


def test_a_lost_worker_changes_nothing(client, lazy, made, copied, monkeypatch):
    monkeypatch.setattr(cluster, "HANDOVER", 60)  # each step is an iteration
    expected = fit(lazy, **PARAMS)
    made.clear()
    steps = iter_fit(lazy, **PARAMS)
    on_full_pictures(steps, 5)
    assert len(made) == 5 * len(copied) / 2
    assert set(made.values()) == {1}
    assert all(len(places) == 2 for places in client.who_has(copied).values())
    kill_one(client)
    _, model = consume(steps)
    np.testing.assert_array_equal(model.components, expected.components)
    np.testing.assert_array_equal(model.weights, expected.weights)
    assert model.error == expected.error
    # the copies are of the iteration before the last: it alone was made again, and the
    # partition that was under way
    assert 0 < sum(made.values()) - len(made) <= 2 * len(copied) / 2


def received(client):
    """Count the sizes of everything that workers had from each other."""

    def sizes(dask_worker):
        log = dask_worker.transfer_incoming_log
        return [size for each in log for size in each["keys"].values()]

    return Counter(size for found in client.run(sizes).values() for size in found)


def test_only_small_arrays_cross(client, lazy, monkeypatch):
    fetched = []
    awaited = cluster.Cluster.awaited

    def watched(self, futures):
        found = yield from awaited(self, futures)
        fetched.append(len(pickle.dumps(found)))
        return found

    monkeypatch.setattr(cluster, "_COPY_EVERY", 1000)
    steps = iter_fit(lazy, **PARAMS)
    on_full_pictures(steps)  # reading, and the sample, are over
    before = received(client)
    monkeypatch.setattr(cluster.Cluster, "awaited", watched)
    while len(fetched) < 5:
        next(steps)
    k, p = 4, 37 * 33
    small = 4 * k * p + 16 * k * k + 2000  # a matrix of float32, a Gram matrix, the rest
    assert max(fetched) <= small
    crossed = received(client) - before
    steps.close()
    assert crossed
    large = sum(count for size, count in crossed.items() if size > small)
    assert large <= 6  # in five passes: the scheduler may move each of six partitions once


def test_a_long_iteration_lets_its_caller_look_in(client, lazy, monkeypatch):
    monkeypatch.setattr(cluster, "HANDOVER", 0.001)
    seen, _ = consume(iter_fit(lazy, **PARAMS))
    times = Counter(step.iteration for step in seen if step.factors.level == 0)
    assert max(times.values()) > 1
    assert max(times) == PARAMS["max_iter"]


def test_a_closed_fit_leaves_no_futures_and_the_memory_manager_as_it_was(client, lazy):
    assert client.amm.running()
    steps = iter_fit(lazy, **PARAMS)
    step, later = (on_full_pictures(steps), next(steps))
    assert step.factors.W.shape == (N, 4)
    assert not client.amm.running()
    steps.close()
    assert client.amm.running()
    with pytest.raises(RuntimeError, match="fit is over"):  # a step holds nothing back
        _ = later.factors.W
    for _ in range(10_000):
        if not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            break
    else:
        pytest.fail("The scheduler still has tasks.")


def test_stop_keeps_what_was_reached(client, lazy, images):
    _, model = consume(iter_fit(lazy, **PARAMS), stop_after=3)
    assert model.provenance.stop_reason == "stopped"
    assert model.weights.shape == (N, 4)
    assert model.error == pytest.approx(lost(images, model), rel=1e-6)


def test_bad_pixels_and_nothing_but_black_are_found_by_workers(client, images):
    for bad in (np.nan, -1.0):
        images = images.astype(float)
        images[222, 2, 2] = bad
        with pytest.raises(ValueError, match="'face 222' has"):
            fit(da.from_array(images, chunks=(16, -1, -1)), **PARAMS)
    with pytest.raises(ValueError, match="Every pixel"):
        fit(da.zeros((60, 9, 9), np.uint8, chunks=(16, -1, -1)), **PARAMS)


def test_who_fits_what_where(client, images, lazy):
    def chosen(asked, images, solver="multilevel"):
        return chosen_client(asked, as_stack(images).images, solver)

    assert chosen("auto", lazy) is client
    assert chosen("auto", images) is None
    assert chosen("auto", lazy, "cd") is None
    assert chosen(None, lazy) is None
    assert chosen(client, lazy) is client
    with pytest.raises(ValueError, match="must be a dask array"):
        iter_fit(images, client=client)
    with pytest.raises(ValueError, match="solver='cd'"):
        iter_fit(lazy, client=client, solver="cd")
    with pytest.raises(TypeError, match=r"distributed\.Client"):
        iter_fit(lazy, client="tcp://127.0.0.1:8786")


def test_a_task_does_not_wait_for_others(client):
    def chosen():
        distributed.get_client()  # becomes the active one
        return chosen_client("auto", da.ones((9, 8, 8)), "multilevel")

    assert client.submit(chosen, pure=False).result() is None


SERVE = """
from distributed import LocalCluster
options = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
with LocalCluster(n_workers=1, **options) as served:
    print(served.scheduler_address, flush=True)
    input()
"""


def test_a_scheduler_that_goes_away_is_named(lazy):
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().strip()
        with distributed.Client(address, set_as_default=False, timeout=PATIENCE) as client:
            steps = iter_fit(lazy, client=client, **PARAMS)
            on_full_pictures(steps)
            process.kill()
            with pytest.raises(ConnectionError, match=f"{address} is gone"):
                consume(steps)
    assert dask.config.get("scheduler", None) is None  # nor for other work of the process


@pytest.fixture
def fit_command(faces_folder, tmp_path):
    out = str(tmp_path / "out")
    return ["fit", str(faces_folder), "-o", out, "-k", "3", "--max-iter", "9", "--tol", "0"]


def test_the_command_fits_on_a_cluster(local_cluster, fit_command, tmp_path):
    assert main([*fit_command, "--scheduler", local_cluster.scheduler_address]) == 0
    there = LatentFaces.load(tmp_path / "out" / "model.npz")
    assert main([*fit_command, "--force"]) == 0
    assert_same(there, LatentFaces.load(tmp_path / "out" / "model.npz"))


def test_what_a_command_cannot_do_on_a_cluster_is_told(fit_command, monkeypatch, capsys):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        assert main([*fit_command, "--scheduler", address]) == 1
    assert address in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*fit_command, "--scheduler", address]) == 1
    assert "napari-latent-faces[cluster]" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*fit_command, "--scheduler", address, "--no-lazy"])
    assert "--no-lazy" in capsys.readouterr().err


@pytest.fixture
def own_cluster():
    """Return a cluster that a test may kill: one worker, which its nanny starts again."""
    with (
        distributed.LocalCluster(
            n_workers=1, processes=True, threads_per_worker=1, dashboard_address=":0"
        ) as found,
        distributed.Client(found) as client,
    ):
        client.wait_for_workers(1, timeout=PATIENCE)
        yield client


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fit_goes_on_when_all_workers_were_lost_and_others_have_come(own_cluster, lazy):
    steps = iter_fit(lazy, client=own_cluster, **PARAMS)
    on_full_pictures(steps, 2)
    for worker in own_cluster.cluster.workers.values():
        os.kill(worker.pid, signal.SIGKILL)
    _, model = consume(steps)
    assert_same(model, fit(lazy, client=None, **PARAMS))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fit_gives_up_when_no_worker_comes_back(own_cluster, images, lazy):
    params = PARAMS | {"max_iter": 400}
    steps = iter_fit(lazy, client=own_cluster, **params)
    while (state := next(steps)).iteration < 20:
        pass
    own_cluster.cluster.scale(0)
    with (
        dask.config.set({"latent-faces.wait-for-workers": 0.5}),
        pytest.raises(ConnectionError, match=r"no workers for 0\.5 s: start some") as caught,
    ):
        consume(steps)
    # what was reached is kept, and can be gone on from
    model = caught.value.model
    assert 5 <= model.provenance.n_iter <= state.iteration + 1
    again = model.errors(images, model.weights)
    assert model.error == pytest.approx(np.sqrt(np.mean(again**2)), rel=0.1)
    assert fit(images, start=model, **PARAMS).error <= model.error * 1.001
