// Small cures for the theme, each for a finding of the accessibility check, and open folds on paper.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // docutils calls a bibliography a list whose children are no list items.
  document.querySelectorAll(".citation-list[role=list]").forEach((list) => list.removeAttribute("role"));

  // The corner of a pandas table is an empty heading.
  document.querySelectorAll("table.dataframe thead th").forEach((cell) => {
    if (!cell.textContent.trim()) {
      const corner = document.createElement("td");
      cell.replaceWith(corner);
    }
  });

  // Words in a frame begin at the left, numbers end at the right.
  const number = /^[-+−]?[\d.,]+(e[-+]?\d+)?\s?%?$|^(nan|NaN|<NA>|NaT|-|inf)?$/;
  document.querySelectorAll("table.dataframe").forEach((table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const heads = [...(table.tHead?.rows ?? [])];
    // Counted from the right, as a spanning index leaves later rows with fewer cells.
    const width = Math.max(0, ...rows.map((row) => row.querySelectorAll("td").length));
    for (let fromRight = 1; fromRight <= width; fromRight += 1) {
      const cells = rows.map((row) => [...row.querySelectorAll("td")].at(-fromRight)).filter(Boolean);
      if (cells.some((cell) => !number.test(cell.textContent.trim()))) {
        const titles = heads.filter((row) => ![...row.cells].some((cell) => cell.colSpan > 1));
        [...cells, ...titles.map((row) => [...row.cells].at(-fromRight)).filter(Boolean)].forEach(
          (cell) => cell.classList.add("words"),
        );
      }
    }
  });

  // What scrolls sideways can be reached and scrolled from the keyboard.
  const reachable = () =>
    document
      .querySelectorAll("div.math, .cell_output .output, .cell_output pre, pre, .pst-scrollable-table-container")
      .forEach((box) => {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      });
  reachable();
  window.addEventListener("resize", reachable);
  window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(reachable));
});

window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((details) => {
    details.open = true;
    details.dataset.folded = "";
  });
});

window.addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-folded]").forEach((details) => {
    details.open = false;
    delete details.dataset.folded;
  });
});
