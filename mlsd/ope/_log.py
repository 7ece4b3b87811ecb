"""The log of a policy, checked: rewards, propensities and what the target would have done."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_array, as_floats, as_labels, as_probabilities
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_choice, check_fraction, check_positive, check_same_length
from mlsd.ope.results import SupportWarning, check_mean_weight

__all__ = [
    "Log",
    "finite",
    "has_columns",
    "matrix",
    "pick",
    "positive_or_inf",
    "probability_matrix",
    "propensities",
    "read_log",
    "read_unit",
    "weights",
]

# How far the chances of a row may be from 1 in sum: single precision is good enough.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Log:
    """A checked log; one row a decision."""

    reward: FloatArray
    weight: FloatArray
    unit: IntArray | None
    level: float
    action: IntArray | None
    target: FloatArray
    n_unsupported: int | None


def read_log(
    reward: Any,
    pscore: Any,
    target_prob: Any,
    *,
    action: Any,
    unit: Any,
    unsupported: str,
    level: float,
) -> Log:
    check_choice(unsupported, "unsupported", ("raise", "warn"))
    level = check_fraction(level, "level")
    rewards = finite(reward, "reward")
    n = rewards.size
    if n == 0:
        raise ValueError("reward is empty: there is no log to estimate from")
    two = [has_columns(pscore), has_columns(target_prob)]
    taken = None
    if any(two) and action is None:
        name = "pscore" if two[0] else "target_prob"
        raise ValueError(f"{name} has a column an action, so action is needed: the one logged")
    if action is not None:
        taken = _actions(action)
        check_same_length(reward=rewards, action=taken)
        if not any(two):
            raise ValueError("action is given, but neither pscore nor target_prob has columns")
    logged = _of_action(pscore, "pscore", taken)
    target = _of_action(target_prob, "target_prob", taken)
    check_same_length(reward=rewards, pscore=logged[0], target_prob=target[0])
    propensity = propensities(logged[0])
    n_unsupported = None
    if all(two):
        n_unsupported = _unsupported(logged[1], target[1], unsupported)
    weight = weights(target[0], propensity)
    groups = read_unit(unit, n)
    if not n_unsupported:
        check_mean_weight(weight, groups)
    return Log(rewards, weight, groups, level, taken, target[1], n_unsupported)


def finite(values: Any, name: str) -> FloatArray:
    array = as_floats(values, name)
    _refuse_infinite(array, name)
    return array


def has_columns(values: Any) -> bool:
    try:
        return np.ndim(values) == 2
    except ValueError:  # rows of several lengths: said by whoever reads it as a column
        return False


def matrix(values: Any, name: str) -> FloatArray:
    """Return finite numbers, a row a decision and a column an action."""
    array = as_array(values, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{name} must have a row a decision and a column an action; got shape {array.shape}"
        )
    return finite(array.ravel(), name).reshape(array.shape)


def probability_matrix(values: Any, name: str) -> FloatArray:
    array = matrix(values, name)
    as_probabilities(array.ravel(), name)
    total = array.sum(axis=1)
    wrong = np.flatnonzero(np.abs(total - 1.0) > _ROUNDING)
    if wrong.size:
        raise ValueError(
            f"{name} must sum to 1 in each row; {wrong.size} of {total.size} rows do not, such as "
            f"row {wrong[0]} with {float(total[wrong[0]])!r}"
        )
    return array


def propensities(array: FloatArray) -> FloatArray:
    """Return the propensities of what was done, or say how many are 0: it was done all the same."""
    zero = np.flatnonzero(array == 0.0)
    if zero.size:
        raise ValueError(
            f"pscore is 0 for {zero.size} of {array.size} logged actions, the first at position "
            f"{zero[0]}: what was done cannot have had no chance"
        )
    return array


def weights(target: FloatArray, propensity: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        ratio: FloatArray = target / propensity
    if np.isinf(ratio).any():
        raise ValueError(f"pscore is as small as {propensity.min()!r}: its weight overflows")
    return ratio


def positive_or_inf(value: float, name: str) -> float:
    return np.inf if value == np.inf else check_positive(value, name)


def read_unit(unit: Any, n: int) -> IntArray | None:
    if unit is None:
        return None
    codes, _ = as_labels(unit, "unit")
    if codes.size != n:
        raise ValueError(f"lengths differ: unit has {codes.size}, the data {n}")
    return codes


def _actions(action: Any) -> IntArray:
    array = as_floats(action, "action")
    taken = array.astype(np.int64)
    if (taken != array).any():
        raise ValueError("action must hold the columns of the logged actions, whole from 0")
    return taken


def _of_action(values: Any, name: str, action: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the chance of the logged action, and all that was given."""
    if not has_columns(values):
        one = as_probabilities(values, name)
        return one, one
    rows = probability_matrix(values, name)
    return pick(rows, action, name), rows


def pick(values: FloatArray, action: IntArray | None, name: str) -> FloatArray:
    """Return each row's value in the column of its action."""
    if action is None:
        raise ValueError(f"{name} has a column an action, so action is needed: the one logged")
    check_same_length(**{name: values, "action": action})
    outside = np.flatnonzero((action < 0) | (action >= values.shape[1]))
    if outside.size:
        raise ValueError(
            f"action must be a column of {name}, 0 to {values.shape[1] - 1}; {outside.size} of "
            f"{action.size} are not, such as {action[outside[0]]} at position {outside[0]}"
        )
    picked: FloatArray = values[np.arange(action.size), action]
    return picked


def _unsupported(pscore: FloatArray, target: FloatArray, unsupported: str) -> int:
    if pscore.shape != target.shape:
        raise ValueError(
            f"pscore and target_prob differ in shape: {pscore.shape} and {target.shape}"
        )
    lost = np.where(pscore == 0.0, target, 0.0).sum(axis=1)
    count = int(np.count_nonzero(lost))
    if count:
        message = (
            f"target_prob leaves the support of pscore in {count} of {lost.size} rows, with "
            f"{lost.mean():.4g} of its choices: no log of this policy shows what they earn"
        )
        if unsupported == "raise":
            raise ValueError(message + "; unsupported='warn' goes on without them")
        warnings.warn(message, SupportWarning, stacklevel=4)
    return count


def _refuse_infinite(array: FloatArray, name: str) -> None:
    wrong = np.flatnonzero(np.isinf(array))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite; {wrong.size} of {array.size} values are not, the first at "
            f"position {wrong[0]}"
        )
