// The filter, and the parts of the page that depend on it. Text from files is inserted as text, never as mark-up.
const page = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const percent = (fraction) => `${(100 * fraction).toFixed(1)}\u00a0%`;
const state = { threshold: 0, classes: new Set() };

const symbology = {
  // A tile with a corrected label has no confidence: it is always shown.
  isAboveThreshold: (tile) => page.confidence[tile] === null || page.confidence[tile] >= state.threshold - 1e-9,
  isShown(tile) {
    const label = page.label[tile];
    if (label < 0) return state.classes.size === 0;
    return (state.classes.size === 0 || state.classes.has(label)) && symbology.isAboveThreshold(tile);
  },
  colour(tile) {
    if (!symbology.isShown(tile)) return null;
    return symbology.isFaint(tile) ? page.none[0] : page.classes[page.label[tile]][1];
  },
  isFaint: (tile) => page.label[tile] < 0 || page.classes[page.label[tile]][1] === page.none[0],
};

const histogram = new Histogram(find("histogram"), find("histogram-text"));
const pieces = new ImagePieces(page, () => {
  map.redraw();
  drawCrop(map.selected);
});
const map = new TileMap(find("map"), page, pieces, symbology, showTile);

// One number of decimals for a whole column, by the area of all tiles; see hectare_decimals in report_page.py.
const decimalsFor = (all) => (all >= 1000 ? 0 : all >= 100 ? 1 : all >= 1 ? 2 : 4);
const columnDecimals = decimalsFor(page.area.reduce((sum, area) => sum + (area || 0), 0));

function hectares(value, decimals = columnDecimals) {
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function update() {
  const counts = new Array(page.classes.length).fill(0), areas = new Array(page.classes.length).fill(0);
  const values = [];
  let labelled = 0, shown = 0, area = 0;
  page.label.forEach((label, tile) => {
    if (label < 0) return;
    labelled++;
    if ((state.classes.size === 0 || state.classes.has(label)) && page.confidence[tile] !== null) values.push(page.confidence[tile]);
    if (!symbology.isAboveThreshold(tile)) return;
    counts[label]++;
    areas[label] += page.area[tile] || 0;
    if (!symbology.isShown(tile)) return;
    shown++;
    area += page.area[tile] || 0;
  });
  for (const row of document.querySelectorAll("#classes tbody tr")) {
    const number = Number(row.dataset.class), [, tiles, percentage, areaCell] = row.children;
    tiles.textContent = count(counts[number]);
    tiles.title = `${count(counts[number])} of ${tiles.dataset.count}`;
    percentage.textContent = percent(counts[number] / Math.max(1, labelled));
    if (areaCell) areaCell.textContent = hectares(areas[number]);
    const isPressed = state.classes.has(number);
    row.querySelector("button").setAttribute("aria-pressed", String(isPressed));
    row.classList.toggle("off", state.classes.size > 0 && !isPressed);
  }
  find("total-count").textContent = count(shown);
  find("total-share").textContent = percent(shown / Math.max(1, labelled));
  if (find("total-hectares")) find("total-hectares").textContent = hectares(area);
  find("shown").textContent = `${count(shown)} of ${count(labelled)} labelled tiles shown`;
  find("threshold-value").textContent = `${Math.round(100 * state.threshold)} %`;
  find("all").disabled = state.classes.size === 0;
  histogram.draw(values, state.threshold);
  if (map.selected >= 0 && !symbology.isShown(map.selected)) map.select(-1);
  map.redraw();
}

function addFact(name, value) {
  const term = document.createElement("dt"), description = document.createElement("dd");
  term.textContent = name;
  description.textContent = value;
  find("tile-facts").append(term, description);
}

function showTile(tile) {
  find("no-tile").hidden = tile >= 0;
  find("one-tile").hidden = tile < 0;
  if (tile < 0) return;
  const label = page.label[tile], heading = find("tile-label");
  const text = (number) => (number < 0 ? "" : page.texts[number]);
  const swatch = histogram.part("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" });
  swatch.append(histogram.part("rect", { width: 10, height: 10, rx: 2, fill: label < 0 ? page.none[0] : page.classes[label][1] }));
  heading.replaceChildren(swatch, label < 0 ? "no label" : page.classes[label][0]);
  find("tile-caption").textContent = text(page.caption[tile]) && `“${text(page.caption[tile])}”`;
  find("tile-facts").replaceChildren();
  if (page.reason[tile] >= 0) addFact("Reason", text(page.reason[tile]));
  if (tile in page.was) addFact("Corrected", `by hand, predicted: ${page.was[tile] || "no label"}`);
  else if (page.confidence[tile] !== null) addFact("Confidence", percent(page.confidence[tile]));
  page.runners[tile].forEach(([name, confidence], rank) => {
    addFact(rank ? "" : "Runner-up", text(name) + (confidence === null ? "" : `, ${percent(confidence)}`));
  });
  if (page.area[tile] !== null) addFact("Area", `${hectares(page.area[tile], Math.max(2, decimalsFor(page.area[tile])))}\u00a0ha`);
  addFact("Tile", page.id[tile]);
  drawCrop(tile);
}

function drawCrop(tile) {
  if (tile < 0) return;
  const canvas = find("crop"), context = canvas.getContext("2d"), [left, top, right, bottom] = page.box[tile];
  const scale = Math.min(canvas.width / (right - left), canvas.height / (bottom - top));
  const width = (right - left) * scale, height = (bottom - top) * scale;
  const x = (canvas.width - width) / 2, y = (canvas.height - height) / 2;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  pieces.draw(context, { scale, x: x - left * scale, y: y - top * scale }, canvas.width, canvas.height);
  context.restore();
}

find("threshold").addEventListener("input", (event) => {
  state.threshold = Number(event.target.value) / 100;
  update();
});
find("opacity").addEventListener("input", (event) => {
  map.opacity = Number(event.target.value) / 100;
  map.redraw();
});
find("classes").addEventListener("click", (event) => {
  const button = event.target.closest("tbody button");
  if (!button) return;
  const number = Number(button.closest("tr").dataset.class);
  if (!state.classes.delete(number)) state.classes.add(number);
  update();
});
find("all").addEventListener("click", () => {
  state.classes.clear();
  update();
});
find("zoom-in").addEventListener("click", () => map.zoom(1.5));
find("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
find("fit").addEventListener("click", () => map.fit());
update();
