import numpy as np
from numpy.typing import NDArray

def sweep(
    F: NDArray[np.float32],
    G: NDArray[np.float32],
    C: NDArray[np.float32],
    sweeps: int,
    /,
) -> None: ...
def cross(
    out: NDArray[np.float32],
    H: NDArray[np.float32],
    X: NDArray[np.float32] | NDArray[np.uint8],
    gain: float,
    /,
) -> None: ...
def combine(
    out: NDArray[np.float32],
    W: NDArray[np.float32],
    X: NDArray[np.float32] | NDArray[np.uint8],
    gain: float,
    /,
) -> None: ...
