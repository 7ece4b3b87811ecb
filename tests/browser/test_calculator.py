"""The capacity calculator against mlsd.funnel.capacity, by keyboard, in both themes."""

from __future__ import annotations

import math

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from site_server import THEMES, WIDTHS

from mlsd.funnel.capacity import StageLoad, fan_out, mmc_mean, peak_qps, plan, tail_rule

PAGE = "chapters/approach/scale.html"
STAGES = ("Retrieve", "Light ranking", "Heavy ranking")
# As on the page when it is opened: the plan of the chapter.
START = {
    "users": "50,000,000",
    "requests": "10",
    "peak": "2",
    "items1": "1,000,000",
    "each1": "0.003",
    "fixed1": "1",
    "items2": "1,000",
    "each2": "10",
    "fixed2": "2",
    "items3": "100",
    "each3": "300",
    "fixed3": "2",
    "utilisation": "0.6",
    "cores": "16",
    "spare": "1",
    "price": "0.80",
    "shards": "100",
    "budget": "100",
}


@pytest.fixture(params=[("light", 1280)], ids=str)
def tab(request, browser, address):
    theme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    tab.complaints = []
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.goto(f"{address}/{PAGE}")
    expect(tab.locator("form[data-capacity]")).to_be_visible()
    yield tab
    assert tab.complaints == []
    context.close()


def write(tab, **inputs):
    """Replace what is in the fields, key by key."""
    for name, text in inputs.items():
        tab.locator(f"input[name={name}]").focus()
        tab.keyboard.press("Control+a")
        tab.keyboard.press("Delete")
        tab.keyboard.type(text)


def shown(tab):
    """Return each result as (number or None, text)."""
    found = tab.eval_on_selector_all(
        "[data-result]",
        "es => es.map(e => [e.dataset.result, e.dataset.value, e.textContent])",
    )
    return {name: (float(value) if value else None, text) for name, value, text in found}


def expected(inputs):
    """Return what the package says."""
    given = {
        name: float(text.replace(",", "")) if text else None
        for name, text in {**START, **inputs}.items()
    }
    qps = peak_qps(given["users"], given["requests"], peak_factor=given["peak"])
    found = plan(
        [
            StageLoad(name, given[f"items{at}"], given[f"each{at}"], given[f"fixed{at}"])
            for at, name in enumerate(STAGES, 1)
        ],
        qps,
        utilisation=given["utilisation"],
        cores_per_machine=int(given["cores"]),
        price_per_machine_hour=given["price"],
        spare_machines=int(given["spare"]),
        n_requests=1000,  # what it simulates is not on the page
    )
    rule = tail_rule([one.mean_ms for one in found.stages], [one.tail_ms for one in found.stages])
    results = {
        "qps": qps,
        "flight": found.in_flight,
        "machines": found.machines,
        "money": found.money_per_day,
        "mean": found.mean_ms,
        "rule": rule,
        "fits": float(rule <= given["budget"]),
        "tails": found.sum_of_tails_ms,
        "fanout": fan_out(int(given["shards"])),
    }
    for at, stage in enumerate(found.stages, 1):
        results |= {
            f"service{at}": stage.service_ms,
            f"busy{at}": stage.cores_busy,
            f"machines{at}": stage.machines,
            f"used{at}": stage.utilisation,
            f"mean{at}": stage.mean_ms,
            f"tail{at}": stage.tail_ms,
        }
    return results


def as_text(name, value):
    """Return what the page writes for a value."""
    if value is None:
        return "–"
    if name == "fits":
        return "yes" if value else "no"
    if math.isinf(value):
        return "without bound"
    if value >= 1000:
        return f"{math.floor(value + 0.5):,}"
    return f"{float(f'{value:.3e}'):.15g}"


def assert_agrees(tab, inputs):
    results = shown(tab)
    wanted = expected(inputs)
    assert results.keys() == wanted.keys()
    for name, value in wanted.items():
        number, text = results[name]
        assert number == (None if value is None else pytest.approx(value, rel=1e-9)), name
        assert text == as_text(name, number), name


CASES = {
    "as opened": {},
    "a small shop": {
        "users": "20000",
        "requests": "3.5",
        "peak": "4",
        "items1": "50000",
        "cores": "4",
        "spare": "0",
        "price": "0.12",
        "shards": "1",
        "budget": "75",
    },
    "a giant": {
        "users": "2e9",
        "requests": "40",
        "items1": "10,000,000",
        "price": "3.25",
        "shards": "2000",
        "budget": "302.5",
    },
    "nearly saturated": {"users": "5,756,400", "utilisation": "0.9999", "spare": "0"},
    "nothing to do in a stage": {"items2": "0", "fixed2": "0", "peak": "1"},
    "one core a machine": {"users": "86400", "requests": "1", "peak": "1", "cores": "1"},
    "free machines": {"price": "0"},
    "no price": {"price": ""},
    "just in time": {"budget": "172.06"},
    "just too late": {"budget": "172.05"},
    "a rounding error buys no machine": {
        "users": "90,720,000",
        "requests": "1",
        "items2": "1",
        "each2": "10000",
        "fixed2": "0",
        "utilisation": "0.7",
        "cores": "3",
        "spare": "0",
    },
    "slow and late": {"each3": "4000", "budget": "1,862", "utilisation": "0.35"},
}


