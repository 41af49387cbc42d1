// The map: the image of the scene, the tiles over it, mouse and keyboard. `symbology.colour(i)` is the colour of a tile,
// null for a hidden one; `symbology.isFaint(i)` tells whether it is drawn pale.
class TileMap {
  constructor(canvas, page, pieces, symbology, whenSelected) {
    this.canvas = canvas;
    this.page = page;
    this.symbology = symbology;
    this.whenSelected = whenSelected;
    this.context = canvas.getContext("2d");
    this.overlay = document.createElement("canvas");
    this.opacity = page.alpha;
    this.selected = -1;
    this.pieces = pieces;
    this.centres = page.box.map(([left, top, right, bottom]) => [(left + right) / 2, (top + bottom) / 2]);
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    this.listen();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return;
    const before = this.view && { ...this.view, width: this.canvas.width, height: this.canvas.height };
    this.ratio = ratio;
    this.canvas.width = this.overlay.width = width;
    this.canvas.height = this.overlay.height = height;
    if (!before || this.fitted) this.fit();
    else {
      this.view.x = before.x + (width - before.width) / 2;
      this.view.y = before.y + (height - before.height) / 2;
      this.redraw();
    }
  }

  // The bottom is left free for the scale bar.
  fit() {
    const { width, height } = this.canvas, margin = 8 * this.ratio, below = 50 * this.ratio;
    const scale = Math.min((width - 2 * margin) / this.page.width, (height - margin - below) / this.page.height);
    this.least = scale / 2;
    this.view = {
      scale,
      x: (width - this.page.width * scale) / 2,
      y: Math.max(margin, (height - below + margin - this.page.height * scale) / 2),
    };
    this.fitted = true;
    this.redraw();
  }

