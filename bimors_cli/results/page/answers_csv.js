"use strict";

// The file of answers, as RFC 4180 has it. The byte order mark makes Excel read it as UTF-8.
const COLUMNS = ["tile_id", "scene", "row", "col", "longitude", "latitude", "reference", "note"];

function csvText(rows) {
  const cell = (value) => (/[",;\t\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return "\ufeff" + [COLUMNS, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

// The rows of a table with a header, each an object with its line; Excel separates by semicolons in many countries.
function parseCsv(text) {
  const source = text.replace(/^\ufeff/, ""), first = source.split("\n", 1)[0];
  const separator = [",", ";", "\t"].reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best));
  const rows = [];
  let cells = [""], quoted = false, line = 1, start = 1;
  for (let i = 0; i < source.length; i++) {
    const at = source[i], last = cells.length - 1;
    if (at === "\n") line++;
    if (quoted) {
      if (at !== '"') cells[last] += at;
      else if (source[i + 1] === '"') cells[last] += source[++i];
      else quoted = false;
    } else if (at === '"' && cells[last] === "") quoted = true;
    else if (at === separator) cells.push("");
    else if (at === "\n") {
      rows.push([start, cells]);
      cells = [""];
      start = line;
    } else if (at !== "\r") cells[last] += at;
  }
  if (quoted) throw new Error(`line ${start}: a quotation mark is not closed`);
  if (cells.length > 1 || cells[0]) rows.push([start, cells]);
  const names = (rows.shift() || [0, []])[1].map((name) => name.trim().toLowerCase());
  for (const name of ["tile_id", "reference"]) {
    if (!names.includes(name)) throw new Error(`it has no column ${name}`);
  }
  return rows
    .filter(([, row]) => row.some((value) => value.trim()))
    .map(([number, row]) => ({ line: number, ...Object.fromEntries(names.map((name, i) => [name, (row[i] || "").trim()])) }));
}
