"""Payloads of version 1, as they were first written: every later library has to read them."""

from __future__ import annotations

import base64
import math
import pickle
import zlib
from fractions import Fraction

import pandas as pd
import pytest

from mlsd._state import State
from mlsd.metrics import _accumulators
from mlsd.metrics._accumulators_ranking import _hashed

# Kind: the JSON, and the bytes, compressed and in base 64 to be short.
WRITTEN = {
    "binary": (
        (
            '{"kind":"binary","version":1,"config":{"bits":18},"parts":[{"name":"n","dtype":"'
            '<i8","shape":[],"data":[4]},{"name":"n_positive","dtype":"<i8","shape":[],"data"'
            ':[3]},{"name":"n_certain_mistakes","dtype":"<i8","shape":[],"data":[1]},{"name":'
            '"n_not_probabilities","dtype":"<i8","shape":[],"data":[0]},{"name":"weight","dty'
            'pe":"exact","data":"0x18ccccccccccccdp-55"},{"name":"weight_positive","dtype":"e'
            'xact","data":"0x10ccccccccccccdp-55"},{"name":"log_loss","dtype":"exact","data":'
            '"0xa509ac88d5714fp-56"},{"name":"brier","dtype":"exact","data":"0x24cccccccccccc'
            'dp-57"},{"name":"score","dtype":"exact","data":"0x10ccccccccccccdp-56"},{"name":'
            '"counts.keys","dtype":"<i8","shape":[3],"data":[131072,195072,195840]},{"name":"'
            'counts.negative","dtype":"<i8","shape":[3],"data":[0,1,0]},{"name":"counts.posit'
            'ive","dtype":"<i8","shape":[3],"data":[1,0,1]},{"name":"weights.keys","dtype":"<'
            'i8","shape":[1],"data":[195584]},{"name":"weights.negative","dtype":"<f8","shape'
            '":[1,2],"data":[0.0,0.0]},{"name":"weights.positive","dtype":"<f8","shape":[1,2]'
            ',"data":[0.1,0.0]}]}'
        ),
        (
            "eNrNk8FOgzAcxru5gwefoiaeiAmiZiFLfApPy0IKFGiAlrR1SgivYDx40cfw5gPo+3g1mlgQ4ybdwBP7"
            "EkL/5fuFr/+2aSJ8MDrfA8BST6UCxoT60IYuoYjn0IBLzAVhFNqmAT1GAxJCu1CfpVBT09KAGeLVeF5A"
            "ilKsUKooX+ZZNZ6RqapEhKpqviiNX5eTMUEkWeKedg9ziQh1UiIkirHoiVEmnYwzF7kkUb/ryV1jEkZy"
            "xYpvkCdXzKZ11vbrltQBJix0EiZEf8LlBPP+duEx/o88HruiUhzHON/cKEsDUByirZupgzpPgNXucUc2"
            "U0fowgVrlHGi43T52tyinHxfHtBcIjACO6UoqHWwGzH2B44xe7k8fDq6Hw8c4/Gh1mTgGKdWLRWjach7"
            "8/5cb9DfI72x/hhvWe7zxU9993r79gUUeSS2"
        ),
    ),
    "mean": (
        (
            '{"kind":"mean","version":1,"config":{},"parts":[{"name":"n","dtype":"<i8","shape'
            '":[],"data":[3]},{"name":"sum","dtype":"exact","data":"0x12a05f1fecccccccccccccd'
            'p-55"},{"name":"sum_of_squares","dtype":"exact","data":"0x15af1d78b58c4000190a3d'
            '70a3d70a3dc28f5c28f5c29p-110"},{"name":"minimum","dtype":"<f8","shape":[],"data"'
            ':[-2.5]},{"name":"maximum","dtype":"<f8","shape":[],"data":[10000000000.0]}]}'
        ),
        (
            "eNrLzSlOYWAUYWRgMAJiEKhWys7MS1GyUspNTcxT0lEqSy0qzszPU7Iy1FFKzs9Ly0xXsqqu1VEqSCwq"
            "KVayiq5WykvMTQWqBylOKaksALFtMi2AvOKMRBAvOrZWB66quDQXSV1qRWJyCZJKQ2NLNMXx+WnxxYWl"
            "iUWpxfj0mRgj68vNzMvMRbHIJg2Xg3ITKwioja1lZhgUICMNDL716wdwDpQbJhz6qhHTf8iW6/riAlsu"
            "SQaHnq0VsutFIZIsB4CEQvwCJidfhtQtAL0ObCM="
        ),
    ),
    "ratio": (
        (
            '{"kind":"ratio","version":1,"config":{},"parts":[{"name":"n","dtype":"<i8","shap'
            'e":[],"data":[2]},{"name":"x","dtype":"exact","data":"0x8ccccccccccccdp-55"},{"n'
            'ame":"y","dtype":"exact","data":"0x5p+0"},{"name":"xx","dtype":"exact","data":"0'
            'x40a3d70a3d70a3dc28f5c28f5c29p-110"},{"name":"yy","dtype":"exact","data":"0xdp+0'
            '"},{"name":"xy","dtype":"exact","data":"0xcccccccccccccdp-54"}]}'
        ),
        (
            "eNrLzSlOYWA0YmRgWM3EAAbVStmZeSlKVkpFiSWZ+Uo6SmWpRcWZ+XlKVoY6Ssn5eWmZ6UpW1bU6SgWJ"
            "RSXFSlbR1Up5ibmpQA15QMUpJZUFILZNpgWQV5yRCOJFx9bqwFVVIKlKrUhMLkFSZ2hsiqy0knilFaQY"
            "S4q5BNXG1kIDbqBBRhoYsAwO14gMlMUTDn3ViOk/ZMt1fXGBLdcgCQ2TAbb/whkw4BH2NpQBAB8vcjQ="
        ),
    ),
    "confusion": (
        (
            '{"kind":"confusion","version":1,"config":{"n_classes":null,"labels":["a","b"]},"'
            'parts":[{"name":"matrix","dtype":"<i8","shape":[2,2],"data":[1,0,1,1]}]}'
        ),
        (
            "eNpdjE0OwiAQRoebmFmzsStDvElDzLSgEoE2QBtNw9pLuPQGrr2bUFf6bWbemx9nowJ2B4ANfLPgxXiF"
            "AvvBH6doBo8cZx3WTmz56s0JxYL+0FuKUUcUfrKWo6VO20ItUjnqUGaOI4VUVVknp8tfRymYa5mrdBur"
            "2JtdoXimSm3DG5llZvAb9lef79fjA9ZUMOk="
        ),
    ),
    "ranking": (
        (
            '{"kind":"ranking","version":1,"config":{"metrics":["ndcg@10","mrr"],"options":{"'
            'ties":"worst"}},"parts":[{"name":"n_queries","dtype":"<i8","shape":[],"data":[2]'
            '},{"name":"n_judgements","dtype":"<i8","shape":[],"data":[3]},{"name":"n_run_row'
            's","dtype":"<i8","shape":[],"data":[3]},{"name":"missing_queries","dtype":"<i8",'
            '"shape":[],"data":[1]},{"name":"unjudged_queries","dtype":"<i8","shape":[],"data'
            '":[1]},{"name":"unjudged_query_rows","dtype":"<i8","shape":[],"data":[1]},{"name'
            '":"empty_queries","dtype":"<i8","shape":[],"data":[1]},{"name":"unjudged_rows","'
            'dtype":"<i8","shape":[],"data":[1]},{"name":"queries","dtype":"<i8","shape":[2],'
            '"data":[3076568338158756072,7273047874557859556]},{"name":"judged_at_10","dtype"'
            ':"exact","data":"0x1p-1"},{"name":"ndcg@10:n","dtype":"<i8","shape":[],"data":[1'
            ']},{"name":"ndcg@10:sum","dtype":"exact","data":"0x185374ce5d5647p-54"},{"name":'
            '"ndcg@10:sum_of_squares","dtype":"exact","data":"0x24fc11ba49c5e32933a10a9c7b1p-'
            '108"},{"name":"mrr:n","dtype":"<i8","shape":[],"data":[1]},{"name":"mrr:sum","dt'
            'ype":"exact","data":"0x1p+0"},{"name":"mrr:sum_of_squares","dtype":"exact","data'
            '":"0x1p+0"}]}'
        ),
        (
            "eNrNkzFLxDAUx9s7Z1f3twilg6eIUhxucnJ2OY4SmlyNZ9JeknoeRwdBB8HN7SYHP4EfxM3ZRUFBUAR3"
            "k7sKPZdLb7EPwmva/z/vl+aFnUjsuJOm4zT1MDGGPuUYAhCI66cYfDglQtKEQ9DyIUp4j8YQjIERJWgk"
            "IegAx1Hcbm1oKRMCuj4kqdIGaWSKEp1hmAipIM99SJFQxjUGjhjRn3g4yIgwMh+wGqXm3R7d1TN5hMys"
            "0839kvo4wzFhhCtbg8j0SIZ2ckal1NuuxJTxKRNe3jSyByQsVaPlKlnXWLT6ZllcLI5UOG2BXwc5Q5Eq"
            "eVpb23PHMuuZgNsdYqGWGateQpvCpBfKQYbE3KYW+HUzW+IZZSW0wlABq5s3ZhfUaf7JrmV+vfX6E+/e"
            "ez7k3+erH9ipRTTcenCk+PHlYOfy32ja7wPv4uHuem39bf/zxqnJXylipSYY+dfV0w+fdUPb"
        ),
    ),
}


