// The 2D keypoints that were lifted: the part of their image in which there is anybody.

import { span } from "./data.js";

const MARGIN = 0.06; // of the image, around everybody
const STEPS = 3000; // keypoints that are looked at for it

export class InputPanel {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** The part of the image, `[left, top, width, height]`, that most keypoints of a clip are in. */
  fit({ keypoints, image }) {
    const points = keypoints.values.length / 2;
    const step = Math.max(1, Math.floor(points / STEPS));
    const [from, to] = [[], []];
    for (const axis of [0, 1]) {
      const values = [];
      for (let i = 0; i < points; i += step) values.push(keypoints.at(i * 2 + axis));
      const [low, high] = span(values) ?? [0, image[axis]];
      from.push(Math.max(0, low - MARGIN * image[axis]));
      to.push(Math.min(image[axis], high + MARGIN * image[axis]));
    }
    const whole = !(to[0] > from[0] && to[1] > from[1]);
    this.part = whole ? [0, 0, ...image] : [...from, to[0] - from[0], to[1] - from[1]];
  }

  resize() {
    const style = getComputedStyle(this.canvas.parentElement);
    const room = this.canvas.parentElement.clientWidth - 2 * parseFloat(style.paddingLeft);
    const [, , wide, high] = this.part;
    this.scale = Math.min(room / wide, 280 / high);
    this.width = wide * this.scale;
    this.height = high * this.scale;
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
  }

  draw(people, colours) {
    const { context, scale } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = colours.floor;
    context.fillRect(0, 0, this.width, this.height);
    context.lineCap = "round";
    for (const { clip, row, colours: sides, faint } of people) {
      const at = (joint, axis) =>
        (clip.keypoints.at((row * clip.count + joint) * 2 + axis) - this.part[axis]) * scale;
      const sure = (joint) => {
        const value = clip.confidence ? clip.confidence.at(row * clip.count + joint) : 1;
        return (Number.isNaN(value) ? 1 : 0.25 + 0.75 * value) * (faint ? 0.45 : 1);
      };
      context.lineWidth = 2.5;
      for (const [parent, child] of clip.bones) {
        const [x, y, u, v] = [at(parent, 0), at(parent, 1), at(child, 0), at(child, 1)];
        if (Number.isNaN(x + y + u + v)) continue;
        context.globalAlpha = Math.min(sure(parent), sure(child));
        context.strokeStyle = sides[clip.sides[child]];
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(u, v);
        context.stroke();
      }
      for (let joint = 0; joint < clip.count; joint++) {
        const [x, y] = [at(joint, 0), at(joint, 1)];
        if (Number.isNaN(x + y)) continue;
        context.globalAlpha = sure(joint);
        context.fillStyle = sides[clip.sides[joint]];
        context.beginPath();
        context.arc(x, y, 2.6, 0, 2 * Math.PI);
        context.fill();
      }
    }
    context.globalAlpha = 1;
  }
}
