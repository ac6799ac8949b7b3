// Sort and filter tables, show values under the pointer, walk through confusion matrices with the arrow keys.
"use strict";

// Numbers are in columns of the class "n" or in data-value; a cell without one is below all others.
const value = (row, column, numeric) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (!numeric) return text;
  const number = parseFloat(text);
  return Number.isNaN(number) ? -Infinity : number;
};

const collator = new Intl.Collator(undefined, { numeric: true });
const compare = (a, b) => {
  if (typeof a === "string") return collator.compare(a, b);
  return a === b ? 0 : a - b; // two cells without a number are equal
};

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const numeric = head.classList.contains("n") || body.rows[0]?.cells[column].dataset.value !== undefined;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numeric; // first the largest number, or A
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keys = new Map([...body.rows].map((row) => [row, value(row, column, numeric)]));
      const sign = down ? -1 : 1;
      body.append(...[...body.rows].sort((a, b) => sign * compare(keys.get(a), keys.get(b))));
    });
  });
}

// A table with data-filter gets a field of that name: rows with all its words are shown.
for (const table of document.querySelectorAll("table[data-filter]")) {
  const rows = [...table.tBodies[0].rows].map((row) => [
    row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]);
  const field = Object.assign(document.createElement("input"), { type: "search" });
  const found = document.createElement("output");
  const label = Object.assign(document.createElement("label"), { className: "filter" });
  label.append(table.dataset.filter, field, found);
  (table.closest(".wide") ?? table).before(label);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    found.textContent = words.length ? `${shown} of ${rows.length}` : "";
  });
}

const tip = document.getElementById("tip");
const showTip = (target) => {
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  const box = target.getBoundingClientRect();
  const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 6}px`;
};
document.addEventListener("pointerover", (event) => {
  const target = event.target.closest("[data-tip]");
  if (target) showTip(target);
  else tip.hidden = true;
});

for (const matrix of document.querySelectorAll("svg.matrix")) {
  const labels = JSON.parse(matrix.dataset.labels);
  const readout = document.getElementById(matrix.getAttribute("aria-describedby"));
  const cells = new Map([...matrix.querySelectorAll("rect.c")].map((cell) => [cell.dataset.at, cell]));
  let [y, x] = [0, 0];
  const select = () => {
    for (const cell of cells.values()) cell.classList.remove("at");
    const cell = cells.get(`${y},${x}`);
    cell?.classList.add("at");
    const count = cell?.dataset.count ?? "0";
    const share = cell ? ` (${Math.round(100 * cell.dataset.share)} % of the class)` : "";
    readout.textContent = `${labels[y]}, recognised as ${labels[x]}: ${count}${share}`;
  };
  matrix.addEventListener("pointermove", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      matrix.querySelector("g.cells").getScreenCTM().inverse());
    const [row, column] = [point.y, point.x].map((at) => Math.floor(at / matrix.dataset.cell));
    if (row < 0 || column < 0 || row >= labels.length || column >= labels.length) return;
    [y, x] = [row, column];
    select();
  });
  matrix.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    y = Math.min(labels.length - 1, Math.max(0, y + step[0]));
    x = Math.min(labels.length - 1, Math.max(0, x + step[1]));
    select();
  });
}

// A link into a closed run opens it.
const open = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();

// Snakemake's report holds pages as data: there a link to a file next to this one leads nowhere.
if (location.protocol === "data:")
  for (const link of document.querySelectorAll("main a[href]"))
    if (!/^(#|\w+:)/.test(link.getAttribute("href"))) link.replaceWith(...link.childNodes);
