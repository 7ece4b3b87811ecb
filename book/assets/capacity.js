// The capacity calculator of the page on scale: the formulas of mlsd.funnel.capacity in the browser.
// tests/browser/test_calculator.py holds the two against each other.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form[data-capacity]");
  if (!form) return;

  const SECONDS_A_DAY = 86400;
  const TAIL = 0.99;
  // What a division leaves over in the last place must not buy a machine.
  const NOISE = 1e-12;
  // Beyond this the recursion over the servers would hold up the page.
  const MOST_SERVERS = 2e7;

  // Formulas. Rates are per millisecond and times in milliseconds, as in mlsd.funnel.capacity.plan.

  const erlangC = (load, servers) => {
    if (load >= servers) return 1;
    let blocked = 1;
    for (let k = 1; k <= servers; k += 1) blocked = (load * blocked) / (k + load * blocked);
    return blocked / (1 - (load / servers) * (1 - blocked));
  };

  const timeInStage = (arrival, service, servers) => {
    if (service === 0) return { mean: 0, tail: 0 };
    if (servers > MOST_SERVERS) return { mean: null, tail: null };
    const rate = 1 / service;
    const slack = servers * rate - arrival;
    if (slack <= 0) return { mean: Infinity, tail: Infinity };
    const waiting = erlangC(arrival / rate, servers);
    const slower = Math.min(rate, slack);
    const apart = Math.abs(slack - rate);
    const later = (time) => {
      const gap = apart * time;
      const mixed = gap > 0 ? -Math.expm1(-gap) / gap : 1;
      return Math.exp(-rate * time) + waiting * rate * time * Math.exp(-slower * time) * mixed;
    };
    let low = 0;
    let high = service;
    while (later(high) > 1 - TAIL) [low, high] = [high, 2 * high];
    let middle = (low + high) / 2;
    while (low < middle && middle < high) {
      [low, high] = later(middle) > 1 - TAIL ? [middle, high] : [low, middle];
      middle = (low + high) / 2;
    }
    return { mean: service + waiting / slack, tail: middle };
  };

  const sum = (values) => (values.includes(null) ? null : values.reduce((a, b) => a + b, 0));

  // What the tails have above the means adds like independent errors: tail_rule in the package.
  const tailRule = (means, tails) => {
    const mean = sum(means);
    if (mean === null || mean === Infinity) return mean;
    return mean + Math.hypot(...tails.map((tail, at) => tail - means[at]));
  };

  const plan = (given) => {
    const qps = ((given.users * given.requests) / SECONDS_A_DAY) * given.peak;
    const stages = [1, 2, 3].map((at) => {
      const service = given[`fixed${at}`] + (given[`items${at}`] * given[`each${at}`]) / 1000;
      const busy = (qps * service) / 1000;
      const wanted = busy / given.utilisation / given.cores;
      const needed = Math.max(1, Math.ceil(wanted * (1 - NOISE)));
      const servers = needed * given.cores;
      const { mean, tail } = timeInStage(qps / 1000, service, servers);
      return { service, busy, machines: needed + given.spare, used: busy / servers, mean, tail };
    });
    const machines = sum(stages.map((stage) => stage.machines));
    const means = stages.map((stage) => stage.mean);
    const tails = stages.map((stage) => stage.tail);
    const mean = sum(means);
    const rule = tailRule(means, tails);
    const results = {
      qps,
      mean,
      rule,
      machines,
      flight: mean === null ? null : (qps / 1000) * mean,
      tails: sum(tails),
      fanout: -Math.expm1(given.shards * Math.log(TAIL)),
      money: given.price === null ? null : machines * 24 * given.price,
      fits: rule === null ? null : Number(rule <= given.budget),
    };
    stages.forEach((stage, at) => {
      ["service", "busy", "machines", "used", "mean", "tail"].forEach((name) => {
        results[`${name}${at + 1}`] = stage[name];
      });
    });
    return results;
  };

  // Reading: what the field says of itself in its data attributes.

  const read = (field) => {
    const text = field.value.trim();
    const { least, above, below, whole, optional } = field.dataset;
    if (text === "") return optional === undefined ? { error: "Enter a number." } : { value: null };
    const grouped = /^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$/.test(text);
    const plain = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text);
    if (!grouped && !plain) return { error: "Enter a number, such as 1000, 1,000, 1e3 or 0.5." };
    const value = Number(text.replaceAll(",", ""));
    if (!Number.isFinite(value)) return { error: "Enter a smaller number." };
    if (whole !== undefined && !Number.isInteger(value)) return { error: "Enter a whole number." };
    if (above !== undefined && below !== undefined && !(value > +above && value < +below)) {
      return { error: `Enter a number between ${above} and ${below}, neither included.` };
    }
    if (above !== undefined && !(value > +above)) return { error: `Enter a number above ${above}.` };
    if (least !== undefined && value < +least) return { error: `Enter at least ${least}.` };
    return { value };
  };

  const mark = (field, error) => {
    const message = document.getElementById(`${field.id}-error`);
    message.textContent = error ?? "";
    if (error) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", message.id);
    } else {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
    }
  };

  // Writing: four significant digits, and from a thousand on whole numbers.

  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    if (value === Infinity) return "without bound";
    if (Math.abs(value) >= 1000) {
      return value < 1e15 ? Math.round(value).toLocaleString("en-US") : value.toExponential(3);
    }
    return String(Number(value.toPrecision(4)));
  };

  // What the reader typed is not rounded.
  const exactly = (value) =>
    value < 1e15 ? value.toLocaleString("en-US", { maximumFractionDigits: 20 }) : shown(value);

  const milliseconds = (value) => (value === Infinity ? shown(value) : `${shown(value)} ms`);

  const sentence = (results, budget) => {
    if (results.rule === null) {
      return "More cores than this page can compute the waiting for: look at the inputs again.";
    }
    const money = results.money === null ? "" : `, ${shown(results.money)} a day`;
    const fit = results.fits ? "within the budget" : "over the budget";
    return (
      `${shown(results.qps)} requests a second at the peak: ${shown(results.machines)} machines` +
      `${money}. Mean ${milliseconds(results.mean)}; p99 by rule ${milliseconds(results.rule)}, ` +
      `${fit} of ${exactly(budget)}.`
    );
  };

  const fields = [...form.querySelectorAll("input")];
  const cells = [...form.querySelectorAll("[data-result]")];
  const summary = form.querySelector("output");
  let speaking;

  const say = (text) => {
    // A reader who types is not talked over.
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      if (summary.textContent !== text) summary.textContent = text;
    }, 400);
  };

  const update = () => {
    const given = {};
    let wrong = 0;
    fields.forEach((field) => {
      const { value, error } = read(field);
      mark(field, error);
      given[field.name] = value;
      wrong += error ? 1 : 0;
    });
    const results = wrong ? {} : plan(given);
    cells.forEach((cell) => {
      const value = results[cell.dataset.result];
      const isAnswer = cell.dataset.result === "fits" && typeof value === "number";
      cell.textContent = isAnswer ? (value ? "yes" : "no") : shown(value);
      cell.dataset.value = value ?? "";
    });
    say(wrong ? `No result: ${wrong} of the inputs cannot be used.` : sentence(results, given.budget));
  };

  form.addEventListener("input", update);
  // The fields take their first values after this event.
  form.addEventListener("reset", () => setTimeout(update));
  form.hidden = false;
  update();
});
