// Two runs, image by image: the numbers of robust.results.comparing.paired, for any two runs
function bitsOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return (i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1;
}
function wilson(hits, n) {
  const z2 = page.z95 ** 2;
  const centre = (hits + z2 / 2) / (n + z2);
  const half = page.z95 / (n + z2) * Math.sqrt(hits * (n - hits) / n + z2 / 4);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
function newcombe(one, other, onlyOne, onlyOther, n) {
  const [p, q] = [one / n, other / n];
  const [[low1, high1], [low2, high2]] = [wilson(one, n), wilson(other, n)];
  const margins = one * (n - one) * other * (n - other);
  const both = one - onlyOne;
  const product = both * (n - both - onlyOne - onlyOther) - onlyOne * onlyOther;
  const corrected = product > 0 ? Math.max(product - n / 2, 0) : product;
  const phi = margins ? corrected / Math.sqrt(margins) : 0;
  const reach = (a, b) => Math.sqrt(Math.max(0, a * a - 2 * phi * a * b + b * b));
  return [Math.max(-1, p - q - reach(p - low1, high2 - q)),
    Math.min(1, p - q + reach(high1 - p, q - low2))];
}
function mcnemar(onlyOne, onlyOther) {
  const n = onlyOne + onlyOther;
  let term = -n * Math.LN2; // logarithm of the share of n tosses that are 0 heads
  let sum = 0;
  for (let heads = 0; heads <= Math.min(onlyOne, onlyOther); heads += 1) {
    sum += Math.exp(term);
    term += Math.log((n - heads) / (heads + 1));
  }
  return Math.min(1, 2 * sum);
}
function paired(pairs, one, other, what) {
  const [a, b] = [pairs.runs[one], pairs.runs[other]];
  const [hasA, hasB] = [bitsOf(a.has), bitsOf(b.has)];
  const [rightA, rightB] = [bitsOf(a.right[what]), bitsOf(b.right[what])];
  const found = { n: 0, one: 0, other: 0, onlyOne: [], onlyOther: [] };
  pairs.index.forEach((index, i) => {
    if (!hasA(i) || !hasB(i)) return;
    found.n += 1;
    found.one += rightA(i);
    found.other += rightB(i);
    if (rightA(i) && !rightB(i)) found.onlyOne.push(index);
    if (rightB(i) && !rightA(i)) found.onlyOther.push(index);
  });
  const counts = [found.onlyOne.length, found.onlyOther.length];
  found.interval = found.n ? newcombe(found.one, found.other, ...counts, found.n) : [-1, 1];
  found.p = mcnemar(...counts);
  return found;
}
function make(tag, text, ...children) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...children);
  return element;
}
const percent = (value) => (100 * value).toFixed(1);
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
function rateCell(hits, n) {
  if (!n) return make("td", "–");
  const [low, high] = wilson(hits, n);
  return make("td", "", make("span", percent(hits / n)),
    make("small", `${percent(low)}–${percent(high)}`));
}
function pairRow(what, found) {
  const row = make("tr", "");
  const head = make("th", what);
  head.scope = "row";
  const [low, high] = found.interval;
  row.append(head, rateCell(found.one, found.n), rateCell(found.other, found.n),
    make("td", "", make("span", found.n ? signed((found.one - found.other) / found.n) : "–"),
      make("small", `${signed(low)} to ${signed(high)}`)),
    make("td", found.onlyOne.length), make("td", found.onlyOther.length),
    make("td", found.p < 1e-4 ? found.p.toExponential(1) : found.p.toPrecision(2)),
    make("td", found.n));
  return row;
}
function under(places, what, index) {
  return what === "every view"
    ? Object.values(places).map((images) => images[index]).find(Boolean) : places[what]?.[index];
}
function storyOf(pairs, run, what, index) {
  const { clean, ...attacked } = pairs.first[run];
  if (clean[index]) return { text: `${clean[index][0]} without an attack` };
  const kept = pairs.adversarials[run];
  const place = kept && under(kept.places, what, index);
  const led = place ? place.slice(1) : under(attacked, what, index);
  if (!led) return { text: "" };
  return { text: `${led[0]} under ${pairs.attacks[led[1]]}`, url: kept?.url, place: place?.[0],
    missing: !place };
}
function picture({ width, height, columns }, url, place, name) {
  const thumbnail = make("div", "");
  const scale = Math.max(1, Math.round(56 / width));
  const [x, y] = [place % columns, Math.floor(place / columns)];
  thumbnail.className = "thumbnail";
  thumbnail.setAttribute("role", "img");
  thumbnail.setAttribute("aria-label", name);
  thumbnail.style.width = `${scale * width}px`;
  thumbnail.style.height = `${scale * height}px`;
  thumbnail.style.backgroundImage = `url(${url})`;
  thumbnail.style.backgroundSize = `${scale * width * columns}px auto`;
  thumbnail.style.backgroundPosition = `${-x * scale * width}px ${-y * scale * height}px`;
  return thumbnail;
}
function tile(pairs, index, loser, what) {
  const { thumbnails } = pairs;
  const box = make("figure", "");
  const story = storyOf(pairs, loser, what, index);
  const images = make("div", "");
  images.className = "images";
  if (thumbnails && index < thumbnails.count) {
    images.append(picture(thumbnails, thumbnails.url, index, `Test image ${index}`));
    if (story.place !== undefined) {
      images.append(picture(thumbnails, story.url, story.place,
        `Test image ${index} as it fools ${loser}: ${story.text}`));
    }
    box.append(images);
  }
  const told = [`${index}: class ${pairs.labels[index]}`];
  if (story.text) told.push(`${story.place === undefined ? "" : "fools "}${loser}: ${story.text}`);
  if (story.missing) told.push("adversarial image not stored");
  box.append(make("figcaption", "", ...told.map((line) => make("span", line))));
  return box;
}
function onlyPart(pairs, keeper, loser, images, what) {
  const part = make("section", "");
  const heading = images.length
    ? `${images.length} image${images.length > 1 ? "s" : ""} that ${keeper} keeps and ${loser} loses`
    : `${loser} loses no image that ${keeper} keeps`;
  part.append(make("h5", `${heading} (${what})`));
  const known = images.filter((index) => index in pairs.labels).slice(0, 16);
  const tiles = make("div", "", ...known.map((index) => tile(pairs, index, loser, what)));
  tiles.className = "tiles";
  part.append(tiles);
  const rest = images.filter((index) => !known.includes(index));
  if (rest.length) {
    const more = rest.length > 40 ? ` and ${rest.length - 40} more` : "";
    const list = make("p", `${known.length ? "And" : "Images"} ${rest.slice(0, 40).join(", ")}${more}.`);
    list.className = "quiet";
    part.append(list);
  }
  return part;
}
all(".compare").forEach((box) => {
  const pairs = page.pairs[box.dataset.protocol];
  const [one, other, what] = ["one", "other", "what"].map((n) => box.querySelector(`[name=${n}]`));
  const show = () => {
    const [a, b] = [pairs.runs[one.value], pairs.runs[other.value]];
    const views = Object.keys(a.right).filter((view) => view in b.right);
    const kept = [what.value, "adaptive", views[0]].find((view) => views.includes(view));
    what.replaceChildren(...views.map((view) => new Option(view, view, false, view === kept)));
    const found = Object.fromEntries(views.map((view) =>
      [view, paired(pairs, one.value, other.value, view)]));
    box.querySelector("caption").textContent =
      `${one.value} against ${other.value}: images classified correctly, %`;
    box.querySelector("tbody").replaceChildren(...views.map((view) => pairRow(view, found[view])));
    const { onlyOne, onlyOther } = found[what.value];
    box.querySelector(".only").replaceChildren(
      onlyPart(pairs, one.value, other.value, onlyOne, what.value),
      onlyPart(pairs, other.value, one.value, onlyOther, what.value));
  };
  other.selectedIndex = 1;
  [one, other, what].forEach((select) => select.addEventListener("input", show));
  show();
});