@pytest.mark.parametrize("inputs", CASES.values(), ids=CASES.keys())
def test_every_result_is_that_of_the_package(tab, inputs):
    write(tab, **inputs)
    assert_agrees(tab, inputs)
    wanted = expected(inputs)
    summary = tab.locator("form[data-capacity] output")
    expect(summary).to_contain_text(f"{as_text('machines', wanted['machines'])} machines")
    budget = {**START, **inputs}["budget"]
    expect(summary).to_contain_text(
        f" Mean {as_text('mean', wanted['mean'])} ms; p99 by rule {as_text('rule', wanted['rule'])}"
        f" ms, {'within' if wanted['fits'] else 'over'} the budget of {budget}."
    )
    money = f"machines, {as_text('money', wanted['money'])} a day."
    expect(summary).to_contain_text("machines." if wanted["money"] is None else money)


def test_the_cases_differ_where_they_should():
    results = {name: expected(inputs) for name, inputs in CASES.items()}
    assert results["no price"]["money"] is None
    assert results["free machines"]["money"] == 0
    assert {found["fits"] for found in results.values()} == {0.0, 1.0}
    assert (results["just in time"]["fits"], results["just too late"]["fits"]) == (1.0, 0.0)
    # A mean within the budget does not let the verdict say so.
    assert results["as opened"]["mean"] < 100 < results["as opened"]["rule"]
    for found in results.values():
        assert max(found[f"tail{at}"] for at in (1, 2, 3)) < found["rule"] < found["tails"]
    assert results["nearly saturated"]["mean"] > 1000  # of 48 ms of service
    assert results["a giant"]["busy1"] > 50_000
    assert results["a rounding error buys no machine"]["machines2"] == 10


def test_what_the_page_opens_with(tab):
    values = tab.eval_on_selector_all(
        "form[data-capacity] input", "es => Object.fromEntries(es.map(e => [e.name, e.value]))"
    )
    assert values == START
    results = shown(tab)
    texts = {
        name: results[name][1] for name in ("qps", "machines", "money", "mean", "rule", "fits")
    }
    assert texts == {
        "qps": "11,574",
        "machines": "62",
        "money": "1,190",
        "mean": "48",
        "rule": "172.1",
        "fits": "no",
    }
    expect(tab.locator("form[data-capacity] output")).to_have_text(
        "11,574 requests a second at the peak: 62 machines, 1,190 a day. "
        "Mean 48 ms; p99 by rule 172.1 ms, over the budget of 100."
    )


def test_the_mean_of_a_stage_is_that_of_the_queue_with_several_servers(tab):
    inputs = CASES["nearly saturated"]
    write(tab, **inputs)
    qps, machines, mean = (shown(tab)[name][0] for name in ("qps", "machines3", "mean3"))
    servers = int(machines) * 16  # none of them is a spare
    assert mean == pytest.approx(mmc_mean(qps / 1000, 1 / 32, servers), rel=1e-9)
    assert mean > 33  # of 32 ms of service


def test_the_shards_change_the_chance_and_nothing_else(tab):
    before = shown(tab)
    write(tab, shards="7")
    after = shown(tab)
    assert {name for name in before if before[name] != after[name]} == {"fanout"}
    label = tab.locator("label[for=capacity-shards]")
    expect(label).to_contain_text("changes only the chance below, not the latency")


def test_a_queue_without_slack_has_no_bound(tab):
    # 1600 requests a second for 10 ms are 16 cores, all of one machine.
    inputs = {
        "users": "69,120,000",
        "requests": "1",
        "items2": "0",
        "fixed2": "10",
        "utilisation": "0.9999999999999999",
    }
    write(tab, **inputs)
    assert_agrees(tab, inputs)
    assert shown(tab)["tail2"] == (math.inf, "without bound")
    assert shown(tab)["rule"] == (math.inf, "without bound")
    assert shown(tab)["fits"] == (0, "no")
    expect(tab.locator("form[data-capacity] output")).to_contain_text(
        "Mean without bound; p99 by rule without bound, over the budget of 100."
    )


