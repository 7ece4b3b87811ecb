"""What a reader of a slate looks at and clicks: positions, a cascade, or all of it.

Arrays only, a row a request and a column a place, the first place first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlsd._types import BoolArray, FloatArray
from mlsd._validation import check_choice, check_positive_int

__all__ = [
    "EXAMINATIONS",
    "ChoiceModel",
    "choice_model",
    "click_probability",
    "examination_probability",
    "examined_and_clicked",
]

EXAMINATIONS = ("position", "cascade", "none")


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceModel:
    """How the K places of a slate are examined, and what trust adds to what is seen there.

    Attributes
    ----------
    kind : {"position", "cascade", "none"}
    gamma : array of shape (K,)
        Chance that a place is examined: γ_k of "position", 1 elsewhere.
    trust_plus : array of shape (K,)
        ε⁺_k: chance of a click on what was examined and attracts.
    trust_minus : array of shape (K,)
        ε⁻_k: chance of a click on what was examined and does not attract.
    stop : float
        Of "cascade": the chance that a reader stops after a click.
    proceed : float
        Of "cascade": the chance that a reader goes on past what was not clicked.
    """

    kind: Literal["position", "cascade", "none"]
    gamma: FloatArray
    trust_plus: FloatArray
    trust_minus: FloatArray
    stop: float
    proceed: float


def choice_model(
    kind: str,
    slate: int,
    *,
    eta: float = 1.0,
    trust_plus: float = 1.0,
    trust_minus: float = 0.0,
    stop: float = 0.5,
    proceed: float = 1.0,
) -> ChoiceModel:
    """Return the model of `slate` places.

    Parameters
    ----------
    kind : {"position", "cascade", "none"}
        "position": place k is examined with probability ``γ_k = k^-eta``, whatever is shown.
        "cascade": from the top down; after a click the reader stops with probability `stop`,
        past what was not clicked the reader goes on with probability `proceed`. "none": every
        place is examined and there is no trust bias, so that the click-through rate is the
        attractiveness.
    slate : int
        K, the number of places.
    eta : float, default 1.0
        Of "position": how fast examination falls; 0 or more.
    trust_plus : float, default 1.0
        ε⁺, the same at all places.
    trust_minus : float, default 0.0
        ε⁻ at the first place; ``trust_minus / k`` at place k. At most `trust_plus`.
    stop, proceed : float
        Of "cascade".

    Returns
    -------
    ChoiceModel

    Raises
    ------
    ValueError
        If `kind` is unknown, `eta` is negative or not finite, a probability lies outside 0 to 1,
        or `trust_minus` is above `trust_plus`.

    References
    ----------
    Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", WSDM
    2017 (positions); Guo, Liu and Wang, "Efficient Multiple-Click Models in Web Search", WSDM
    2009 (the cascade that goes on after a click); Agarwal et al., "Addressing Trust Bias for
    Unbiased Learning-to-Rank", WWW 2019.

    Examples
    --------
    >>> choice_model("position", 4, eta=1.0).gamma.round(2)
    array([1.  , 0.5 , 0.33, 0.25])
    """
    check_choice(kind, "examination", EXAMINATIONS)
    place = np.arange(1, check_positive_int(slate, "slate") + 1, dtype=np.float64)
    if not 0 <= eta < np.inf:
        raise ValueError(f"eta must be finite and at least 0; got {eta!r}")
    chances = {
        "trust_plus": trust_plus,
        "trust_minus": trust_minus,
        "cascade_stop": stop,
        "cascade_continue": proceed,
    }
    for name, value in chances.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1; got {value!r}")
    if trust_minus > trust_plus:
        raise ValueError(
            f"trust_minus must be at most trust_plus, which is {trust_plus!r}; got {trust_minus!r}"
        )
    ones = np.ones(place.size)
    gamma: FloatArray = np.power(place, -eta) if kind == "position" else ones
    trusted = kind != "none"
    return ChoiceModel(
        kind=kind,  # type: ignore[arg-type]
        gamma=gamma,
        trust_plus=np.full(place.size, trust_plus) if trusted else ones,
        trust_minus=trust_minus / place if trusted else np.zeros(place.size),
        stop=float(stop),
        proceed=float(proceed),
    )


def examined_and_clicked(
    a: FloatArray, u_exam: FloatArray, u_click: FloatArray, model: ChoiceModel
) -> tuple[BoolArray, BoolArray]:
    """Return which places are examined and which are clicked.

    A click needs examination, and then has probability ``ε⁺_k a + ε⁻_k (1 − a)``.

    Parameters
    ----------
    a : array of shape (R, K)
        Attractiveness, 0 to 1, of the document at each place.
    u_exam, u_click : arrays of shape (R, K)
        Uniform numbers. In the cascade that of a place decides whether it is reached from the
        one above.
    model : ChoiceModel

    Returns
    -------
    examined, click : boolean arrays of shape (R, K)

    Examples
    --------
    >>> model = choice_model("cascade", 3, stop=1.0)
    >>> u = np.full((1, 3), 0.5)
    >>> examined_and_clicked(np.array([[0.1, 0.9, 0.9]]), u, u, model)
    (array([[ True,  True, False]]), array([[False,  True, False]]))
    """
    would_click: BoolArray = u_click < _seen_click(a, model)
    examined: BoolArray
    if model.kind == "none":
        return np.ones(a.shape, dtype=np.bool_), would_click
    if model.kind == "position":
        examined = u_exam < model.gamma
    else:
        examined = np.ones(a.shape, dtype=np.bool_)
        examined[:, 1:] = u_exam[:, 1:] < np.where(
            would_click[:, :-1], 1 - model.stop, model.proceed
        )
        np.logical_and.accumulate(examined, axis=1, out=examined)
    return examined, would_click & examined


def examination_probability(a: FloatArray, model: ChoiceModel) -> FloatArray:
    """Return the exact chance that each place is examined, an array of shape (R, K).

    In the cascade it depends on what stands above: the chance to go on past a document is
    ``c (1 − stop) + (1 − c) proceed``, with c its chance of a click once seen.

    Examples
    --------
    >>> model = choice_model("cascade", 3, stop=1.0)
    >>> examination_probability(np.array([[0.5, 0.5, 0.5]]), model)
    array([[1.  , 0.5 , 0.25]])
    """
    if model.kind != "cascade":
        return np.broadcast_to(model.gamma, a.shape)
    seen = _seen_click(a, model)
    reach = np.ones(a.shape)
    reach[:, 1:] = seen[:, :-1] * (1 - model.stop) + (1 - seen[:, :-1]) * model.proceed
    return np.cumprod(reach, axis=1, out=reach)


def click_probability(a: FloatArray, model: ChoiceModel) -> FloatArray:
    """Return the exact chance of a click at each place, an array of shape (R, K).

    Examples
    --------
    >>> click_probability(np.array([[0.5, 0.5]]), choice_model("position", 2, eta=1.0))
    array([[0.5 , 0.25]])
    """
    return examination_probability(a, model) * _seen_click(a, model)


def _seen_click(a: FloatArray, model: ChoiceModel) -> FloatArray:
    """Return the chance of a click on what is examined."""
    if model.kind == "none":
        return a
    return model.trust_minus + (model.trust_plus - model.trust_minus) * a
