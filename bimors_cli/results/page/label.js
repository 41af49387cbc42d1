// The page: one tile at a time, buttons and keys. Text from files is inserted as text, never as mark-up.
const page = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const answers = new Answers(page);
const buttons = [...find("answers").querySelectorAll("button")];
const images = new Map([...document.getElementsByClassName("image")].map((element) => [Number(element.dataset.tile), element]));
const keys = new Map(buttons.filter((button) => button.dataset.key).map((button) => [button.dataset.key, button]));
let shown = 0, noteBefore = ""; // the note when it got the focus

function show(number) {
  shown = number;
  const tile = answers.tiles[shown], [scene, row, col, longitude, latitude] = tile.place;
  find("tile-name").textContent = `Tile ${count(shown + 1)} of ${count(answers.tiles.length)}`;
  find("place").textContent = `${tile.id} · latitude ${Number(latitude).toFixed(5)}, longitude ${Number(longitude).toFixed(5)}`;
  find("place").title = `${scene}, row ${row}, column ${col}`;
  const element = images.get(shown), picture = new Image();
  picture.onload = () => {
    if (element === images.get(shown)) drawPicture(picture, element.dataset.box.split(" ").map(Number));
  };
  picture.src = "data:image/jpeg;base64," + element.textContent;
  update();
}

function drawPicture(picture, [left, top, right, bottom]) {
  const { naturalWidth: width, naturalHeight: height } = picture, image = find("image");
  image.setAttribute("href", picture.src);
  image.setAttribute("width", width);
  image.setAttribute("height", height);
  const box = { x: left * width, y: top * height, width: (right - left) * width, height: (bottom - top) * height };
  for (const rect of find("outline").children) {
    for (const [name, value] of Object.entries(box)) rect.setAttribute(name, value);
  }
  const isZoomed = find("zoom").getAttribute("aria-pressed") === "true";
  find("picture").setAttribute("viewBox", isZoomed ? `${box.x} ${box.y} ${box.width} ${box.height}` : `0 0 ${width} ${height}`);
}

function update() {
  const tile = answers.tiles[shown], done = answers.answered, all = answers.tiles.length;
  buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(page.answers[index] === tile.reference)));
  find("note").value = tile.note;
  find("progress").value = done;
  find("progress-text").textContent = `${count(done)} of ${count(all)} tiles answered`;
  setOff("previous", shown === 0);
  setOff("next", shown === all - 1);
  setOff("next-open", done === all);
  setOff("undo", answers.steps.length === 0);
  if (!answers.isKept) {
    find("kept").textContent = "This browser does not keep answers: save them before you close this page.";
  }
}

function say(text, isProblem = false) {
  find("status").textContent = text;
  find("status").classList.toggle("problem", isProblem);
}

// Not `disabled`: a button that has the focus would lose it.
function setOff(id, isOff) {
  find(id).setAttribute("aria-disabled", String(isOff));
}

function answer(index) {
  const name = page.answers[index], id = answers.tiles[shown].id;
  answers.change([[shown, { reference: name }]]);
  const open = answers.nextOpen(shown);
  say(`${id}: ${name}.${open < 0 ? " All tiles are answered: save the answers." : ""}`);
  if (find("advance").checked && open >= 0) show(open);
  else update();
}

function undo() {
  const number = answers.undo();
  if (number < 0) return;
  show(number);
  say(`Undone: ${answers.tiles[number].id}.`);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answers.csv], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`${count(answers.answered)} answers saved to answers.csv, in the folder of downloads.`);
}

async function read(files) {
  const found = [], names = files.map((file) => file.name).join(", ");
  let text = "";
  for (const file of files) {
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      say(`${file.name} was not read: it is not UTF-8 text; in Excel save it as CSV UTF-8.`, true);
      return;
    }
    try {
      found.push(answers.parse(text));
    } catch (error) {
      say(`${file.name} was not read: ${error.message}.`, true);
      return;
    }
  }
  const differ = answers.add(found), open = answers.nextOpen(answers.tiles.length - 1);
  show(open < 0 ? shown : open);
  const given = found.reduce((sum, file) => sum + [...file.values()].filter((one) => one.reference).length, 0);
  const again = differ ? ` ${count(differ)} tiles have different answers and are open again: see their notes.` : "";
  say(`${count(given)} answers read from ${names}.${again}`);
}

buttons.forEach((button, index) => button.addEventListener("click", () => answer(index)));
find("note").addEventListener("input", (event) => answers.type(shown, event.target.value));
find("note").addEventListener("focus", () => {
  noteBefore = answers.tiles[shown].note;
});
find("note").addEventListener("change", () => {
  answers.finishNote(shown, noteBefore);
  noteBefore = answers.tiles[shown].note;
  setOff("undo", answers.steps.length === 0);
});
find("previous").addEventListener("click", () => show(Math.max(0, shown - 1)));
find("next").addEventListener("click", () => show(Math.min(answers.tiles.length - 1, shown + 1)));
find("next-open").addEventListener("click", () => {
  const open = answers.nextOpen(shown);
  if (open >= 0) show(open);
});
find("undo").addEventListener("click", undo);
find("zoom").addEventListener("click", () => {
  find("zoom").setAttribute("aria-pressed", String(find("zoom").getAttribute("aria-pressed") !== "true"));
  show(shown);
});
find("save").addEventListener("click", save);
find("file").addEventListener("change", async (event) => {
  if (event.target.files.length) await read([...event.target.files]);
  event.target.value = "";
});
find("clear").addEventListener("click", () => {
  if (!confirm("Delete the answers and notes of all tiles? Undo brings them back until the page is closed.")) return;
  answers.change(answers.tiles.map((_, number) => [number, { reference: "", note: "" }]));
  show(0);
  say("All answers are deleted.");
});
// Another tab with this page.
window.addEventListener("storage", (event) => {
  if (event.key !== answers.key) return;
  answers.load();
  answers.steps.length = 0;
  update();
});
window.addEventListener("beforeunload", (event) => {
  if (!answers.isKept && answers.answered) event.preventDefault();
});

const commands = { ArrowLeft: "previous", ArrowRight: "next", ArrowDown: "next-open", Backspace: "undo", "+": "zoom" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const isTyping = event.target.matches("textarea, input:not([type=checkbox])");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || !find("keys").checked) return;
  const button = event.key in commands ? find(commands[event.key]) : keys.get(event.key.toLowerCase());
  if (!button) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) button.click();
});

show(Math.max(0, answers.nextOpen(answers.tiles.length - 1)));
