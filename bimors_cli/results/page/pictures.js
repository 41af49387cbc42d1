"use strict";

// A picture in pieces. Only those that are looked at are decoded, and only the latest are kept.
class Pictures {
  constructor(page, whenLoaded) {
    this.width = page.width;
    this.height = page.height;
    this.whenLoaded = whenLoaded;
    this.sources = document.getElementsByClassName("piece");
    this.boxes = JSON.parse(document.getElementById("boxes").textContent);
    this.loaded = new Map();
    this.overview = this.decode(document.getElementById("overview"));
  }

  decode(element) {
    const image = new Image();
    image.onload = this.whenLoaded;
    image.src = "data:image/jpeg;base64," + element.textContent;
    return image;
  }

  piece(number) {
    const image = this.loaded.get(number) || this.decode(this.sources[number]);
    this.loaded.delete(number);
    this.loaded.set(number, image);
    return image;
  }

  // Draw the part of the picture that `view` shows: x and y of the picture's first corner, pixels of the context a
  // pixel of the picture.
  draw(context, view, width, height) {
    const place = (value, start) => Math.round(start + value * view.scale);
    context.imageSmoothingEnabled = view.scale < 3;
    context.imageSmoothingQuality = "high";
    if (this.overview.complete && this.overview.naturalWidth) {
      context.drawImage(this.overview, view.x, view.y, this.width * view.scale, this.height * view.scale);
    }
    if (view.scale * this.width <= this.overview.naturalWidth * 1.1) return;
    const seen = [];
    this.boxes.forEach((box, number) => {
      const [left, top, right, bottom] = box;
      const isSeen = place(right, view.x) > 0 && place(left, view.x) < width && place(bottom, view.y) > 0 && place(top, view.y) < height;
      if (isSeen) seen.push(number);
    });
    for (const number of seen) {
      const [left, top, right, bottom] = this.boxes[number];
      const image = this.piece(number);
      if (!image.complete || !image.naturalWidth) continue;
      const x = place(left, view.x), y = place(top, view.y);
      context.drawImage(image, x, y, place(right, view.x) - x, place(bottom, view.y) - y);
    }
    const kept = Math.max(Pictures.KEPT, 2 * seen.length);
    for (const number of this.loaded.keys()) {
      if (this.loaded.size <= kept) break;
      this.loaded.delete(number);
    }
  }
}
Pictures.KEPT = 96; // 1 MB each when decoded