def test_more_cores_than_can_be_computed_are_not_computed(tab):
    write(tab, users="8e9", requests="1000", items1="1e9")
    results = shown(tab)
    assert results["tail1"] == results["mean"] == results["tails"] == results["rule"] == (None, "–")
    assert results["machines1"][0] > 1e7
    expect(tab.locator("form[data-capacity] output")).to_contain_text("look at the inputs again")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("users", "", "Enter a number."),
        ("users", "many", "Enter a number, such as 1000, 1,000, 1e3 or 0.5."),
        ("users", "0", "Enter a number above 0."),
        ("users", "-5", "Enter a number above 0."),
        ("users", "1e999", "Enter a smaller number."),
        ("requests", "1,5", "Enter a number, such as 1000, 1,000, 1e3 or 0.5."),
        ("peak", "0.5", "Enter at least 1."),
        ("items1", "-1", "Enter at least 0."),
        ("each2", "0x10", "Enter a number, such as 1000, 1,000, 1e3 or 0.5."),
        ("fixed3", "-1", "Enter at least 0."),
        ("utilisation", "1", "Enter a number between 0 and 1, neither included."),
        ("utilisation", "0", "Enter a number between 0 and 1, neither included."),
        ("cores", "2.5", "Enter a whole number."),
        ("cores", "0", "Enter at least 1."),
        ("spare", "-1", "Enter at least 0."),
        ("price", "-1", "Enter at least 0."),
        ("shards", "0", "Enter at least 1."),
        ("budget", "0", "Enter a number above 0."),
    ],
)
def test_an_input_that_cannot_be_used_is_named_and_mended(tab, name, text, message):
    write(tab, **{name: text})
    field = tab.locator(f"input[name={name}]")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert (
        field.evaluate(
            "e => document.getElementById(e.getAttribute('aria-describedby')).textContent"
        )
        == message
    )
    assert tab.locator("[aria-invalid]").count() == 1
    assert set(shown(tab).values()) == {(None, "–")}
    expect(tab.locator("form[data-capacity] output")).to_have_text(
        "No result: 1 of the inputs cannot be used."
    )
    write(tab, **{name: START[name]})
    assert tab.locator("[aria-invalid], [aria-describedby]").count() == 0
    assert_agrees(tab, {})


def test_the_tab_key_goes_through_the_fields_in_the_order_they_are_read(tab):
    tab.locator("input[name=users]").focus()
    order = []
    for _ in range(len(START) + 1):
        order.append(tab.evaluate("document.activeElement.name || document.activeElement.type"))
        tab.keyboard.press("Tab")
    assert order == [*START, "reset"]
    places = tab.eval_on_selector_all(
        "form[data-capacity] input",
        "es => es.map(e => [Math.round(e.getBoundingClientRect().y), e.getBoundingClientRect().x])",
    )
    assert places == sorted(places), "the eye reads in another order than the keyboard"


def test_the_button_brings_the_first_values_back(tab):
    write(tab, users="5", budget="x")
    tab.locator("input[name=budget]").focus()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    expect(tab.locator("[aria-invalid]")).to_have_count(0)
    test_what_the_page_opens_with(tab)
    assert_agrees(tab, {})


def test_enter_stays_on_the_page_and_nothing_is_asked_for(tab):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    where = tab.url
    write(tab, users="123456")
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(600)  # the summary has been said by then
    assert tab.url == where
    assert asked == []
    assert_agrees(tab, {"users": "123456"})


def test_each_field_has_a_label_and_room_to_touch(tab):
    for name in START:
        field = tab.locator(f"input[name={name}]")
        assert field.evaluate("e => e.labels.length") == 1
        assert field.bounding_box()["height"] >= 24


@pytest.mark.parametrize("tab", [(t, w) for t in THEMES for w in WIDTHS], ids=str, indirect=True)
@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_it_is_accessible_and_fits(tab, wrong):
    write(tab, users="8,000,000,000", requests="not a number" if wrong else "1,000")
    tab.locator("input[name=requests]").focus()
    tab.wait_for_timeout(600)
    sideways = tab.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert sideways <= 0
    inside = tab.evaluate(
        "(f => f.scrollWidth - f.clientWidth)(document.querySelector('form[data-capacity]'))"
    )
    assert inside <= 0, "something sticks out of the calculator"
    found = Axe().run(tab, context="form[data-capacity]").response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_without_javascript_a_sentence_says_so(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}/{PAGE}")
    assert not tab.locator("form[data-capacity]").is_visible()
    sentence = tab.locator("form[data-capacity] + noscript p")
    assert sentence.is_visible()
    assert "mlsd.funnel.capacity.plan" in sentence.inner_text()
    context.close()


def test_other_pages_are_left_alone(browser, address):
    tab = browser.new_page()
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{address}/chapters/index.html")
    assert tab.locator("form[data-capacity]").count() == 0
    assert tab.locator("script[src*='capacity.js']").count() == 1
    assert complaints == []
    tab.close()
