// A length of 1, 2 or 5 times a power of ten, at most a quarter of the map or 220 pixels.
function drawScaleBar(context, page, scale, ratio) {
  if (page.metres === null) return;
  const { width, height } = context.canvas, perPixel = page.metres / scale;
  const limit = perPixel * Math.min(width / 4, 220 * ratio), power = 10 ** Math.floor(Math.log10(limit));
  const metres = [5, 2, 1].map((step) => step * power).find((length) => length <= limit * (1 + 1e-9));
  const [unit, factor] = metres >= 1000 ? ["km", 1000] : metres >= 1 ? ["m", 1] : ["cm", 0.01];
  const text = `${Number((metres / factor).toPrecision(6)).toLocaleString("en")} ${unit}`;
  const long = metres / perPixel, x = 12 * ratio, y = height - 24 * ratio, thick = 6 * ratio;
  context.font = `${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = "rgba(255, 255, 255, 0.88)";
  context.fillRect(x - 6 * ratio, y - 8 * ratio, long + context.measureText(text).width + 20 * ratio, thick + 16 * ratio);
  context.lineWidth = ratio;
  context.strokeStyle = context.fillStyle = "#1f2328";
  context.strokeRect(x, y, long, thick);
  context.fillRect(x, y, long / 2, thick);
  context.fillText(text, x + long + 8 * ratio, y + thick / 2);
}

function drawNorth(context, page, ratio) {
  if (page.north === null) return;
  const { width, height } = context.canvas;
  context.save();
  context.translate(width - 30 * ratio, height - 26 * ratio);
  context.fillStyle = "rgba(255, 255, 255, 0.88)";
  context.beginPath();
  context.arc(0, 0, 20 * ratio, 0, 2 * Math.PI);
  context.fill();
  context.rotate((page.north * Math.PI) / 180);
  context.scale(ratio, ratio);
  context.strokeStyle = "#1f2328";
  for (const [side, fill] of [[-1, "#1f2328"], [1, "#ffffff"]]) {
    context.beginPath();
    context.moveTo(0, -7);
    context.lineTo(side * 7, 15);
    context.lineTo(0, 10);
    context.closePath();
    context.fillStyle = fill;
    context.fill();
    context.stroke();
  }
  context.fillStyle = "#1f2328";
  context.font = "bold 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  context.fillText("N", 0, -9);
  context.restore();
}
