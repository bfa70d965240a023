// Print: all charts are there before anyone scrolls to them, and no table is cut
const paper = 1020; // CSS pixels between the margins of A4 on its side
const closed = new Set();
addEventListener("beforeprint", () => {
  explain(null);
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
