// Print: all charts are there before anyone scrolls to them, and no table is cut
const paper = 1020; // CSS pixels between the margins of A4 on its side
const closed = new Set();
const inks = ["--text", "--quiet", "--line", "--ground",
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `--c${i}`)];
const inked = []; // an element, its attribute and the colour that it had
function inksOf(theme) {
  const now = root.dataset.theme;
  root.dataset.theme = theme;
  const style = getComputedStyle(root);
  const found = inks.map((name) => style.getPropertyValue(name).trim());
  root.dataset.theme = now;
  return found;
}
function lighten() {
  // Charts cannot be made again meanwhile: a browser that prints waits for no promise.
  const light = inksOf("light");
  const paint = new Map(inksOf("dark").map((color, i) => [color, light[i]]));
  for (const element of all(".vega svg *")) {
    for (const name of ["fill", "stroke"]) {
      const color = element.getAttribute(name);
      if (!paint.has(color)) continue;
      inked.push([element, name, color]);
      element.setAttribute(name, paint.get(color));
    }
  }
}
addEventListener("beforeprint", () => {
  explain(null);
  if (isDark()) lighten();
  for (const part of all("details:not([open])").filter((e) => !e.closest(".vega"))) {
    closed.add(part);
    part.open = true;
  }
  for (const part of all("[data-protocol][hidden]")) {
    if (part.matches(".protocol")) { part.hidden = false; closed.add(part); }
  }
  for (const table of all("table")) {
    const width = Math.max(table.scrollWidth, 1);
    table.style.zoom = String(Math.min(1, paper / width));
  }
});
addEventListener("afterprint", () => {
  for (const part of closed) {
    if (part.matches("details")) part.open = false;
    else part.hidden = true;
  }
  closed.clear();
  for (const [element, name, color] of inked.splice(0)) element.setAttribute(name, color);
  all("table").forEach((table) => { table.style.zoom = ""; });
});
document.getElementById("print").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const theme = themes.value;
  button.disabled = true;
  themes.value = "light";
  await setTheme();
  await renderAll();
  print();
  themes.value = theme;
  setTheme();
  button.disabled = false;
});
const idle = globalThis.requestIdleCallback ?? ((call) => setTimeout(call, 50));
idle(() => renderAll());
