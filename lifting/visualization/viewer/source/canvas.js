// Drawn with Canvas 2D: for browsers without WebGL, and those that only emulate it.

import { pointAt } from "./body.js";

const NEAR = 0.1;

function path2d(context, a, b, first, second) {
  const angle = Math.atan2(b.y - a.y, b.x - a.x);
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  context.beginPath();
  if (length <= Math.abs(first - second)) {
    const [at, radius] = first > second ? [a, first] : [b, second];
    context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    return;
  }
  const turn = Math.acos((first - second) / length);
  context.arc(a.x, a.y, first, angle + turn, angle - turn);
  context.arc(b.x, b.y, second, angle - turn, angle + turn);
  context.closePath();
}

export class CanvasStage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.name = "canvas";
  }

  theme(colours) {
    this.colours = colours;
  }

  resize(width, height, ratio) {
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
  }

  dispose() {}

  draw(view, scene) {
    const { context, colours } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = colours.stage;
    context.fillRect(0, 0, view.width, view.height);
    context.lineCap = context.lineJoin = "round";
    this.view = view;
    if (scene.ground) this.#ground(scene);
    for (const camera of scene.cameras) this.#segments(camera.lines, colours.camera, 1.2);
    for (const trail of scene.trails) this.#segments(trail.lines, trail.colour, 2);
    const items = scene.figures.flatMap((figure) => this.#shapes(figure));
    items.sort((a, b) => b.depth - a.depth);
    for (const item of items) this.#capsules(item);
    for (const figure of scene.figures) if (figure.errors) this.#errors(figure);
  }

  #ground(scene) {
    const { colours } = this;
    this.#floor(scene.ground);
    this.#segments(scene.ground.lines, colours.grid, 1);
    for (const figure of scene.figures) this.#shadow(figure);
    for (const disc of scene.discs) {
      const at = this.view.project(disc.x, disc.y, 0);
      if (!at) continue;
      const flat = Math.max(0.12, -this.view.ahead[2]);
      this.context.beginPath();
      const radius = disc.radius * at.scale;
      this.context.ellipse(at.x, at.y, radius, radius * flat, 0, 0, 2 * Math.PI);
      this.context.lineWidth = 2;
      if (disc.filled) {
        this.context.fillStyle = disc.colour;
        this.context.fill();
      } else {
        this.context.strokeStyle = disc.colour;
        this.context.stroke();
      }
    }
  }

  #floor({ low, high }) {
    const { context, view } = this;
    const corners = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]];
    const depths = corners.map(
      ([x, y]) =>
        (x - view.eye[0]) * view.ahead[0] +
        (y - view.eye[1]) * view.ahead[1] -
        view.eye[2] * view.ahead[2],
    );
    const points = [];
    corners.forEach(([x, y], i) => {
      const j = (i + 1) % 4;
      if (depths[i] >= NEAR) points.push(view.project(x, y, 0));
      if (depths[i] >= NEAR !== depths[j] >= NEAR) {
        const share = (NEAR - depths[i]) / (depths[j] - depths[i]);
        const [u, v] = corners[j];
        points.push(view.project(x + share * (u - x), y + share * (v - y), 0));
      }
    });
    context.beginPath();
    for (const point of points) if (point) context.lineTo(point.x, point.y);
    context.fillStyle = this.colours.floor;
    context.fill();
  }

  #shadow(figure) {
    const [a, b] = [[0, 0, 0], [0, 0, 0]];
    const { context, view } = this;
    context.strokeStyle = this.colours.shadow;
    for (const shape of figure.shapes) {
      if (!shape.to || !pointAt(figure.pose, shape.from, a) || !pointAt(figure.pose, shape.to, b)) {
        continue;
      }
      const [p, q] = [view.project(a[0], a[1], 0), view.project(b[0], b[1], 0)];
      if (!p || !q) continue;
      context.lineWidth = shape.radius * 2 * p.scale * 0.8;
      context.beginPath();
      context.moveTo(p.x, p.y);
      context.lineTo(q.x, q.y);
      context.stroke();
    }
  }

  /** Capsules of a figure that are drawn at once, by their place along the line of sight. */
  #shapes(figure) {
    const groups = new Map();
    const [a, b] = [[0, 0, 0], [0, 0, 0]];
    for (const shape of figure.shapes) {
      if (!pointAt(figure.pose, shape.from, a)) continue;
      if (shape.to && !pointAt(figure.pose, shape.to, b)) continue;
      const from = this.view.project(a[0], a[1], a[2]);
      const to = shape.to ? this.view.project(b[0], b[1], b[2]) : from;
      if (!from || !to) continue;
      const group = groups.get(shape.group) ?? { depth: 0, parts: [], colour: null };
      groups.set(shape.group, group);
      group.colour = figure.colours[shape.side];
      group.parts.push({
        from, to,
        first: shape.radius * figure.width * from.scale,
        second: shape.end * figure.width * to.scale,
      });
      group.depth += (from.depth + to.depth) / 2;
    }
    for (const group of groups.values()) group.depth /= group.parts.length;
    return [...groups.values()];
  }

  #capsules({ parts, colour }) {
    const { context } = this;
    context.strokeStyle = this.colours.edge;
    context.lineWidth = 1.5;
    for (const { from, to, first, second } of parts) {
      path2d(context, from, to, first, second);
      context.stroke();
    }
    context.fillStyle = colour;
    for (const { from, to, first, second } of parts) {
      path2d(context, from, to, first, second);
      context.fill();
    }
  }

  #errors(figure) {
    const { context, view } = this;
    context.globalAlpha = 0.22;
    context.fillStyle = this.colours.error;
    figure.errors.forEach((radius, joint) => {
      const at = view.project(...figure.pose.subarray(joint * 3, joint * 3 + 3));
      if (!at || !(radius > 0)) return;
      context.beginPath();
      context.arc(at.x, at.y, radius * at.scale, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
  }

  /** Straight lines, six numbers each, cut where they pass the eye. */
  #segments(lines, colour, width) {
    const { context, view } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    const depth = (i) =>
      (lines[i] - view.eye[0]) * view.ahead[0] +
      (lines[i + 1] - view.eye[1]) * view.ahead[1] +
      (lines[i + 2] - view.eye[2]) * view.ahead[2];
    const point = (i, j, share) => {
      const at = (axis) => lines[i + axis] + share * (lines[j + axis] - lines[i + axis]);
      return view.project(at(0), at(1), at(2));
    };
    for (let i = 0; i + 5 < lines.length; i += 6) {
      const [near, far] = [depth(i), depth(i + 3)];
      if (!(Math.max(near, far) > NEAR)) continue;
      const cut = (NEAR - near) / (far - near);
      const p = point(i, i + 3, near < NEAR ? cut : 0);
      const q = point(i, i + 3, far < NEAR ? cut : 1);
      if (!p || !q) continue;
      context.moveTo(p.x, p.y);
      context.lineTo(q.x, q.y);
    }
    context.stroke();
  }
}
