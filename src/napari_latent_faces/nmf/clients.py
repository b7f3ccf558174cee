"""Whether a fit runs on a cluster of `dask.distributed`, and on which."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

__all__ = ["chosen_client"]


def chosen_client(client: Any, images: Any, solver: str) -> Any:
    """Return the client to fit with, or None for a fit in this process.

    Parameters
    ----------
    client : distributed.Client, "auto" or None
        As given to `iter_fit`.
    images : array
        The pictures.
    solver : str
        The solver.

    Raises
    ------
    TypeError
        If `client` is something else.
    ValueError
        If a cluster is asked for by name and cannot do it.
    """
    is_possible = hasattr(images, "__dask_graph__") and solver == "multilevel"
    if isinstance(client, str) and client == "auto":
        return _active_client() if is_possible else None
    if client is None:
        return None
    if not hasattr(client, "scheduler_info") or client.asynchronous:
        raise TypeError(
            f"client must be a distributed.Client that is not asynchronous, 'auto' or None, "
            f"got {client!r}."
        )
    if solver != "multilevel":
        raise ValueError(f"solver={solver!r} cannot run on a cluster: only 'multilevel' can.")
    if not is_possible:
        raise ValueError(
            "A cluster reads the pictures itself: they must be a dask array, such as "
            "read_faces(..., lazy=True) returns."
        )
    return client


def _active_client() -> Any:
    """Return the `distributed.Client` in use, or None; import nothing for it."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    with suppress(ValueError):  # in a task: waiting for others would keep them from running
        distributed.get_worker()
        return None
    try:
        client = distributed.default_client()
    except ValueError:  # there is none
        return None
    return None if client.asynchronous else client
