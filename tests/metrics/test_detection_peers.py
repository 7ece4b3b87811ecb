"""Detection metrics against pycocotools, on random and on nasty data."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mlsd.metrics._boxes import intersection
from mlsd.metrics._detection import box_iou, detection_average_precision

STATS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
STATS += ["ar1", "ar10", "ar", "ar_small", "ar_medium", "ar_large"]
BOX = ["x", "y", "width", "height"]


def coco_eval(truth, found, *, max_dets=100, thresholds=None, area_limits=None, images=None):
    """Return COCOeval after a run over the tables; ids begin at 1, as 0 is taken for no match."""
    images = sorted({*truth["image_id"].tolist(), *found["image_id"].tolist(), *(images or [])})
    classes = sorted({*truth["category_id"].tolist(), *found["category_id"].tolist()})

    def annotations(table):
        rows = []
        for number, row in enumerate(table.to_dict("records"), start=1):
            box = [float(row[name]) for name in BOX]
            rows.append(
                {
                    "id": number,
                    "image_id": row["image_id"],
                    "category_id": row["category_id"],
                    "bbox": box,
                    "area": float(row.get("area", box[2] * box[3])),
                    "iscrowd": int(row.get("iscrowd", 0)),
                    "score": row.get("score"),
                }
            )
        return rows

    def dataset(rows):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in images],
            "categories": [{"id": category} for category in classes],
            "annotations": rows,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        of_found = annotations(found.drop(columns="area", errors="ignore"))
        run = COCOeval(dataset(annotations(truth)), dataset(of_found), "bbox")
        run.params.maxDets = [1, 10, max_dets]
        if thresholds is not None:
            run.params.iouThrs = np.asarray(thresholds)
        if area_limits is not None:
            small, large = area_limits
            run.params.areaRng = [[0, 1e10], [0, small], [small, large], [large, 1e10]]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def assert_agrees(truth, found, **options):
    """Compare all twelve numbers, and the average precision of each class."""
    run = coco_eval(truth, found, **options)
    ours = {"max_dets": options.get("max_dets", 100), "iou_thresholds": options.get("thresholds")}
    if "area_limits" in options:
        ours["area_limits"] = options["area_limits"]
    got = detection_average_precision(truth, found, **ours)
    wanted = dict(zip(STATS, np.where(run.stats == -1, np.nan, run.stats), strict=True))
    if options.get("max_dets", 100) != 100:
        wanted.pop("ap")  # COCO's summary looks for a limit of 100 there, and finds none
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(got, name), value, rtol=0, atol=1e-12, err_msg=name)
    precision, recall = run.eval["precision"], run.eval["recall"]
    for at, name in enumerate(["", "_small", "_medium", "_large"]):
        per_class = precision[:, :, :, at, 2].mean(axis=(0, 1))
        per_class[per_class == -1] = np.nan
        np.testing.assert_allclose(got.per_class["ap" + name], per_class, rtol=0, atol=1e-12)
        per_class = recall[:, :, at, 2].mean(axis=0)
        per_class[per_class == -1] = np.nan
        np.testing.assert_allclose(got.per_class["ar" + name], per_class, rtol=0, atol=1e-12)
    return got


def boxes(rng, n, *, size=60.0, grid=None, spread=200.0):
    box = np.column_stack([rng.random((n, 2)) * spread, rng.random((n, 2)) * size + 1])
    return np.round(box / grid) * grid if grid else box


def random_case(
    seed, *, n_images=12, n_classes=4, n_truth=80, n_noise=120, grid=None, levels=None, crowd=0.0
):
    """Return true boxes, and detections: shaken copies of them, in part of another class, noise."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(boxes(rng, n_truth, size=140.0, grid=grid), columns=BOX)
    truth.insert(0, "image_id", rng.integers(1, n_images + 1, n_truth))
    truth.insert(1, "category_id", rng.integers(1, n_classes + 1, n_truth))
    truth["iscrowd"] = (rng.random(n_truth) < crowd).astype(int)
    truth["area"] = truth["width"] * truth["height"] * rng.uniform(0.5, 1.0, n_truth)
    copies = truth.loc[rng.integers(0, n_truth, 2 * n_truth), ["image_id", "category_id", *BOX]]
    shake = rng.normal(0, 0.12, (len(copies), 4)) * copies[["width", "height"] * 2].to_numpy()
    shake[: n_truth // 2] = 0.0
    copies[BOX] = np.maximum(copies[BOX].to_numpy() + shake, 0.0)
    other = rng.random(len(copies)) < 0.1
    copies.loc[other, "category_id"] = n_classes  # the last class is mostly mistakes
    noise = pd.DataFrame(boxes(rng, n_noise, size=140.0), columns=BOX)
    noise.insert(0, "image_id", rng.integers(1, n_images + 3, n_noise))
    noise.insert(1, "category_id", rng.integers(1, n_classes + 2, n_noise))
    found = pd.concat([copies, noise], ignore_index=True)
    if grid:
        found[BOX] = np.round(found[BOX] / grid) * grid
    score = rng.random(len(found))
    found["score"] = score if levels is None else np.round(score * levels) / levels
    return truth, found.sample(frac=1, random_state=seed)


pytestmark = pytest.mark.filterwarnings("ignore::mlsd.metrics.UndefinedMetricWarning")


@pytest.mark.parametrize("seed", range(6))
def test_random_boxes(seed):
    got = assert_agrees(*random_case(seed, crowd=0.1))
    assert 0.05 < got.ap < 0.95
    assert got.classes_without_truth == 1


@pytest.mark.parametrize("seed", range(6))
def test_tied_scores_equal_overlaps_and_thresholds_met_exactly(seed):
    # Boxes on a coarse grid overlap equally often, and by exactly one half; five distinct scores.
    truth, found = random_case(seed, grid=20.0, levels=4, crowd=0.2, n_images=4)
    got = assert_agrees(truth, found)
    assert got.detections_tied > 200


@pytest.mark.parametrize("max_dets", [10, 100])
def test_more_detections_than_are_considered(max_dets):
    truth, found = random_case(3, n_images=1, n_classes=2, n_truth=150, n_noise=300, levels=20)
    got = assert_agrees(truth, found, max_dets=max_dets)
    assert got.detections_beyond_max > 100


@pytest.mark.parametrize("seed", range(3))
def test_many_crowds_in_one_image(seed):
    truth, found = random_case(seed, n_images=1, n_classes=1, crowd=0.6, grid=10.0)
    assert_agrees(truth, found)


def test_areas_on_the_limits_belong_to_both_sides():
    sides = np.repeat([31.0, 32.0, 33.0, 95.0, 96.0, 97.0], 3)
    truth = pd.DataFrame(
        {"image_id": np.arange(18) % 3, "category_id": 1, "x": np.arange(18) * 200.0, "y": 0.0}
    ).assign(width=sides, height=sides)
    found = truth.iloc[::2].assign(width=sides[::2] - 1, score=np.linspace(1, 0, 9))
    misses = truth.assign(y=500.0, score=np.linspace(1, 0, 18))
    found = pd.concat([found, misses])
    got = assert_agrees(truth, found)
    assert got.per_class["n_truth"].tolist() == [18]
    assert_agrees(truth, found, area_limits=(31.0**2, 97.0**2))


@pytest.mark.parametrize("seed", range(3))
def test_a_box_out_of_range_is_taken_only_when_no_other_matches(seed):
    # Small boxes drawn over large ones: which one counts depends on the range asked for.
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(boxes(rng, 40, size=10, spread=20), columns=BOX)
    truth[["width", "height"]] += 28
    truth.insert(0, "image_id", rng.integers(1, 4, 40))
    truth.insert(1, "category_id", 1)
    found = truth.sample(frac=1, random_state=seed).assign(score=rng.random(40))
    found[BOX] += rng.normal(0, 2, (40, 4))
    assert_agrees(truth, found)


@pytest.mark.parametrize(("order", "recall"), [([0, 1], 0.5), ([1, 0], 1.0)])
def test_of_two_boxes_overlapped_alike_the_later_row_is_taken(order, recall):
    truth = pd.DataFrame({"image_id": 1, "category_id": 1, "x": [0, 4], "y": 0})
    truth = truth.assign(width=10, height=10).iloc[order].reset_index(drop=True)
    # The first is as near to both; the second, only near to that at 4.
    found = truth.assign(x=[2, 6], score=[0.9, 0.8])
    got = assert_agrees(truth, found)
    assert got.per_class.loc[1, "ar"] == pytest.approx(recall * 4 / 10)  # IoU 2/3: .5 to .65


@pytest.mark.parametrize("n_truth", [20, 41, 47, 57, 69, 100, 113])
def test_recalls_whose_floating_point_is_not_the_decimal(n_truth):
    # 7 / 20 is less than COCO's .35, so that .35 counts as reached only at the eighth box.
    rng = np.random.default_rng(n_truth)
    x = np.arange(n_truth) * 50.0
    truth = pd.DataFrame({"image_id": 1, "category_id": 1, "x": x, "y": 0.0})
    truth = truth.assign(width=40.0, height=40.0)
    miss = truth.assign(y=100.0)
    found = pd.concat([truth, miss]).assign(score=rng.random(2 * n_truth))
    found["image_id"] = truth["image_id"] = 1
    assert_agrees(truth, found, max_dets=1000)
    assert_agrees(truth, found)


@pytest.mark.parametrize("thresholds", [[0.5], [0.3, 0.5, 0.75, 1.0], [0.6, 0.7]])
def test_other_thresholds(thresholds):
    truth, found = random_case(1, crowd=0.1)
    run = coco_eval(truth, found, thresholds=thresholds)
    got = detection_average_precision(truth, found, iou_thresholds=thresholds)
    for name, at in [("ap", 0), ("ap_small", 3), ("ar1", 6), ("ar", 8), ("ar_large", 11)]:
        np.testing.assert_allclose(getattr(got, name), run.stats[at], rtol=0, atol=1e-12)
    default = detection_average_precision(truth, found)
    assert (got.ap50, got.ap75) == (default.ap50, default.ap75)


def test_no_detections_and_empty_images():
    truth, found = random_case(0)
    assert assert_agrees(truth, found.iloc[:0]).ap == 0.0
    assert_agrees(truth, found[found["image_id"] == 1], images=range(1, 40))


def test_boxes_without_area():
    truth, found = random_case(4, grid=20.0, crowd=0.2)
    truth.loc[::5, "width"] = 0.0
    found.iloc[::5, found.columns.get_loc("height")] = 0.0
    assert_agrees(truth, found)


@pytest.mark.parametrize("seed", range(3))
def test_overlap_is_that_of_the_mask_interface(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.maximum(boxes(rng, n, grid=7.0), [0, 0, 7, 7]) for n in (30, 20))
    wanted = mask.iou(a, b, np.zeros(20))
    np.testing.assert_array_equal(box_iou(a, b), wanted)
    crowd = mask.iou(a, b, np.ones(20))
    shared = intersection(a[:, None], b)
    np.testing.assert_array_equal(shared / (a[:, 2] * a[:, 3])[:, None], crowd)


def test_strings_and_other_tables_give_the_same():
    import polars as pl
    import pyarrow as pa

    truth, found = random_case(5, crowd=0.1)
    wanted = detection_average_precision(truth, found).to_dict()
    names = {number: f"image {number:03d}" for number in range(1, 20)}
    as_text = [frame.assign(image_id=frame["image_id"].map(names)) for frame in (truth, found)]
    assert detection_average_precision(*as_text).to_dict() == wanted
    for kind in (pl.from_pandas, lambda frame: pa.Table.from_pandas(frame, preserve_index=False)):
        assert detection_average_precision(kind(truth), kind(found)).to_dict() == wanted
