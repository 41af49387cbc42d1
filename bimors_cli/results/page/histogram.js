// Histogram of confidence in bins of 5 %; bins below the threshold are grey.
class Histogram {
  constructor(element, text) {
    this.element = element;
    this.text = text;
  }

  draw(values, threshold) {
    const counts = new Array(Histogram.BINS).fill(0);
    for (const value of values) counts[Math.min(Histogram.BINS - 1, Math.floor(value * Histogram.BINS + 1e-9))]++;
    const highest = Math.max(1, ...counts), width = 300 / Histogram.BINS;
    const parts = counts.map((count, bin) => {
      const high = (80 * count) / highest, bar = this.part("rect", {
        x: bin * width + 0.75, width: width - 1.5, y: 84 - high, height: high,
        class: (bin + 1) / Histogram.BINS > threshold + 1e-9 ? "bar in" : "bar",
      });
      bar.append(this.part("title"));
      bar.firstChild.textContent = `${(100 * bin) / Histogram.BINS} to ${(100 * (bin + 1)) / Histogram.BINS} %: ${count.toLocaleString("en")} tiles`;
      return bar;
    });
    const x = 300 * threshold;
    parts.push(this.part("line", { x1: x, x2: x, y1: 0, y2: 84, class: "mark" }));
    this.element.replaceChildren(...parts);
    const sorted = [...values].sort((a, b) => a - b);
    const summary = sorted.length ? `median ${(100 * sorted[sorted.length >> 1]).toFixed(0)} %` : "no tile with a confidence";
    this.text.textContent = summary;
    this.element.setAttribute("aria-label", `Histogram of confidence: ${sorted.length} tiles, ${summary}`);
  }

  part(name, attributes = {}) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }
}
Histogram.BINS = 20;