  move(dx, dy) {
    this.fitted = false;
    const { width, height } = this.canvas, edge = 40 * this.ratio;
    const { scale } = this.view;
    this.view.x = Math.min(width - edge, Math.max(edge - this.page.width * scale, this.view.x + dx));
    this.view.y = Math.min(height - edge, Math.max(edge - this.page.height * scale, this.view.y + dy));
    this.redraw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(16 * this.ratio, Math.max(this.least, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change };
    this.move(0, 0);
  }

  redraw() {
    if (this.waiting || !this.view) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { context, view } = this, { width, height } = this.canvas;
    context.clearRect(0, 0, width, height); // what is behind it is light or dark, and white on paper
    this.pieces.draw(context, view, width, height);
    this.drawTiles(width, height);
    if (this.selected >= 0) {
      const [x, y, w, h] = this.onScreen(this.selected);
      for (const [colour, thick] of [["#000000", 5], ["#ffffff", 2.5]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick * this.ratio;
        context.strokeRect(x, y, w, h);
      }
    }
    drawScaleBar(context, this.page, view.scale, this.ratio);
    drawNorth(context, this.page, this.ratio);
  }

  // Drawn on a canvas of its own and composed once: colours of overlapping tiles do not add up.
  drawTiles(width, height) {
    const overlay = this.overlay.getContext("2d");
    overlay.clearRect(0, 0, width, height);
    const outlined = [];
    for (let tile = 0; tile < this.page.box.length; tile++) {
      const colour = this.symbology.colour(tile);
      if (colour === null) continue;
      const [x, y, w, h] = this.onScreen(tile);
      if (x + w < 0 || y + h < 0 || x > width || y > height) continue;
      overlay.globalAlpha = this.symbology.isFaint(tile) ? this.page.none[1] / this.page.alpha : 1;
      overlay.fillStyle = colour;
      overlay.clearRect(x, y, Math.max(1, w), Math.max(1, h));
      overlay.fillRect(x, y, Math.max(1, w), Math.max(1, h));
      if (Math.min(w, h) >= 10 * this.ratio) outlined.push([x, y, w, h, colour]);
    }
    this.context.globalAlpha = this.opacity;
    this.context.drawImage(this.overlay, 0, 0);
    this.context.globalAlpha = Math.min(1, this.opacity + 0.25);
    this.context.lineWidth = this.ratio;
    if (this.opacity > 0) {
      for (const [x, y, w, h, colour] of outlined) {
        this.context.strokeStyle = colour;
        this.context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
      }
    }
    this.context.globalAlpha = 1;
  }

  onScreen(tile) {
    const { x, y, scale } = this.view, [left, top, right, bottom] = this.page.box[tile];
    const x0 = Math.round(x + left * scale), y0 = Math.round(y + top * scale);
    return [x0, y0, Math.round(x + right * scale) - x0, Math.round(y + bottom * scale) - y0];
  }

  // The visible tile at a point; of several that overlap, the one with the nearest centre.
  at(clientX, clientY) {
    const frame = this.canvas.getBoundingClientRect();
    const px = ((clientX - frame.left) * this.ratio - this.view.x) / this.view.scale;
    const py = ((clientY - frame.top) * this.ratio - this.view.y) / this.view.scale;
    let best = -1, nearest = Infinity;
    this.page.box.forEach(([left, top, right, bottom], tile) => {
      if (px < left || px >= right || py < top || py >= bottom || this.symbology.colour(tile) === null) return;
      const distance = Math.hypot(px - (left + right) / 2, py - (top + bottom) / 2);
      if (distance < nearest) [best, nearest] = [tile, distance];
    });
    return best;
  }

  select(tile) {
    this.selected = tile;
    this.whenSelected(tile);
    this.redraw();
  }

  // The nearest visible tile in one direction from the selected one; without a selection, the one nearest to the centre.
  step(dx, dy) {
    const { width, height } = this.canvas, { x, y, scale } = this.view;
    const [cx, cy] = this.selected >= 0 ? this.centres[this.selected] : [(width / 2 - x) / scale, (height / 2 - y) / scale];
    let best = -1, least = Infinity;
    this.centres.forEach(([tx, ty], tile) => {
      if (tile === this.selected || this.symbology.colour(tile) === null) return;
      const ahead = (tx - cx) * dx + (ty - cy) * dy, aside = Math.abs((tx - cx) * dy) + Math.abs((ty - cy) * dx);
      const cost = this.selected < 0 ? Math.hypot(tx - cx, ty - cy) : ahead > 0.01 && aside <= ahead ? ahead + 3 * aside : Infinity;
      if (cost < least) [best, least] = [tile, cost];
    });
    if (best < 0) return;
    this.select(best);
    const [sx, sy, w, h] = this.onScreen(best), edge = 20 * this.ratio;
    const push = (start, size, room) => (start < edge ? edge - start : start + size > room - edge ? room - edge - start - size : 0);
    this.move(push(sx, w, width), push(sy, h, height - 50 * this.ratio));
  }

  listen() {
    const { canvas } = this;
    let start = null, moved = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      start = [event.clientX, event.clientY];
      moved = false;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const dx = event.clientX - start[0], dy = event.clientY - start[1];
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      canvas.classList.add("moving");
      start = [event.clientX, event.clientY];
      this.move(dx * this.ratio, dy * this.ratio);
    });
    const end = (event) => {
      if (start && !moved && event.type === "pointerup") this.select(this.at(event.clientX, event.clientY));
      start = null;
      canvas.classList.remove("moving");
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const frame = canvas.getBoundingClientRect(), step = event.deltaMode === 1 ? 30 : 1;
      const factor = Math.exp(-Math.max(-240, Math.min(240, event.deltaY * step)) / 400);
      this.zoom(factor, (event.clientX - frame.left) * this.ratio, (event.clientY - frame.top) * this.ratio);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key], far = 80 * this.ratio;
      if (event.shiftKey) this.move(-dx * far, -dy * far);
      else this.step(dx, dy);
    } else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (event.key === "0" || event.key === "Home") this.fit();
    else if (event.key === "Escape") this.select(-1);
    else return;
    event.preventDefault();
  }
}
