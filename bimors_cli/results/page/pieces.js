"use strict";

// The image of the scene in pieces. Only visible pieces are decoded, and only the latest stay in the cache.
class ImagePieces {
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

  // Draw the part of the image that is visible in `view`: x and y of the upper left corner of the image, and scale in
  // pixels of the context per pixel of the image.
  draw(context, view, width, height) {
    const position = (value, start) => Math.round(start + value * view.scale);
    context.imageSmoothingEnabled = view.scale < 3;
    context.imageSmoothingQuality = "high";
    if (this.overview.complete && this.overview.naturalWidth) {
      context.drawImage(this.overview, view.x, view.y, this.width * view.scale, this.height * view.scale);
    }
    if (view.scale * this.width <= this.overview.naturalWidth * 1.1) return;
    const visible = [];
    this.boxes.forEach((box, number) => {
      const [left, top, right, bottom] = box;
      const isVisible = position(right, view.x) > 0 && position(left, view.x) < width && position(bottom, view.y) > 0 && position(top, view.y) < height;
      if (isVisible) visible.push(number);
    });
    for (const number of visible) {
      const [left, top, right, bottom] = this.boxes[number];
      const image = this.piece(number);
      if (!image.complete || !image.naturalWidth) continue;
      const x = position(left, view.x), y = position(top, view.y);
      context.drawImage(image, x, y, position(right, view.x) - x, position(bottom, view.y) - y);
    }
    const limit = Math.max(ImagePieces.CACHED, 2 * visible.length);
    for (const number of this.loaded.keys()) {
      if (this.loaded.size <= limit) break;
      this.loaded.delete(number);
    }
  }
}
ImagePieces.CACHED = 96; // 1 MB each when decoded
