// Reference and note of each tile. What differs from the page's own answers is kept in the browser under the identity of
// the sample, so that a tab may be closed. Every change is one step to undo.
class Answers {
  constructor(page) {
    this.tiles = page.tiles.map(([id, scene, row, col, longitude, latitude, reference, note]) => ({
      id, place: [scene, row, col, longitude, latitude], own: [reference, note], reference, note,
    }));
    this.names = page.answers;
    this.byName = new Map(page.answers.map((name) => [Answers.normalized(name), name]));
    this.number = new Map(this.tiles.map((tile, number) => [tile.id, number]));
    this.key = `bimors sample ${page.identity}`;
    this.steps = [];
    this.isKept = this.load();
  }

  // As normalized_name in labels.py: case, underscores and the width of spaces are ignored.
  static normalized(name) {
    return name.normalize("NFC").replaceAll("_", " ").toLowerCase().split(/\s+/).filter(Boolean).join(" ");
  }

  // Another page may have written anything under the key: what is not an answer is left out.
  load() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.key) || "{}");
      for (const tile of this.tiles) {
        const [reference, note] = Object.hasOwn(kept, tile.id) && Array.isArray(kept[tile.id]) ? kept[tile.id] : tile.own;
        tile.reference = reference === "" || this.names.includes(reference) ? reference : tile.own[0];
        tile.note = typeof note === "string" ? note : tile.own[1];
      }
      return true;
    } catch {
      return false;
    }
  }

  keep() {
    const changed = this.tiles.filter((tile) => tile.reference !== tile.own[0] || tile.note !== tile.own[1]);
    try {
      localStorage.setItem(this.key, JSON.stringify(Object.fromEntries(changed.map((tile) => [tile.id, [tile.reference, tile.note]]))));
      this.isKept = true;
    } catch {
      this.isKept = false; // storage is full or switched off
    }
  }

  // Set some tiles: pairs of a number and what changes of it.
  change(changes) {
    const before = changes.map(([number]) => [number, { reference: this.tiles[number].reference, note: this.tiles[number].note }]);
    for (const [number, changed] of changes) Object.assign(this.tiles[number], changed);
    this.steps.push(before);
    this.keep();
  }

  // A note while it is typed: kept at once, and one step to undo when it is finished.
  type(number, note) {
    this.tiles[number].note = note;
    this.keep();
  }

  finishNote(number, before) {
    const { reference, note } = this.tiles[number];
    if (note !== before) this.steps.push([[number, { reference, note: before }]]);
  }

  // Returns the number of a tile that changed back, -1 if there is nothing to undo.
  undo() {
    const step = this.steps.pop();
    if (!step) return -1;
    for (const [number, before] of step) Object.assign(this.tiles[number], before);
    this.keep();
    return step[0][0];
  }

  get answered() {
    return this.tiles.filter((tile) => tile.reference).length;
  }

  // The next tile without an answer after this one, from the first tile again after the last; -1 if there is none.
  nextOpen(after) {
    const count = this.tiles.length;
    for (let step = 1; step <= count; step++) {
      if (!this.tiles[(after + step) % count].reference) return (after + step) % count;
    }
    return -1;
  }

  get csv() {
    return csvText(this.tiles.map((tile) => [tile.id, ...tile.place, tile.reference, tile.note]));
  }

  // Parse the answers of a file: reference and note by the number of the tile.
  parse(text) {
    const found = new Map();
    for (const row of parseCsv(text)) {
      const number = this.number.get(row.tile_id.normalize("NFC"));
      if (number === undefined) throw new Error(`line ${row.line}: the sample has no tile ${row.tile_id}`);
      if (found.has(number)) throw new Error(`line ${row.line}: the tile ${row.tile_id} is in the file twice`);
      const reference = row.reference && this.byName.get(Answers.normalized(row.reference));
      if (reference === undefined) throw new Error(`line ${row.line}: ${row.reference} is not one of the answers`);
      found.set(number, { reference, note: row.note || "" });
    }
    return found;
  }

  // Add the answers of files. A tile with different answers, those of the page among them, is open again with all of
  // them in its note: interpreters decide together. Returns the number of such tiles.
  add(files) {
    const changes = [];
    let differ = 0;
    this.tiles.forEach((tile, number) => {
      const given = files.map((file) => file.get(number)).filter(Boolean);
      const different = [...new Set([tile.reference, ...given.map((one) => one.reference)].filter(Boolean))];
      let note = given.reduce((all, one) => Answers.joined(all, one.note), tile.note);
      if (different.length > 1) {
        differ++;
        note = Answers.joined(note, `answers: ${different.join(" / ")}`);
      }
      const reference = different.length === 1 ? different[0] : "";
      if (reference !== tile.reference || note !== tile.note) changes.push([number, { reference, note }]);
    });
    if (changes.length) this.change(changes);
    return differ;
  }

  static joined(note, more) {
    return !more || note.includes(more) ? note : note ? `${note}; ${more}` : more;
  }
}
