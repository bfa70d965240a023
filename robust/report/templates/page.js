"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const store = {
  // A page from a file may have no storage. Then nothing is kept between two loads.
  get(key) { try { return sessionStorage.getItem(location.pathname + key); } catch { return null; } },
  set(key, value) {
    try { sessionStorage.setItem(location.pathname + key, value); } catch { /* nothing to keep */ }
  },
};
const views = new Map(); // from an element to the chart in it
const started = new Map(); // from an element to the promise of its chart
let shown = null;
let picked = "";

// Theme
const system = matchMedia("(prefers-color-scheme: dark)");
const themes = document.getElementById("theme");
function isDark() { return themes.value ? themes.value === "dark" : system.matches; }
function setTheme() {
  root.dataset.theme = isDark() ? "dark" : "light";
  store.set("theme", themes.value);
  return Promise.all([...started.keys()].map(render));
}
function chartConfig() {
  const style = getComputedStyle(root);
  const color = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: color("--quiet"), titleColor: color("--text") };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: color("--line"), domainColor: color("--quiet"),
      tickColor: color("--line"), titleFontWeight: 500, titleFontSize: 12, labelFontSize: 11 },
    legend: { ...text, titleFontWeight: 500, symbolBaseFillColor: color("--quiet"),
      symbolBaseStrokeColor: color("--quiet") },
    text: { color: color("--text") },
    range: { category: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => color(`--c${i}`)) },
  };
}

// Charts
function rowsOf(columns) {
  const plain = Object.entries(columns).map(([name, column]) =>
    [name, Array.isArray(column) ? column : column.codes.map((code) => column.words[code])]);
  const count = plain.length ? plain[0][1].length : 0;
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(plain.map(([name, values]) => [name, values[i]])));
}
function overlapOf(element) {
  const box = element.closest(".overlap");
  const { attacks, counts } = page.overlaps[box.dataset.protocol];
  const [run, view] = ["run", "view"].map((name) => box.querySelector(`[name=${name}]`).value);
  const matrix = counts[run][view];
  const hasSuccess = matrix.some((row, i) => row[i] > 0);
  box.querySelector("[data-empty]").hidden = hasSuccess;
  element.hidden = !hasSuccess;
  const rows = attacks.flatMap((row, i) => attacks.map((column, j) => ({
    row, column, both: matrix[i][j], own: matrix[i][i], share: 100 * matrix[i][j] / matrix[i][i],
  })));
  return { title: `Images misclassified under two attacks: ${run}, ${view} view`, spec: "overlap",
    data: { data: rows } };
}
function render(element) {
  // One after the other, so that an older chart never replaces a newer one.
  const made = (started.get(element) ?? Promise.resolve()).then(() => renderNow(element));
  started.set(element, made);
  return made;
}
async function renderAll() {
  for (const element of all(".vega")) {
    await (started.get(element) ?? render(element));
    await new Promise((done) => setTimeout(done));
  }
}
async function renderNow(element) {
  const chart = element.dataset.chart ? page.charts[element.dataset.chart] : overlapOf(element);
  const data = Object.entries(chart.data).map(([name, columns]) =>
    [name, Array.isArray(columns) ? columns : rowsOf(columns)]);
  const most = Math.max(...data.map(([, rows]) => rows.length));
  const spec = { ...page.specs[chart.spec], description: chart.title,
    datasets: Object.fromEntries(data) };
  const isHidden = !element.checkVisibility();
  if (isHidden && spec.width === "container") spec.width = 560; // which it has nowhere yet
  element.classList.toggle("blind", isHidden);
  const old = views.get(element);
  if (old) old.finalize();
  const made = await vegaEmbed(element, spec, {
    actions: { export: true, source: false, compiled: false, editor: false },
    ast: true, // without eval, which the page forbids itself
    config: chartConfig(),
    logLevel: 1, // errors; it warns of charts from which the filters took all runs
    downloadFileName: chart.title.replace(/\W+/g, "_"),
    renderer: most > 4000 ? "canvas" : "svg",
  });
  element.querySelector("summary")?.setAttribute("aria-label", `Save the chart: ${chart.title}`);
  views.set(element, made);
  await update(made.view);
}
function update(view) {
  const known = view.getState().signals;
  if (!("shown" in known)) return null;
  const ground = getComputedStyle(root).getPropertyValue("--ground").trim();
  return view.signal("shown", shown).signal("picked", picked).signal("ground", ground).runAsync();
}
function updateAll() { return Promise.all([...views.values()].map(({ view }) => update(view))); }
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const isThere = started.has(target) && !target.matches(".blind");
    if (isIntersecting && !isThere) { near.unobserve(target); render(target); }
  }
}, { rootMargin: "300px" });

// Table
const body = document.querySelector("#table tbody");
const rows = [...body.rows];
function sortBy(column, descending) {
  // Rates of a guessing network, or of a few images, rank above no others.
  const isWeak = (row) => row.cells[column].matches(".number") && "weak" in row.dataset;
  const value = (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent.trim().toLowerCase();
    return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const sign = descending ? -1 : 1;
  const sorted = [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last
    if (isWeak(one) !== isWeak(other)) return isWeak(one) - isWeak(other);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b)));
  });
  body.append(...sorted);
  all("#table thead tr:last-child th").forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  store.set("sort", JSON.stringify([column, descending]));
}
all("#table thead button").forEach((button, column) => button.addEventListener("click", () => {
  const sort = button.parentElement.getAttribute("aria-sort");
  const isNumber = rows.some((row) => row.cells[column].classList.contains("number"));
  sortBy(column, sort ? sort === "ascending" : isNumber);
}));

