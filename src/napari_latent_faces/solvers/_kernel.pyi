from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float32]
_Pixels: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]

def sweep(F: _Floats, G: _Floats, C: _Floats, sweeps: int, /) -> None: ...
def cross(out: _Floats, H: _Floats, X: _Pixels, gain: float, /) -> None: ...
def combine(out: _Floats, W: _Floats, X: _Pixels, gain: float, /) -> None: ...
