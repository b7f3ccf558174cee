import numpy as np
from numpy.typing import NDArray

def sweep_rows(
    F: NDArray[np.float32],
    A: NDArray[np.float32],
    targets: NDArray[np.float32],
    sweeps: int,
    /,
) -> None: ...