// Filters
const filters = document.getElementById("filters");
const keys = ["protocol", "data", "defense", "verdict"];
function filter() {
  const wanted = Object.fromEntries(new FormData(filters));
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  const labels = new Set();
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = keys.every((key) => !wanted[key] || row.dataset[key] === wanted[key])
      && words.every((word) => text.includes(word));
    row.hidden = !fits;
    if (fits) { count += 1; labels.add(row.dataset.label).add(row.dataset.run); }
  }
  shown = count === rows.length ? null : [...labels];
  document.getElementById("count").textContent = `${count} of ${rows.length} rows`;
  all(".album figure, .settings tbody tr").forEach((element) => {
    element.hidden = shown !== null && !labels.has(element.dataset.run);
  });
  store.set("filters", JSON.stringify(wanted));
  return updateAll();
}
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("input", (event) => {
  if (event.target.name === "protocol" && event.target.value) showProtocol(event.target.value);
  filter();
});
filters.addEventListener("reset", () => setTimeout(filter));

// What a column or a name means, where the pointer or the focus is
const tip = document.getElementById("tip");
let explained = null;
function explain(element) {
  if (explained) explained.removeAttribute("aria-describedby");
  explained = element;
  tip.hidden = !element;
  if (!element) return;
  tip.textContent = element.dataset.tip;
  element.setAttribute("aria-describedby", "tip");
  place();
}
function place() {
  if (!explained) return;
  const box = explained.getBoundingClientRect();
  const left = Math.min(box.left, innerWidth - tip.offsetWidth - 8);
  const below = box.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below ? box.bottom + 6 : box.top - tip.offsetHeight - 6}px`;
}
for (const event of ["mouseover", "focusin"]) {
  document.addEventListener(event, ({ target }) => {
    const found = target.closest?.("[data-tip]");
    if (found?.dataset.tip) explain(found);
    else if (event === "mouseover" && explained !== document.activeElement) explain(null);
  });
}
document.addEventListener("focusout", () => explain(null));
// The focus may scroll to what it is on.
document.addEventListener("scroll", place, { capture: true, passive: true });
document.addEventListener("keydown", ({ key }) => { if (key === "Escape") explain(null); });

// Highlight
function pick(name) {
  picked = name;
  all("[data-pick]").forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.pick === picked)));
  store.set("picked", picked);
  updateAll();
}
all("[data-pick]").forEach((button) => button.addEventListener("click", () =>
  pick(picked === button.dataset.pick ? "" : button.dataset.pick)));

// Protocols
const chooser = document.getElementById("protocols");
function showProtocol(key) {
  if (!chooser) return;
  chooser.value = key;
  all(".protocol").forEach((part) => { part.hidden = part.dataset.protocol !== key; });
  store.set("protocol", key);
}
all(".overlap").forEach((box) => {
  const [run, view] = ["run", "view"].map((name) => box.querySelector(`[name=${name}]`));
  const fill = () => {
    const names = Object.keys(page.overlaps[box.dataset.protocol].counts[run.value]);
    const kept = [view.value, "adaptive", names[0]].find((name) => names.includes(name));
    view.replaceChildren(...names.map((name) => new Option(name, name, false, name === kept)));
  };
  const element = box.querySelector(".vega");
  fill();
  run.addEventListener("input", () => { fill(); render(element); });
  view.addEventListener("input", () => render(element));
});

// Start as the older page was left
function restored(key) {
  try { return JSON.parse(store.get(key)); } catch { return null; }
}
themes.value = store.get("theme") ?? "";
setTheme();
themes.addEventListener("input", setTheme);
system.addEventListener("change", setTheme);
for (const [name, value] of Object.entries(restored("filters") ?? {})) {
  const control = filters.elements.namedItem(name);
  if (control) {
    control.value = value;
    if (control.selectedIndex === -1) control.value = "";
  }
}
if (chooser) {
  chooser.addEventListener("input", () => showProtocol(chooser.value));
  const kept = store.get("protocol");
  showProtocol(kept in page.overlaps ? kept : chooser.options[0].value);
}
const sort = restored("sort");
const before = store.get("picked");
if (before && all("[data-pick]").some((button) => button.dataset.pick === before)) pick(before);
if (sort && sort[0] < all("#table thead button").length) sortBy(...sort);
filter();
for (const element of all(".vega")) {
  // Reserve its height, so that nothing moves when it appears.
  const spec = page.specs[element.dataset.chart ? page.charts[element.dataset.chart].spec : ""];
  if (spec) element.style.minHeight = `${spec.height + 60}px`;
  near.observe(element);
}

// Follow the runs
if ("watched" in document.body.dataset) {
  const live = document.getElementById("live");
  let first = null;
  const look = async () => {
    try {
      const version = await (await fetch("version", { cache: "no-store" })).text();
      first ??= version;
      live.textContent = "following the runs";
      if (version !== first) location.reload();
    } catch {
      live.textContent = "the server has ended";
    }
  };
  look();
  setInterval(look, 3000);
}
