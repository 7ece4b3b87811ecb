"""The promise on which exact ties rest."""

from __future__ import annotations

import numpy as np
import pytest

from mlsd.funnel._runs import dot_rows


@pytest.mark.parametrize("d", [1, 2, 3, 7, 64, 65, 768, 8191, 8192, 8193, 20_000])
def test_a_product_does_not_depend_on_the_rows_beside_it(d):
    left, right = np.random.default_rng(d).normal(size=(2, 1, d))
    alone = dot_rows(left, right)[0]
    assert alone == pytest.approx(float(left[0] @ right[0]), rel=1e-10, abs=1e-12)
    for n in (2, 3, 37):
        shifted = np.empty(n * d + 1)[1:].reshape(n, d)  # on another alignment
        shifted[:] = right
        assert (dot_rows(np.repeat(left, n, axis=0), shifted) == alone).all()
        assert (dot_rows(np.stack([shifted, shifted]), left[None]) == alone).all()
