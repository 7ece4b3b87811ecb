"""JSON of a profile: equal after the journey, small, and refused when it is not what it says."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlsd.drift import _profile_json
from mlsd.drift.profile import Profile


def frame(rng, n):
    x = rng.lognormal(0, 1, n)
    x[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "z": rng.normal(1e6, 1, n),
            "k": rng.poisson(3, n),
            "level": rng.choice(["a", "ü \N{SNOWMAN}", 'quo"te\n'], n),
            "time": pd.Timestamp(0) + pd.to_timedelta(rng.integers(10**6, size=n), unit="s"),
            "nothing": np.nan,
            "y": rng.random(n) < 0.1,
        }
    )


REFERENCE = Profile.from_frame(frame(np.random.default_rng(0), 800), y="y", prediction="z")
TEXT = REFERENCE.to_json()


def test_there_and_back():
    assert Profile.from_json(TEXT) == REFERENCE
    assert Profile.from_json(TEXT.encode()) == REFERENCE
    assert Profile.from_json(TEXT).to_json() == TEXT
    assert json.loads(TEXT) == REFERENCE.to_dict()
    odd = frame(np.random.default_rng(1), 90).drop(columns="x").assign(new=1, k="text", level="q")
    odd["z"] = [np.inf, -np.inf, 1e300] * 30
    live = Profile.from_frame(odd, like=REFERENCE)
    assert Profile.from_json(live.to_json()) == live
    # What was read counts as what was written.
    back = Profile.from_json(TEXT)
    assert Profile.from_frame(odd, like=back) == live
    assert back + live == REFERENCE + live


@given(
    hnp.arrays(
        st.sampled_from([np.int64, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    )
)
def test_arrays_there_and_back(array):
    entry = json.loads(json.dumps(_profile_json._pack(array)))
    back = _profile_json._unpack(entry, "a")
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes() or np.isnan(array).any()
    np.testing.assert_array_equal(back, array)


def test_a_column_takes_at_most_five_thousand_bytes():
    rng, n = np.random.default_rng(2), 20_000
    numeric = pd.DataFrame(rng.lognormal(0, 1, (n, 50)) * rng.lognormal(0, 3, 50))
    numeric = numeric.mask(rng.random(numeric.shape) < 0.05)
    levels = np.array([f"level-{i:03}" for i in range(200)])
    mixed = numeric.iloc[:, :25].assign(
        **{f"s{i}": levels[np.minimum(rng.geometric(0.02, n) - 1, 199)] for i in range(25)}
    )
    for table in (numeric, mixed):
        profile = Profile.from_frame(table, y=rng.random(n) < 0.5)
        assert profile.pairs_skipped == 0
        assert profile["0"].counts.size == 512
        assert len(profile.to_json()) / 50 <= 5000


def changed(**changes):
    """Return the payload with fields changed and the checksum made to fit."""
    payload = json.loads(TEXT)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = payload["profile"]
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    payload["crc32"] = _profile_json._checksum(payload["profile"])
    return json.dumps(payload)


def packed(values):
    return _profile_json._pack(np.asarray(values))


BOMB = {
    "dtype": "<i8",
    "shape": [2],
    "data": base64.b85encode(zlib.compress(bytes(10**7))).decode(),
}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "text is no JSON of a profile"),
        (TEXT[:-1], "text is no JSON of a profile"),
        (TEXT[:500], "text is no JSON of a profile"),
        ("[" * 100_000, "text is no JSON of a profile"),
        ('{"kind": NaN}', "NaN is no number of JSON"),
        ("[]", "its kind is 'list'"),
        ('{"kind": "mean"}', "its kind is 'mean', not 'mlsd.drift.profile'"),
        (
            TEXT.replace('"version":1', '"version":2'),
            "version 2; this library reads up to version 1",
        ),
        (TEXT.replace('"version":1', '"version":0'), "version must be a positive integer; got 0"),
        (TEXT.replace('"version":1', '"version":"1"'), "version must be a positive integer"),
        (TEXT.replace('"n_rows":800', '"n_rows":801'), "its checksum does not match"),
        (changed(n_rows=700), "column 'x' contradicts itself"),
        (changed(n_rows=-1), "n_rows must be a count; got -1"),
        (changed(columns__0__n=5), "column 'x' contradicts itself"),
        (changed(columns__0__n_null=1.5), "n_null must be a count; got 1.5"),
        (changed(columns__0__centre="x"), "centre must be a number; got 'x'"),
        (changed(columns__0__discrete=3), "discrete must be of type bool; got 3"),
        (changed(columns__0__surprise=3), "corrupt: KeyError 'surprise'"),
        (changed(columns__0__edges=packed([2.0, 1.0])), "fingerprint does not match"),
        (changed(columns__0__ref_minimum=-5.0), "fingerprint does not match"),
        (changed(columns__0__counts=packed([1, 2])), "column 'x' contradicts itself"),
        (changed(columns__0__counts=BOMB), "counts does not hold 2 numbers"),
        (changed(columns__0__counts={"dtype": "O", "shape": [1], "data": ""}), "has type 'O'"),
        (changed(columns__0__counts__shape=[10**9]), "counts has the shape"),
        (changed(columns__0__counts__data="~~~"), "counts: "),
        (changed(columns__0__target_n=packed([1, 2])), "column 'x' contradicts itself"),
        (changed(columns__0__kind="datetime"), "fingerprint does not match"),
        (changed(columns=None), "corrupt: KeyError 'columns'"),
        (changed(pairs__p11=packed([1, 2])), "p11 has the shape"),
        (changed(pairs__centre=packed([1.0])), "fingerprint|centres"),
        (changed(retyped={"x": ["a"]}), "not enough values"),
        (changed(fingerprint="0" * 16), "fingerprint does not match"),
    ],
)
def test_what_is_no_profile_is_refused(text, match):
    with pytest.raises(ValueError, match=match):
        Profile.from_json(text)


def test_only_text_is_read():
    with pytest.raises(TypeError, match="text must be a string; got dict"):
        Profile.from_json(REFERENCE.to_dict())


@given(st.integers(0, len(TEXT) - 1), st.sampled_from('0aZ{,"'))
@settings(max_examples=150)
def test_a_changed_letter_is_noticed(at, letter):
    broken = TEXT[:at] + letter + TEXT[at + 1 :]
    if broken == TEXT:
        return
    with pytest.raises(ValueError):  # noqa: PT011 - which of many complaints depends on the place
        Profile.from_json(broken)


def test_older_versions_are_brought_up_to_date(monkeypatch):
    def upgrade(body):
        return body | {"order": [name.lower() for name in body["order"]]}

    monkeypatch.setattr(_profile_json, "VERSION", 2)
    monkeypatch.setitem(_profile_json.UPGRADES, 1, upgrade)
    shouted = changed(order=[name.upper() for name in REFERENCE.order])
    assert Profile.from_json(shouted) == REFERENCE


# A profile as version 1 wrote it; it has to stay readable.
FIRST = (
    r'{"crc32":155916973,"kind":"mlsd.drift.profile","profile":{"columns":[{"centre":2.0,"'
    r'clip_high":2.5,"clip_low":1.0,"clipped_2":393216,"counts":{"data":"c-muRVn6`^06qW&",'
    r'"dtype":"<i8","shape":[2]},"discrete":true,"dtype":"float64","edges":{"data":"c-muPf'
    r'B*mh7ytt","dtype":"steps","places":0,"shape":[1]},"family":"numeric","kind":"numeric'
    r'","maximum":2.5,"minimum":1.0,"n":4,"n_null":1,"name":"a","ref_maximum":2.5,"ref_min'
    r'imum":1.0,"s2":1.5,"step":0.001953125,"target_groups":{"data":"c-muNWMaSu003J61O","d'
    r'type":"<i8","shape":[3]},"target_n":{"data":"c-muRVr0Mu0049V1p","dtype":"<i8","shape'
    r'":[3]},"target_sum":{"data":"c-muN`p3ZV9}@upThs^o","dtype":"steps","places":0,"shape'
    r'":[3]},"target_sum2":{"data":"c-muN`p3ZV9}@upThs^o","dtype":"steps","places":0,"shap'
    r'e":[3]}},{"counts":{"data":"c-muTWIzD`08an~","dtype":"<i8","shape":[2]},"dtype":"str'
    r'","family":"string","kind":"categorical","levels":["x","y"],"n":4,"n_singletons":1,"'
    r'name":"b","target_groups":{"data":"c-muNWMXE(0{{Th00#","dtype":"<i8","shape":[4]},"t'
    r'arget_n":{"data":"c-muTWWWmm0G|K_","dtype":"<i8","shape":[4]},"target_sum":{"data":"'
    r'c-muR_|L$A2Lk|qzz6y","dtype":"steps","places":0,"shape":[4]},"target_sum2":{"data":"'
    r'c-muR_|L$A2Lk|qzz6y","dtype":"steps","places":0,"shape":[4]}},{"centre":3.5,"clip_hi'
    r'gh":7.0,"clip_low":1.0,"clipped_1":-1,"clipped_2":578017,"counts":{"data":"c-muPWMse'
    r'w004CW1p","dtype":"<i8","shape":[3]},"discrete":true,"dtype":"int64","edges":{"data"'
    r':"c-muOVn6`^0B!&W","dtype":"steps","places":0,"shape":[2]},"family":"numeric","kind"'
    r':"numeric","maximum":7.0,"minimum":1.0,"n":4,"name":"c","ref_maximum":7.0,"ref_minim'
    r'um":1.0,"s2":27.0,"step":0.0068359375,"target_groups":{"data":"c-muNWMXE(0{{Th00#","'
    r'dtype":"<i8","shape":[4]},"target_n":{"data":"c-muPWMsex005l;1p","dtype":"<i8","shap'
    r'e":[4]},"target_sum":{"data":"c-muR_|L$A2Lk|qzz6y","dtype":"steps","places":0,"shape'
    r'":[4]},"target_sum2":{"data":"c-muR_|L$A2Lk|qzz6y","dtype":"steps","places":0,"shape'
    r'":[4]}}],"fingerprint":"4d5edb84d4f1fc91","missing":[],"n_rows":4,"new":[],"order":['
    r'"a","b","c"],"outcomes":{"target":{"centre":0.5,"clip_high":1.0,"clipped_2":1048576,'
    r'"counts":{"data":"c-muPVn6`^08Rh}","dtype":"<i8","shape":[2]},"discrete":true,"dtype'
    r'":"int64","edges":{"data":"c-muRfB*mh5C8%","dtype":"steps","places":0,"shape":[1]},"'
    r'family":"numeric","kind":"numeric","maximum":1.0,"minimum":0.0,"n":4,"name":"target"'
    r',"ref_maximum":1.0,"ref_minimum":0.0,"s2":1.0,"step":0.0009765625}},"pairs":{"both_n'
    r'ull":{"data":"c-muRzzzTaFaQD","dtype":"<i8","shape":[3]},"centre":{"data":"c-muOW<UV'
    r'|0DS-m","dtype":"steps","places":1,"shape":[2]},"first":{"data":"c-mw5&wv5}KhOvH","d'
    r'type":"<i8","shape":[2]},"lost_1":{"data":"c-muN00AZjTmS$7Q~(1","dtype":"<i8","shape'
    r'":[2,2]},"lost_2":{"data":"c-muNfB_Z;YybcNcmM?","dtype":"<i8","shape":[2,2]},"lost_3'
    r'":{"data":"c-muNKn5HP=l}o!umA}","dtype":"<i8","shape":[2,2]},"lost_4":{"data":"c-muN'
    r'AO;BFlmP$%-~bT","dtype":"<i8","shape":[2,2,2]},"n_rows":4,"names":["a","c"],"p11":{"'
    r'data":"c-muNc*x*+k&TIi0TloMDYF6$","dtype":"<i8","shape":[3]},"p21":{"data":"c-muNVA#'
    r'ySAj-$Eb;F5YKmRfP|Nox>83O?8M-l4","dtype":"<i8","shape":[2,2]},"p22":{"data":"c-muN00'
    r'Kb}!SEAAthE4<pPv8;Aub693;+OjYy<l","dtype":"<i8","shape":[2,3]},"p31":{"data":"c-muN0'
    r'0Th?75x)JCs=@~yFE`pln@uQ1OpBL0J0ARf&","dtype":"<i8","shape":[2,2,2]},"step":{"data":'
    r'"c-muPWk3M{0DAxk","dtype":"steps","places":10,"shape":[2]}},"pairs_skipped":0,"retyp'
    r'ed":{},"sources":{}},"version":1}'
)


def test_the_first_version_stays_readable():
    profile = Profile.from_json(FIRST)
    assert profile.names == ("a", "b", "c")
    assert profile["a"].counts.tolist() == [1, 2]
    assert profile["a"].edges.tolist() == [2.0]
    assert (profile["a"].n_null, profile["a"].mean) == (1, 2.0)
    assert profile["b"].levels == ("x", "y")
    assert profile["b"].target_sum.tolist() == [1, 1, 0, 0]
    assert profile.target.counts.tolist() == [2, 2]
    assert profile.pairs.correlation()[0, 1] == pytest.approx(0.5, abs=0.001)
