"""Labels of two classes, as the classifiers take them and as the papers write them: +-1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d


def encode(y: ArrayLike, n_patterns: int, classes: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the two classes, sorted, and the labels as +1 for the second and -1 for the first, (P,) int64.

    classes: the two, where y may hold one alone. Labels that are all -1 or +1 need none: then they are these.

    Raises ValueError, naming the value, unless y has one label per pattern, of two classes.
    """
    values = column_or_1d(y)
    if len(values) != n_patterns:
        raise ValueError(f"labels have shape {values.shape}; expected ({n_patterns},), one label per pattern")
    if missing := np.flatnonzero(values != values).tolist():
        raise ValueError(f"pattern {missing[0]}: label is nan; Input contains NaN")
    check_classification_targets(values)
    known = np.unique(values if classes is None else np.asarray(classes))
    if len(known) == 1 and known.dtype.kind in "if" and known[0] in (-1, 1):
        known = np.array([-1, 1], dtype=known.dtype)
    if len(known) != 2:
        kind = "multiclass" if len(known) > 2 else "one class"
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}: {', '.join(map(str, known))}"
        )
    if unknown := np.flatnonzero(~np.isin(values, known)).tolist():
        raise ValueError(f"pattern {unknown[0]}: label is {values[unknown[0]]}; expected {known[0]} or {known[1]}")
    return known, np.where(values == known[1], 1, -1)
