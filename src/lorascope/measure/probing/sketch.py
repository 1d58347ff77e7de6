"""Small summaries of large gradients that keep inner products: where the errors of a probe come from.

The mean gradient is added up exactly, but an error needs sums over blocks of batches, and sixteen of those would take
sixteen times the memory of the weights. A sketch Z = R G S keeps inner products in the mean over its random signs,
E<Z, Z'> = <G, G'>, in 128 x 128 numbers. A weight that is not larger in a direction is not shortened in it, so the
sketch of a small weight is the gradient itself and its errors are exact. Legend: k rows, l columns of a sketch.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIDE = 128
"""Most rows and columns of a sketch. An error from K blocks is itself off by 1 / sqrt(2 (K - 1)), 18 % for 16; a sketch
of this size adds at most sqrt(4 / 128) / 2 = 9 % to it, for a gradient of rank one."""


class Sketch:
    """A fixed random linear map of (out, in) matrices to (k, l): signs, then sums of rows and columns (a count sketch).

    Charikar 2002, on both sides of a matrix. The same seed gives the same map on every device and process.
    """

    def __init__(self, shape: tuple[int, int], *, seed: int, device: torch.device, side: int = SIDE) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.shape = (self.size(shape[0], side), self.size(shape[1], side))
        self._signs = [
            (2 * torch.randint(0, 2, (length,), generator=generator) - 1).float().to(device) for length in shape
        ]

    @staticmethod
    def size(length: int, side: int = SIDE) -> int:
        """Rows or columns that a sketch has for `length` of the matrix."""
        return -(-length // -(-length // side))

    def __call__(self, matrix: Tensor) -> Tensor:
        """(out, in) -> (k, l), in the matrix' format."""
        rows, columns = self._signs
        k, width = self.shape
        return _fold(_fold(matrix, rows, k).mT, columns, width).mT


def _fold(matrix: Tensor, signs: Tensor, size: int) -> Tensor:
    """(length, n) -> (size, n): row i goes to row i mod size, with its sign. As it is where nothing meets."""
    if len(matrix) == size:
        return matrix
    folded = torch.zeros(size, matrix.shape[1], device=matrix.device, dtype=matrix.dtype)
    signs = signs.to(matrix.dtype)
    for start in range(0, len(matrix), size):  # in pieces: one product of all signs would be a copy of the matrix
        piece = matrix[start : start + size]
        folded[: len(piece)].addcmul_(piece, signs[start : start + size, None])
    return folded


class BlockGram:
    """Sums of sketches over blocks of batches, and what they tell: inner products between blocks, squares within.

    Batch b belongs to block b mod K, so that blocks are alike in whatever changes along the way.
    """

    def __init__(self, sketch: Sketch, blocks: int, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.sketch = sketch
        self.sums = torch.zeros(blocks, sketch.shape[0] * sketch.shape[1], device=device, dtype=dtype)
        self.squares = torch.zeros(blocks, dtype=torch.float64, device=device)

    def add(self, block: int, matrix: Tensor) -> None:
        """Take a batch's gradient (out, in) into its block."""
        z = self.sketch(matrix).reshape(-1)
        self.sums[block] += z
        self.squares[block] += z.double().square().sum()
