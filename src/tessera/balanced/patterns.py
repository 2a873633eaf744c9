"""Constraint matrices of the margin problems and the factorisation their Newton steps need.

A batch holds B problems with A of shape (P, N): rows y_mu g_i x_mu,i and, if the threshold is a variable, a last
column -y_mu. `factor(D, E)` prepares the solution of

    D dw - A' dl = f_w,    A dw + E dl = f_s            D (B, N), E (B, P) positive

by a Cholesky factor of the Schur complement on the smaller side. Both classes answer to the same three methods.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotrs

Solver = Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]
_RIDGES = (0.0, 1e-14, 1e-12, 1e-10)  # tried in turn while rounding spoils the Cholesky factor


class DensePatterns:
    """One problem (B = 1) with its own matrix A (P, N), float64, C order."""

    def __init__(self, matrix: NDArray) -> None:
        self.matrix = np.ascontiguousarray(matrix, float)
        self.count, self.size = self.matrix.shape
        self._scaled = np.empty_like(self.matrix)

    def forward(self, w: NDArray) -> NDArray:
        """A w: (1, N) -> (1, P)."""
        return (self.matrix @ w[0])[None]

    def backward(self, multipliers: NDArray) -> NDArray:
        """A' l: (1, P) -> (1, N)."""
        return (multipliers[0] @ self.matrix)[None]

    def _schur(self, d: NDArray, e: NDArray, rows: bool, ridge: float) -> NDArray:
        """One triangle of A D^-1 A' + E if rows, else of A' E^-1 A + D, the diagonal raised by the relative ridge."""
        # dsyrk does half the flops of a general product. The transpose is a Fortran-ordered view.
        if rows:
            np.multiply(self.matrix, 1 / np.sqrt(d), out=self._scaled)
        else:
            np.multiply(self.matrix, 1 / np.sqrt(e)[:, None], out=self._scaled)
        schur = dsyrk(1.0, self._scaled.T, trans=int(rows))
        diagonal = schur.flat[:: len(schur) + 1] + (e if rows else d)
        schur.flat[:: len(schur) + 1] = diagonal * (1 + ridge)
        return schur

    def factor(self, d: NDArray, e: NDArray) -> Solver:
        """Factor for the step equations; raises LinAlgError if rounding has spoilt the Schur complement."""
        a, d, e = self.matrix, d[0], e[0]
        rows = self.count <= self.size
        for ridge in _RIDGES:
            chol, info = dpotrf(self._schur(d, e, rows, ridge), lower=0, clean=0, overwrite_a=1)
            if info == 0:
                break
        else:
            raise LinAlgError(f"Schur complement: pivot {info} of the Cholesky factor is not positive")

        def solve(f_w: NDArray, f_s: NDArray) -> tuple[NDArray, NDArray]:
            """Right-hand sides (1, N, K) and (1, P, K) -> (dw, dl) of the same shapes."""
            fw, fs = f_w[0], f_s[0]
            if rows:
                dl = dpotrs(chol, fs - a @ (fw / d[:, None]), lower=0)[0]
                dw = (fw + a.T @ dl) / d[:, None]
            else:
                dw = dpotrs(chol, fw + a.T @ (fs / e[:, None]), lower=0)[0]
                dl = (fs - a @ dw) / e[:, None]
            return dw[None], dl[None]

        return solve


class NetworkPatterns:
    """The B = N problems of an attractor network: neuron n learns y = 2 x_n - 1 from the other neurons' activity.

    All share X (P, N); neuron n's own column is taken as zero. The Cholesky factors are batched over neurons.
    """

    def __init__(self, x: NDArray, signs: NDArray, neurons: NDArray, chunk: int = 64) -> None:
        self.x, self.signs, self.neurons, self.chunk = np.asarray(x, float), np.asarray(signs, float), neurons, chunk
        self.count, self.size = self.x.shape
        self.labels = (2 * self.x - 1).T[neurons]
        self._gated = self.x * self.signs
        self._rows = np.arange(len(neurons))

    def _without_own(self, w: NDArray) -> NDArray:
        w = w.copy()
        w[self._rows, self.neurons] = 0
        return w

    def forward(self, w: NDArray) -> NDArray:
        """A w: (B, N) -> (B, P)."""
        return self.labels * (self._without_own(w) @ self._gated.T)

    def backward(self, multipliers: NDArray) -> NDArray:
        """A' l: (B, P) -> (B, N)."""
        return self._without_own((multipliers * self.labels) @ self._gated)

    def factor(self, d: NDArray, e: NDArray) -> Solver:
        """Batched factor; a problem whose Schur complement rounding has spoilt gets steps of NaN."""
        import torch

        weight = self._without_own(1 / d)
        schur = np.empty((len(d), self.count, self.count))
        for i in range(0, len(d), self.chunk):
            part = slice(i, i + self.chunk)
            np.matmul(self._gated * weight[part, None, :], self._gated.T, out=schur[part])
        schur *= self.labels[:, :, None] * self.labels[:, None, :]
        diagonal = np.arange(self.count)
        schur[:, diagonal, diagonal] += e
        chol, info = torch.linalg.cholesky_ex(torch.from_numpy(schur))
        chol[info > 0] = torch.nan

        def forward(w: NDArray) -> NDArray:
            return self.labels[:, :, None] * np.matmul(self._gated, w)

        def solve(f_w: NDArray, f_s: NDArray) -> tuple[NDArray, NDArray]:
            """Right-hand sides (B, N, K) and (B, P, K) -> (dw, dl) of the same shapes."""
            rhs = f_s - forward(f_w * weight[:, :, None])
            dl = torch.cholesky_solve(torch.from_numpy(rhs), chol).numpy()
            back = np.matmul(self._gated.T, self.labels[:, :, None] * dl)
            back[self._rows, self.neurons] = 0
            return (f_w + back) / d[:, :, None], dl

        return solve
