// Curves over the frames: drawn once for a person and a width; while playing only a line moves.

const GUTTER = 26; // pixels at the left, for the numbers

export class Chart {
  /** `element`: a figure with a caption, values and a canvas; `unit` stands behind its values. */
  constructor(element, { name, unit, seek }) {
    Object.assign(this, { name, unit });
    this.caption = element.querySelector("figcaption");
    this.canvas = element.querySelector("canvas");
    this.cursor = element.querySelector(".cursor");
    this.values = element.querySelector(".values");
    this.context = this.canvas.getContext("2d");
    this.caption.querySelector(".name").textContent = name;
    const area = element.querySelector(".plot");
    const go = (event) => {
      const box = area.getBoundingClientRect();
      const share = (event.clientX - box.left - GUTTER) / (box.width - GUTTER);
      seek(this.first + Math.max(0, Math.min(1, share)) * (this.end - this.first - 1));
    };
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      go(event);
    });
    area.addEventListener("pointermove", (event) => event.buttons && go(event));
    this.area = area;
    this.series = [];
    [this.wide, this.first, this.end] = [0, 0, 1];
  }

  /** `series`: `{label, colour, values, second}`, a value a frame; the second's are dashed. */
  set(series, colours) {
    this.series = series;
    this.colours = colours;
    this.#range();
    this.draw();
    const words = series.map(({ label, values }) => {
      const [low, high] = extent([values]);
      return high < low ? `${label}: not known` : `${label} ${low.toFixed(0)} to ${high.toFixed(0)}`;
    });
    this.canvas.setAttribute("aria-label", `${this.name}, ${this.unit}: ${words.join("; ")}`);
  }

  /** The frames that are shown, of all; drawn anew where they are others than before. */
  show(first, end) {
    if (first === this.first && end === this.end) return;
    [this.first, this.end] = [first, end];
    this.draw();
  }

  #range() {
    const [low, high] = extent(this.series.flatMap(listsOf));
    const step = high - low > 60 ? 30 : 10;
    this.low = high < low ? 0 : Math.floor(low / step) * step;
    this.high = high < low ? 1 : Math.max(this.low + step, Math.ceil(high / step) * step);
  }

  draw() {
    const width = this.area.clientWidth;
    const height = this.area.clientHeight;
    if (!width || !this.colours) return;
    this.wide = width;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const { context, colours } = this;
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    context.fillStyle = colours.quiet;
    context.strokeStyle = colours.line;
    for (const [value, y, base] of [[this.high, 0.5, "top"], [this.low, height - 0.5, "bottom"]]) {
      context.beginPath();
      context.moveTo(GUTTER, y);
      context.lineTo(width, y);
      context.stroke();
      context.textBaseline = base;
      context.fillText(`${value}`, GUTTER - 4, y + (base === "top" ? 1 : 0));
    }
    for (const one of this.series) {
      listsOf(one).forEach((values, i) => this.#curve(values, one.colour, i > 0, width, height));
    }
  }

  /** The least and the greatest value of each column of pixels, joined. */
  #curve(all, colour, dashed, width, height) {
    const { context } = this;
    const values = all.subarray(this.first, this.end);
    const scale = (height - 6) / (this.high - this.low);
    const y = (value) => height - 3 - (value - this.low) * scale;
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.setLineDash(dashed ? [4, 3] : []);
    context.beginPath();
    const wide = width - GUTTER;
    const columns = Math.max(1, Math.min(values.length, Math.round(wide)));
    let down = false;
    for (let column = 0; column < columns; column++) {
      const first = Math.floor((column * values.length) / columns);
      const last = Math.max(first + 1, Math.floor(((column + 1) * values.length) / columns));
      const [low, high] = extent([values.subarray(first, last)]);
      const x = GUTTER + (columns > 1 ? (column / (columns - 1)) * wide : wide / 2);
      if (high < low) down = false;
      else {
        if (down) context.lineTo(x, y(low));
        else context.moveTo(x, y(low));
        if (high > low || !down) context.lineTo(x, y(high) + (down ? 0 : 0.01));
        down = true;
      }
    }
    context.stroke();
    context.setLineDash([]);
  }

  at(index, words) {
    const count = this.end - this.first;
    const share = count > 1 ? (index - this.first) / (count - 1) : 0.5;
    const x = GUTTER + share * (this.wide - GUTTER);
    this.cursor.style.transform = `translateX(${x}px)`;
    if (!words) return;
    this.values.replaceChildren(
      ...this.series.map((one) => {
        const item = document.createElement("span");
        const dot = document.createElement("i");
        dot.style.background = one.colour;
        const unit = this.unit === "°" ? "°" : ` ${this.unit}`;
        const texts = listsOf(one).map((values) =>
          Number.isNaN(values[index]) ? "–" : `${values[index].toFixed(0)}${unit}`,
        );
        item.append(dot, `${one.label} ${texts.join(" / ")}`);
        return item;
      }),
    );
  }
}

const listsOf = ({ values, second }) => (second ? [values, second] : [values]);

function extent(lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const values of lists) {
    for (let i = 0; i < values.length; i++) {
      if (values[i] < low) low = values[i];
      if (values[i] > high) high = values[i];
    }
  }
  return [low, high];
}
