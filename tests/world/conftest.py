"""Policies that many tests serve."""

from __future__ import annotations

import numpy as np
import pytest


def flat_policy(requests, candidates):
    """Score all alike: the candidates' order is random, and so are the slates."""
    return np.zeros(len(candidates))


def cheap_policy(requests, candidates):
    """Show the cheapest first: always the same items high up."""
    return -candidates["price"]


@pytest.fixture
def flat():
    return flat_policy


@pytest.fixture
def cheap():
    return cheap_policy
