"""Do the tests notice? Put one fault after the other into a copy of the package, and run them.

    python tests/mutations.py          all faults, a few seconds each and as many at once as cores
    python tests/mutations.py ties     those whose name holds "ties"

A fault that the tests do not notice is an error, and so is one whose place is no longer there. Kept
out of ``make test`` for its length; CI runs it.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METRICS = "tests/metrics/test_"
FUNNEL = "tests/funnel/test_"
DRIFT = "tests/drift/test_"
EXPERIMENTS = "tests/experiments/test_"
OPE = "tests/ope/test_"
WORLD = "tests/world/test_"


@dataclass(frozen=True)
class Fault:
    """One wrong edit, and the tests that must fail because of it."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = [
    # Ranking.
    Fault(
        "ndcg: the discount begins one place late",
        "mlsd/metrics/_ranking.py",
        "np.log2(np.arange(2, depth + 2))",
        "np.log2(np.arange(3, depth + 3))",
        f"{METRICS}traps.py",
    ),
    Fault(
        "ties: the first of a group has the whole gain",
        "mlsd/metrics/_ranking.py",
        "expected = np.where(hits.tied == 1, discount[hits.above], spread)",
        "expected = discount[hits.above]",
        f"{METRICS}traps.py",
    ),
    Fault(
        "ties: scores are compared in single precision",
        "mlsd/metrics/_hits.py",
        "np.subtract(0.0, scores, out=scores)",
        "np.subtract(0.0, scores.astype(np.float32), out=scores)",
        f"{METRICS}traps.py",
    ),
    Fault(
        "ideal: from the documents that were found",
        "mlsd/metrics/_evaluate.py",
        "useful = ideal_gain > 0",
        "useful = (ideal_gain > 0) & np.isin(np.arange(ideal_gain.size), found)",
        f"{METRICS}traps.py",
    ),
    Fault(
        "recall: of the documents that were found",
        "mlsd/metrics/_evaluate.py",
        "n_relevant=np.bincount(labels[relevant], minlength=qrels.n_queries)",
        "n_relevant=np.bincount(query[relevant[found]], minlength=qrels.n_queries)",
        f"{METRICS}traps.py",
    ),
    Fault(
        "average precision at k: others of a tie group do not count",
        "mlsd/metrics/_ranking.py",
        "groups.relevant_before[which] + 1 + before * others",
        "groups.relevant_before[which] + 1",
        f"{METRICS}ties_exact.py",
    ),
    Fault(
        "err: nobody stops within a tie group",
        "mlsd/metrics/_user_models.py",
        "place * chance * before) / members",
        "place * before) / members",
        f"{METRICS}err_rbp.py",
    ),
    Fault(
        "rbp: the residual takes judged documents for unjudged",
        "mlsd/metrics/_user_models.py",
        "np.maximum(1.0 - hits.sum_by_query(hits.query, weight), 0.0)",
        "np.maximum(1.0 - hits.sum_by_query(hits.query, weight * hits.relevant), 0.0)",
        f"{METRICS}err_rbp.py",
    ),
    Fault(
        "duplicates: a document twice in the run goes unseen",
        "mlsd/metrics/_match.py",
        '_refuse_doubles(judged.queries, segments, docs, found, "run")',
        "pass",
        f"{METRICS}traps.py",
    ),
    Fault(
        "diversity: a better rank goes with a lower score",
        "mlsd/metrics/_diversity.py",
        'order_by = values if by == "rank" else -values',
        "order_by = values",
        f"{METRICS}diversity.py",
    ),
    # Labels and probabilities.
    Fault(
        "auc: a tie counts as won",
        "mlsd/metrics/_binary.py",
        'left[tied] + np.searchsorted(others, queries[tied], side="right")',
        '2 * np.searchsorted(others, queries[tied], side="right")',
        f"{METRICS}binary.py::test_auc_counts_the_pairs",
    ),
    Fault(
        "average precision: tied negatives come after",
        "mlsd/metrics/_binary.py",
        'not_below = negative.size - np.searchsorted(negative, values, side="left")',
        'not_below = negative.size - np.searchsorted(negative, values, side="right")',
        f"{METRICS}traps.py",
    ),
    Fault(
        "delong: the variance is over n",
        "mlsd/metrics/_delong.py",
        "values.var(ddof=1)",
        "values.var(ddof=0)",
        f"{METRICS}delong.py::test_delong_is_its_definition",
    ),
    Fault(
        "log loss: clips unasked",
        "mlsd/metrics/_probability.py",
        "    if eps is not None:\n        np.clip(chance, eps, 1.0 - eps, out=chance)",
        "    np.clip(chance, eps or 1e-15, 1.0 - (eps or 1e-15), out=chance)",
        f"{METRICS}traps.py",
    ),
    Fault(
        "log loss: a tiny one loses its digits",
        "mlsd/metrics/_probability.py",
        "lost = proba - (signed + negative)",
        "lost = 0.0 * proba",
        f"{METRICS}traps.py",
    ),
    Fault(
        "normalized entropy: of the positives alone",
        "mlsd/metrics/_probability.py",
        "return loss / -(rate * of_rate + rest * of_rest)",
        "return loss / -(rate * of_rate)",
        f"{METRICS}traps.py",
    ),
    Fault(
        "calibration: half the bias is left",
        "mlsd/metrics/_calibration.py",
        "- 2.0 * spread * density",
        "- spread * density",
        f"{METRICS}traps.py",
    ),
    Fault(
        "units: rows of one unit are taken as independent",
        "mlsd/metrics/_evaluate_binary.py",
        "    if codes is not None:\n        moved = np.bincount(codes, weights=moved",
        "    if False:\n        moved = np.bincount(codes, weights=moved",
        f"{METRICS}evaluate_binary.py::test_the_mean_loss_by_unit_agrees_with_a_cluster_robust_fit",
    ),
    Fault(
        "wilson: the quantile is not squared",
        "mlsd/_clusters.py",
        "added = quantile * quantile / size",
        "added = quantile / size",
        "tests/test_clusters.py::test_wilson_is_statsmodels",
    ),
    Fault(
        "ratio: the variance is over n",
        "mlsd/_clusters.py",
        "math.sqrt(n / (n - 1) * float(residual @ residual)) / abs(base)",
        "math.sqrt(float(residual @ residual)) / abs(base)",
        "tests/test_clusters.py::test_worked_by_hand",
    ),
    Fault(
        "holm: every p-value is multiplied alike",
        "mlsd/_stats.py",
        "steps = np.arange(order.size, 0, -1) * values[order]",
        "steps = order.size * values[order]",
        "tests/test_stats.py::test_holm_by_hand",
    ),
    # States.
    Fault(
        "merge: the sum of the other part is lost",
        "mlsd/_fields.py",
        '"""Return the sum."""\n        return left + right',
        '"""Return the sum."""\n        return left or right',
        f"{METRICS}common.py::test_merged_chunks_are_the_whole",
    ),
    Fault(
        "merge: the upper bound of the area is its middle",
        "mlsd/metrics/_binned.py",
        "quotient(won + open_, pairs)",
        "quotient(2 * won + open_, 2 * pairs)",
        f"{METRICS}accumulators_binary.py::test_the_bounds_hold_the_exact_auc_of_any_scores",
    ),
    # Online, vision, beyond accuracy.
    Fault(
        "retention: weeks begin on Thursday",
        "mlsd/metrics/_retention.py",
        "(days + 3) // 7",
        "days // 7",
        f"{METRICS}retention.py::test_weeks_start_on_monday_across_the_year",
    ),
    Fault(
        "sessions: an event after exactly the gap begins a new one",
        "mlsd/metrics/_events.py",
        "> np.uint64(gap // tick)",
        ">= np.uint64(gap // tick)",
        f"{METRICS}sessions.py::test_by_hand",
    ),
    Fault(
        "mean iou: an absent class is perfect",
        "mlsd/metrics/_vision.py",
        'fill = math.nan if absent in ("nan", "raise") else float(absent)',
        "fill = 1.0",
        f"{METRICS}vision.py::test_by_hand_with_a_class_only_predicted_and_one_absent",
    ),
    Fault(
        "detection: a true box is taken twice",
        "mlsd/metrics/_boxes.py",
        "= ~boxes.crowd[wanted[chosen]]",
        "= False",
        f"{METRICS}detection.py",
    ),
    Fault(
        "detection: of equal overlaps the earlier row wins",
        "mlsd/metrics/_boxes.py",
        "(-pairs.truth, -pairs.iou, ignored",
        "(pairs.truth, -pairs.iou, ignored",
        f"{METRICS}detection.py {METRICS}detection_peers.py",
    ),
    Fault(
        "novelty: over users, each item alike",
        "mlsd/metrics/_beyond.py",
        "bits = np.log2(total / counts[lists.item[has_bits]])",
        "bits = np.log(total / counts[lists.item[has_bits]])",
        f"{METRICS}beyond.py",
    ),
    # Input.
    Fault(
        "readers: lines are counted from 0",
        "mlsd/metrics/_readers.py",
        "enumerate(handle, start=1)",
        "enumerate(handle, start=0)",
        f"{METRICS}readers.py::test_errors_of_a_run_name_the_line",
    ),
    Fault(
        "input: the index of a frame is kept",
        "mlsd/_inputs.py",
        "return table[wanted].reset_index(drop=True)",
        "return table[wanted]",
        "tests/test_inputs.py",
    ),
    Fault(
        "input: NaN passes",
        "mlsd/_inputs.py",
        "    if not allow_nan:\n        _refuse_nan(array, name)",
        "    if allow_nan:\n        _refuse_nan(array, name)",
        f"{METRICS}common_nasty.py",
    ),
    Fault(
        "input: probabilities above 1 pass",
        "mlsd/metrics/_probability.py",
        "if proba.size and not (proba.min() >= 0.0 and proba.max() <= 1.0):",
        "if proba.size and not proba.min() >= 0.0:",
        f"{METRICS}common_nasty.py",
    ),
    # The funnel.
    Fault(
        "funnel: equal scores at a cut go to the last of them",
        "mlsd/funnel/_batch.py",
        "places, _ = top_k(matrix, size)",
        "places = matrix.shape[1] - 1 - top_k(matrix[:, ::-1], size)[0]",
        f"{FUNNEL}funnel.py::test_slates_are_those_of_loops_and_sorts",
    ),
    Fault(
        "funnel: a stage may add documents",
        "mlsd/funnel/stages.py",
        """        out.check_within(batch, f"stage {self.name!r}")\n""",
        "",
        f"{FUNNEL}funnel.py::test_what_a_stage_gives_back_is_checked",
    ),
    Fault(
        "funnel: infinite scores pass",
        "mlsd/funnel/stages.py",
        "if not np.isfinite(scores).all():",
        "if np.isnan(scores).any():",
        f"{FUNNEL}funnel.py::test_what_a_stage_gives_back_is_checked",
    ),
    Fault(
        "union: places that are kept for a source come on top of k",
        "mlsd/funnel/union.py",
        "free = k - np.bincount(batch.codes[kept], minlength=batch.lengths.size)",
        "free = np.full(batch.lengths.size, k)",
        f"{FUNNEL}funnel.py::TestUnion",
    ),
    Fault(
        "deadline: a ranker gets fewer candidates than it is to keep",
        "mlsd/funnel/_deadline.py",
        "if fits >= max(1, stage.k or 1):",
        "if fits >= 1:",
        f"{FUNNEL}funnel_serving.py",
    ),
    Fault(
        "deadline: everything is cut as soon as anything is late",
        "mlsd/funnel/_deadline.py",
        "if excess <= 0 < left_ms:",
        "if excess <= -left_ms < 0:",
        f"{FUNNEL}funnel_serving.py",
    ),
    Fault(
        "serving: the cost of a source is what it searches",
        "mlsd/funnel/serving.py",
        "handled = out.lengths if stage.is_source else handled",
        "handled = handled",
        f"{FUNNEL}funnel_report.py::test_cost_counts_what_a_stage_handles",
    ),
    Fault(
        "serving: a failure that is met is not counted",
        "mlsd/funnel/serving.py",
        '            errors.append((stage.name, outcome, f"{type(error).__name__}: {error}"))\n',
        "",
        f"{FUNNEL}funnel_serving.py::TestFallback",
    ),
    Fault(
        "report: recall lost is a share of what entered the stage",
        "mlsd/funnel/attribution.py",
        '"recall_lost": before - recall,',
        '"recall_lost": 1 - share,',
        f"{FUNNEL}funnel_report.py::test_recall_is_that_of_loops",
    ),
    Fault(
        "report: agreement counts places that the reference does not have",
        "mlsd/funnel/report.py",
        "self.agreement[at, here] = 1 - lost / best.lengths",
        "self.agreement[at, here] = 1 - lost / (2 * self.k)",
        f"{FUNNEL}funnel_report.py",
    ),
    Fault(
        "replay: what is no candidate is one",
        "mlsd/funnel/_replay.py",
        "scores[np.arange(n) >= state.alive[:, None]] = -np.inf",
        "pass",
        f"{FUNNEL}funnel_allocation.py",
    ),
    Fault(
        "replay: a cut of the source is forgotten",
        "mlsd/funnel/_replay.py",
        "within = by_first[by_first < counts[0]].reshape(n_queries, -1)",
        "within = by_first[:, : counts[0]]",
        f"{FUNNEL}funnel_allocation.py",
    ),
    Fault(
        "allocation: of equal counts the dearest",
        "mlsd/funnel/allocation.py",
        "ascending=[False, True], kind",
        "ascending=[False, False], kind",
        f"{FUNNEL}funnel_allocation.py",
    ),
    Fault(
        "allocation: the frontier holds what costs more and reaches the same",
        "mlsd/funnel/allocation.py",
        "ordered[ordered[objective] > highest]",
        "ordered[ordered[objective] >= highest]",
        f"{FUNNEL}funnel_allocation.py",
    ),
    # Drift.
    Fault(
        "drift: Holm without the weights",
        "mlsd/drift/_adjust.py",
        "steps = values[order] * (np.maximum(left, ordered) / ordered)",
        "steps = values[order] * np.arange(order.size, 0, -1)",
        f"{DRIFT}statistics_effects.py::test_adjustments_against_loops",
    ),
    Fault(
        "drift: a page by the share of false alarms",
        "mlsd/drift/_verdicts.py",
        "sure = made & (holm <= alpha)",
        "sure = made & (fdr <= alpha)",
        f"{DRIFT}verdicts.py::test_what_is_sure_by_the_share_of_false_alarms_alone_does_not_page",
    ),
    Fault(
        "drift: the effect must be large, and not its bound",
        "mlsd/drift/_verdicts.py",
        "large = (rows.bound > min_effect)",
        "large = (np.abs(rows.effect) > min_effect)",
        f"{DRIFT}verdicts.py::test_the_bound_decides_and_not_the_effect",
    ),
    Fault(
        "drift: NULLs are dropped",
        "mlsd/drift/_layout.py",
        "0 if column is None else column.n_null for",
        "0 for",
        f"{DRIFT}verdicts.py::test_the_p_value_of_nulls_is_fishers",
    ),
    Fault(
        "drift: live rows have edges of their own",
        "mlsd/drift/_references.py",
        "profile = Profile.from_frame(X, like=whole.profile, y=y",
        "profile = Profile.from_frame(X, y=y",
        f"{DRIFT}monitor.py::test_faults_page_and_spare_the_rest",
    ),
    Fault(
        "drift: a merge forgets what lies above",
        "mlsd/drift/_columns.py",
        '            "n_below",\n            "n_above",\n',
        '            "n_below",\n',
        f"{DRIFT}profile_merge.py",
    ),
    Fault(
        "drift: half the p-value of Anderson and Darling",
        "mlsd/drift/_anderson_darling.py",
        "p[told] = np.exp(",
        "p[told] = 0.5 * np.exp(",
        f"{DRIFT}statistics.py::test_limit_law_with_ties_against_imhof",
    ),
    Fault(
        "drift: twice the p-value of Klotz",
        "mlsd/drift/_klotz.py",
        "2 * np.exp(log_tail)",
        "4 * np.exp(log_tail)",
        f"{DRIFT}statistics.py::test_size_far_out[klotz-fine]",
    ),
    Fault(
        "drift: the reference of a χ² test is taken as exact",
        "mlsd/drift/_chi2.py",
        "pool_small_cells(*two_samples(ref, live), ordered=ordered)",
        "pool_small_cells(two_samples(ref, live)[0] * 1e6, live, ordered=ordered)",
        f"{DRIFT}statistics_shares.py::test_exactness_of_the_reference_is_not_assumed",
    ),
    Fault(
        "drift: no new category is expected",
        "mlsd/drift/_proportions.py",
        "ones / clumps + 1.0",
        "0 * ones + 1.0",
        f"{DRIFT}statistics_shares.py::test_unseen_against_the_binomial_law",
    ),
    Fault(
        "drift: the effect of new categories counts from none",
        "mlsd/drift/_hypotheses.py",
        "h = cohen_h(singletons,",
        "h = cohen_h(0 * singletons,",
        f"{DRIFT}verdicts.py::test_words_that_come_once_foretell_new_ones",
    ),
    Fault(
        "drift: a category that was met by luck stays by itself",
        "mlsd/drift/_hypotheses.py",
        "before, after = _fair_cells(ref, live, capped)",
        "before, after = ref, live",
        f"{DRIFT}verdicts.py::test_clean_windows_of_many_categories_keep_the_budget",
    ),
    Fault(
        "drift: the reference of an index is taken as exact",
        "mlsd/drift/distances.py",
        "scale, dof = 1 / n_ref + 1 / n_live, n_cells - 1",
        "scale, dof = 1 / n_live, n_cells - 1",
        f"{DRIFT}distances.py::test_psi_critical_value",
    ),
    Fault(
        "drift: another type goes unsaid",
        "mlsd/drift/_schema.py",
        "in live.retyped.items()",
        "in {}.items()",
        f"{DRIFT}monitor_rules.py::test_schema",
    ),
    Fault(
        "drift: the AUC without a change spreads too far",
        "mlsd/drift/domain.py",
        "(12 * n_ref * m)",
        "(6 * n_ref * m)",
        f"{DRIFT}domain.py::test_the_null_spread_is_that_of_all_ways_to_deal_the_ranks",
    ),
    Fault(
        "drift: correlations of all pairs scatter like normal ones",
        "mlsd/drift/_hypotheses.py",
        "v_ref = ref.pairs.variance()[before]",
        "v_ref = np.ones(len(one))",
        f"{DRIFT}verdicts.py::test_correlations_of_pairs_with_heavy_tails_do_not_cry_wolf",
    ),
    Fault(
        "drift: what clean windows say is ignored",
        "mlsd/drift/_scales.py",
        "p[known] = np.maximum(law.p(_statistic(some)), some.p)",
        "p[known] = some.p",
        f"{DRIFT}monitor_power.py::test_block_bootstrap_finds_what_windows_find",
    ),
    # Experiments.
    Fault(
        "cuped: one slope of all units, wrong where the arms differ in size",
        "mlsd/experiments/_arms.py",
        "theta = (_share(c.covariance, c.n) + _share(t.covariance, t.n)) / covariate_var",
        "theta = (c.covariance + t.covariance) / (c.covariate_var + t.covariate_var)",
        f"{EXPERIMENTS}compare.py",
    ),
    Fault(
        "lift: the covariance of the arms is left out of Fieller's interval",
        "mlsd/experiments/_intervals.py",
        "- 2.0 * t * ct + ct * ct + tt - cc * tt",
        "+ ct * ct + tt - cc * tt",
        f"{EXPERIMENTS}compare.py",
    ),
    Fault(
        "moments: merged with the wrong weight between the parts",
        "mlsd/experiments/moments.py",
        "np.outer(delta, delta) * (n_a / n * n_b)",
        "np.outer(delta, delta) * (n_a / n * n_a)",
        f"{EXPERIMENTS}moments.py",
    ),
    Fault(
        "compare: a unit in two arms stays in one of them",
        "mlsd/experiments/_units.py",
        "    of_unit[two] = -1\n",
        "",
        f"{EXPERIMENTS}report.py",
    ),
    Fault(
        "sample ratio: several small arms are not corrected for their number",
        "mlsd/experiments/assignment.py",
        "min(1.0, least * (df + 1))",
        "min(1.0, least * df)",
        f"{EXPERIMENTS}srm.py",
    ),
    Fault(
        "peeking: the error of a small arm is its own alone",
        "mlsd/experiments/sequential.py",
        "pooled * (1.0 / c.n_treatment + slope**2 / c.n_control),",
        "0.0,",
        f"{EXPERIMENTS}sequential.py",
    ),
    Fault(
        "group-sequential: O'Brien-Fleming spends the alpha of both sides on each",
        "mlsd/experiments/_spending.py",
        "ndtri(alpha / sides / 2.0)",
        "ndtri(alpha / 2.0)",
        f"{EXPERIMENTS}sequential.py",
    ),
    Fault(
        "guardrail: broken is asked about the other margin",
        "mlsd/experiments/_guardrail.py",
        "alternative=bad, margin=-tolerated",
        "alternative=bad, margin=tolerated",
        f"{EXPERIMENTS}decision.py",
    ),
    Fault(
        "decision: a gain too small to be worth it is shipped",
        "mlsd/experiments/decision.py",
        "won = lower > 0 and estimate >= self.least",
        "won = lower > 0",
        f"{EXPERIMENTS}decision.py",
    ),
    Fault(
        "ramp: alpha is not divided by the steps",
        "mlsd/experiments/ramp.py",
        "self.alpha / (len(self.guards) * self._n_live)",
        "self.alpha / len(self.guards)",
        f"{EXPERIMENTS}ramp.py",
    ),
    Fault(
        "ramp: a gross harm is looked for with the narrow prior alone",
        "mlsd/experiments/_guards.py",
        "for scale in (guard.harm, _GROSS * guard.harm)",
        "for scale in (guard.harm, guard.harm)",
        f"{EXPERIMENTS}ramp.py",
    ),
    Fault(
        "interleaving: one toss for every place, not for a round of two",
        "mlsd/experiments/_draft.py",
        "flips[:, place // 2] == bool(place % 2)",
        "~flips[:, place // 2]",
        f"{EXPERIMENTS}interleaving.py",
    ),
    # The world.
    Fault(
        "keyed: a key of 0 adds nothing",
        "mlsd/_keyed.py",
        "state = _mixed(state + (array + np.uint64(1)) * _GOLDEN)",
        "state = _mixed(state + array * _GOLDEN)",
        "tests/test_keyed.py::test_the_published_sequence_of_splitmix64",
    ),
    Fault(
        "world: the content leave and the discontent stay",
        "mlsd/world/_population.py",
        "p.churn_strength * (self.reference - self.satisfaction)",
        "p.churn_strength * (self.satisfaction - self.reference)",
        f"{WORLD}invariants.py::test_retention_answers_to_the_policy_only_if_it_may",
    ),
    Fault(
        "world: tastes widen as they wander",
        "mlsd/world/_population.py",
        "np.sqrt(1 - keep**2) * noise",
        "np.sqrt(1 - keep) * noise",
        f"{WORLD}drift_knobs.py::test_tastes_wander_as_stated_and_do_not_widen",
    ),
    Fault(
        "world: a twin's users are satisfied with what the other saw",
        "mlsd/world/_population.py",
        'for name in (*_GROWING, "taste"):',
        'for name in (*_GROWING[:6], "taste"):',
        f"{WORLD}world.py::test_twins_share_their_luck_and_nothing_else",
    ),
    Fault(
        "world: a random slate has the propensity of all candidates, also of those not there",
        "mlsd/world/_slate.py",
        "by_chance = epsilon / np.maximum(n_there, 1)",
        "by_chance = epsilon / score.shape[1] * np.ones(n_there.shape)",
        f"{WORLD}slate.py",
    ),
    Fault(
        "world: twins do not share the click on what both show",
        "mlsd/world/_serving.py",
        'keyed_uniform(self._seed, "click", self._day, user, nth, doc)',
        'keyed_uniform(self._seed, "click", self._day, user, nth, place)',
        f"{WORLD}world.py::test_a_click_on_what_is_seen_goes_with_the_document_and_not_with_its_place",
    ),
    Fault(
        "world: a conversion has come at the time at which it is looked for",
        "mlsd/world/_log.py",
        'later = seen["conversion_time"] >= moment',
        'later = seen["conversion_time"] > moment',
        f"{WORLD}world.py::test_as_of",
    ),
    Fault(
        "world: those who convert are those who do so late",
        "mlsd/world/_response.py",
        'keyed_uniform(seed, "delay", *key)',
        'keyed_uniform(seed, "conversion", *key)',
        f"{WORLD}invariants.py::test_delays_follow_their_law_and_nothing_else",
    ),
    Fault(
        "world: the last place of ads is sold at the reserve",
        "mlsd/world/_serving.py",
        "self._auction.prices(of_shown, bid, rest.max(axis=1))",
        "self._auction.prices(of_shown, bid)",
        f"{WORLD}world.py::test_the_price_of_a_click_is_the_least_bid_that_keeps_the_place",
    ),
    Fault(
        "world: novelty never fades, for users forget when their policy changed",
        "mlsd/world/_population.py",
        "self.since[moved] = day",
        "self.since[moved] = day * 0",
        f"{WORLD}drift_knobs.py::test_novelty_is_added_at_a_change_and_fades",
    ),
    Fault(
        "world: what is in a policy's frames is what is shown",
        "mlsd/world/_policies.py",
        "arm.policy(requests.copy(deep=False), candidates.copy(deep=False))",
        "arm.policy(requests, candidates)",
        f"{WORLD}policies.py::test_what_a_policy_writes_into_its_frames_is_nobody_elses",
    ),
    Fault(
        "world: the trust in the first place is that in all",
        "mlsd/world/_choice.py",
        "trust_minus=trust_minus / place if trusted",
        "trust_minus=trust_minus * ones if trusted",
        f"{WORLD}choice.py",
    ),
    # Off-policy estimation.
    Fault(
        "sndr: its error is that of weights that are not normalised",
        "mlsd/ope/modelled.py",
        "log.weight / mean * (error - mended)",
        "log.weight / mean * error - mended",
        f"{OPE}modelled.py",
    ),
    Fault(
        "switch: a weight at the threshold is one above it",
        "mlsd/ope/modelled.py",
        "above = log.weight > limit",
        "above = log.weight >= limit",
        f"{OPE}modelled.py",
    ),
    Fault(
        "cascade: a place is weighted by itself alone",
        "mlsd/ope/slates.py",
        "ratio[start:stop] = running[at]",
        "pass",
        f"{OPE}slates.py",
    ),
    Fault(
        "ope: decisions of one user are taken as independent",
        "mlsd/ope/results.py",
        "    if unit is not None:\n        numerator",
        "    if unit is None:\n        numerator",
        f"{OPE}weighted.py",
    ),
]