def payload(kind):
    return zlib.decompress(base64.b64decode(WRITTEN[kind][1]))


def test_every_accumulator_has_a_payload():
    classes = [getattr(_accumulators, name) for name in _accumulators.__all__]
    kinds = {cls.kind for cls in classes if issubclass(cls, State)}
    assert kinds == set(WRITTEN)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_payload_of_version_1_is_read(kind):
    text = WRITTEN[kind][0]
    state = State.from_json(text)
    assert state.kind == kind
    assert state == State.from_bytes(payload(kind))
    # Version 1 is written today; when a class moves on, these two lines move to the new one.
    assert state.to_json() == text
    assert state.to_bytes() == payload(kind)
    assert pickle.loads(pickle.dumps(state)) == state


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_payload_of_another_kind_is_refused(kind):
    other = State.from_json(WRITTEN["mean" if kind != "mean" else "ratio"][0])
    with pytest.raises(ValueError, match=f"of the kind {kind!r}, not {other.kind!r}"):
        type(other).from_bytes(payload(kind))
    with pytest.raises(TypeError, match="state do not merge"):
        other + State.from_bytes(payload(kind))


def test_what_the_payloads_say():
    binary = State.from_json(WRITTEN["binary"][0]).result()
    assert (binary.n, binary.n_positive, binary.n_certain_mistakes) == (4, 3, 1)
    weight = Fraction(0.1)
    assert binary.base_rate == float((2 + weight) / (3 + weight))
    assert binary.log_loss == math.inf
    # Pairs won: the positives at .5, of weight .1, and at .75 against the negative at .25.
    assert binary.auc == pytest.approx(1.1 / 2.1, abs=1e-13)
    mean = State.from_json(WRITTEN["mean"][0]).result()
    assert mean.mean == float((Fraction(0.1) - Fraction(5, 2) + 10**10) / 3)
    assert (mean.minimum, mean.maximum, mean.n) == (-2.5, 1e10, 3)
    assert State.from_json(WRITTEN["ratio"][0]).result().ratio == float((1 + weight) / 5)
    confusion = State.from_json(WRITTEN["confusion"][0]).result()
    assert confusion.matrix.tolist() == [[1, 0], [1, 1]]


def test_the_hashes_of_queries_never_change():
    hashed = _hashed(pd.Index(["q1", "q2"]))
    assert hashed.tolist() == [3076568338158756072, 7273047874557859556]