def copy_of_the_house(folder: Path) -> None:
    for name in ("mlsd", "tests"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "references", ".hypothesis"),
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    # Compiled once for all faults; a file that is changed has another hash, and is compiled anew.
    compileall.compile_dir(
        folder / "mlsd", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
    )


def run(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    # The current folder comes first on the path: the copy is imported, not the installed package.
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *tests.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # none is needed, and they take a second
        },
        check=False,
    )


def without_a_fault(house: Path, tests: list[str]) -> str:
    """Return what fails already; nothing, if all is well."""
    clean = run(house, " ".join(tests))
    return (
        f"without a fault these fail already:\n{clean.stdout[-2000:]}" if clean.returncode else ""
    )


def verdict(house: Path, fault: Fault) -> str:
    """Return "noticed", "UNNOTICED", or what else became of the fault."""
    text = (house / fault.file).read_text(encoding="utf-8")
    if text.count(fault.right) != 1:
        return f"LOST, as {fault.right!r} is {text.count(fault.right)} times in {fault.file}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "house"
        shutil.copytree(house, folder)
        changed = text.replace(fault.right, fault.wrong)
        (folder / fault.file).write_text(changed, encoding="utf-8")
        done = run(folder, fault.tests)
    # Tests that fail notice it. An error of the collection (2) would notice any typing mistake.
    if done.returncode == 1:
        return "noticed"
    if done.returncode == 0:
        return "UNNOTICED"
    return f"pytest ended with {done.returncode}:\n{done.stdout[-1000:]}"


def main(wanted: str = "") -> int:
    faults = [fault for fault in FAULTS if wanted in fault.name]
    every = {test for fault in faults for test in fault.tests.split()}
    # Once for all faults; a file that one of them needs whole holds the tests that others name.
    needed = [
        test for test in sorted(every) if "::" not in test or test.split("::")[0] not in every
    ]
    begin, failures = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        house = Path(name)
        copy_of_the_house(house)
        clean = pool.submit(without_a_fault, house, needed)
        verdicts = pool.map(partial(verdict, house), faults)
        for fault, found in zip(faults, verdicts, strict=True):
            print(f"{found:9}  {fault.name}", flush=True)
            failures += found != "noticed"
        already = clean.result()
    print(f"{len(faults) - failures} of {len(faults)} faults were noticed, ", end="")
    print(f"in {time.perf_counter() - begin:.0f} s. {already}")
    return 1 if failures or already or not faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
