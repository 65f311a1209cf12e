// The page: what is shown, how it is played, and every way to say so.

import { anglesOf, differenceOf, kindsOf } from "./angles.js";
import { shapesOf } from "./body.js";
import { CanvasStage } from "./canvas.js";
import { Chart } from "./charts.js";
import { decode, span } from "./data.js";
import { InputPanel } from "./input.js";
import { View } from "./view.js";
import { WebglStage } from "./webgl.js";

const TRAIL_SECONDS = 2;
const ASSUMED_RATE = 30;
const CHART_SECONDS = 20; // at once; what is longer is turned over like pages
const SAMPLES = 5000; // places that are looked at for the size of the ground
const LONGEST_GAP = 0.5; // seconds that nobody is seen for and that playing does not skip
const SLOW = 50; // milliseconds a frame, after which WebGL is given up
const COLOURS = [
  "stage", "floor", "grid", "shadow", "left", "right", "centre", "other", "edge", "camera", "error",
  "contact", "text", "quiet", "line", "accent",
];
const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

const page = decode($("data").textContent);
const { clips, frames } = page;
const rate = page.fps ?? ASSUMED_RATE;
const people = clips.flatMap((clip) => clip.people);
const view = new View();
const shapes = clips.map(shapesOf);
const buffers = people.map((person) => new Float32Array(person.clip.count * 3));
const labels = [];
const charts = [];
const times = [];
const state = { index: 0, playing: false, speed: 1, picked: people[0] ?? null };
let stage = null;
let colours = {};
let drawn = null;
let kinds = [];
let input = null;
let due = false;

/** Where the second file is drawn: over the first, beside it, or not. */
const second = () => $("other").value;
const asked = (id) => $(id).checked && !$(id).disabled;

// --- the scene ---

function extent() {
  const axes = [0, 1].map((axis) => {
    const values = [];
    for (const { root } of clips) {
      const step = 3 * Math.ceil(root.length / 3 / SAMPLES);
      for (let i = axis; i < root.length; i += step) values.push(root[i]);
    }
    return span(values) ?? [-1, 1];
  });
  return { low: axes.map(([low]) => low), high: axes.map(([, high]) => high) };
}

function groundOf({ low, high }) {
  const from = low.map((value) => Math.floor((value - 1) * 2) / 2);
  const to = high.map((value) => Math.ceil((value + 1) * 2) / 2);
  const cell = Math.max(to[0] - from[0], to[1] - from[1]) > 40 ? 5 : 0.5;
  const lines = [];
  for (let x = from[0]; x <= to[0] + 1e-6; x += cell) lines.push(x, from[1], 0, x, to[1], 0);
  for (let y = from[1]; y <= to[1] + 1e-6; y += cell) lines.push(from[0], y, 0, to[0], y, 0);
  return { low: from, high: to, lines };
}

/** A pyramid from the camera's centre to its image. */
function cameraOf(given, size) {
  const { rotation, position, focal } = given;
  const corner = (x, y) => {
    const ray = [(x * given.size[0]) / 2 / focal, (y * given.size[1]) / 2 / focal, 1];
    return position.map(
      (value, axis) =>
        value +
        size * (ray[0] * rotation[0][axis] + ray[1] * rotation[1][axis] + rotation[2][axis]),
    );
  };
  const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
  const lines = corners.flatMap((one, i) => [
    ...position, ...one, ...one, ...corners[(i + 1) % 4],
  ]);
  return { ...given, lines };
}

const bounds = extent();
const cameras = clips[0].cameras.map((camera) => cameraOf(camera, 0.35));
const beside = 1 + (clips[0].people.length > 1 ? bounds.high[0] - bounds.low[0] : 0);
const right = () => bounds.high[0] + (clips.length > 1 && second() === "beside" ? beside : 0);
let ground = groundOf(bounds);
const chartFrames = Math.round(CHART_SECONDS * rate);
const trailSteps = Math.round(TRAIL_SECONDS * rate);

function sidesOf(person) {
  if (person.clip.index > 0) return [colours.other, colours.other, colours.other];
  return [colours.centre, colours.left, colours.right];
}

function trailOf(person, aside) {
  const { clip } = person;
  const lines = [];
  let before = -1;
  for (let at = Math.max(0, state.index - trailSteps); at <= state.index; at++) {
    const row = clip.row(person, frames[at]);
    if (row >= 0 && before >= 0) {
      for (const one of [before, row]) {
        lines.push(clip.root[one * 3] + aside, clip.root[one * 3 + 1], 0.01);
      }
    }
    before = row;
  }
  const colour = clip.index > 0 ? colours.other : colours.accent;
  return { lines, colour };
}

function sceneAt(frame) {
  const figures = [];
  const [discs, trails, inputs] = [[], [], []];
  const style = asked("bodies") ? "bodies" : "sticks";
  people.forEach((person, number) => {
    const { clip } = person;
    if (clip.index > 0 && second() === "off") return;
    const row = clip.row(person, frame);
    if (row < 0) return;
    const aside = clip.index > 0 && second() === "beside" ? beside : 0;
    const pose = clip.pose(row, buffers[number], aside);
    const sides = sidesOf(person);
    const thin = clip.index > 0 && !aside;
    figures.push({
      person, row, pose, colours: sides, width: thin && style === "bodies" ? 0.8 : 1,
      shapes: shapes[clip.index][style],
      errors: asked("errors") && clip.sigma ? errorsOf(clip, row) : null,
    });
    if (asked("trail")) trails.push(trailOf(person, aside));
    if (clip.keypoints && (clip.index === 0 || !clips[0].keypoints)) {
      inputs.push({ clip, row, colours: sides, faint: person !== state.picked });
    }
    if (person === state.picked && people.length > 1) {
      const at = [clip.root[row * 3] + aside, clip.root[row * 3 + 1]];
      discs.push({ x: at[0], y: at[1], radius: 0.45, colour: colours.accent, filled: false });
    }
    if (asked("contacts") && clip.contacts) {
      for (let joint = 0; joint < clip.count; joint++) {
        if (clip.contacts[row * clip.count + joint] !== 1 || Number.isNaN(pose[joint * 3])) continue;
        const [x, y] = [pose[joint * 3], pose[joint * 3 + 1]];
        discs.push({ x, y, radius: 0.11, colour: colours.contact, filled: true });
      }
    }
  });
  return {
    figures, discs, trails, inputs,
    ground: asked("ground") ? ground : null,
    cameras: asked("cameras") && !view.camera ? cameras : [],
  };
}

function errorsOf(clip, row) {
  const found = new Float32Array(clip.count);
  for (let joint = 0; joint < clip.count; joint++) {
    found[joint] = clip.sigma.at(row * clip.count + joint);
  }
  return found;
}

// --- drawing ---

function draw() {
  due = false;
  const began = performance.now();
  const scene = sceneAt(frames[state.index] ?? 0);
  const figure = scene.figures.find(({ person }) => person === state.picked);
  if (asked("follow") && figure && !view.camera) {
    const { root } = figure.person.clip;
    view.target = [root[figure.row * 3], root[figure.row * 3 + 1], 0.9];
  }
  view.update();
  stage.draw(view, scene);
  if (input) input.draw(scene.inputs, colours);
  place(scene);
  drawn = scene;
  progress();
  if (state.playing) times.push(performance.now() - began);
}

function request() {
  if (due || state.playing) return;
  due = true;
  requestAnimationFrame(draw);
}

/** Names above the people, where there are several, and beside the cameras. */
function place(scene) {
  const texts = [];
  if (people.length > 1) {
    for (const { person, pose } of scene.figures) {
      if (person.clip.index > 0 && second() === "over" && clips[0].people.length) continue;
      let top = -1;
      for (let joint = 0; joint < person.clip.count; joint++) {
        if (top < 0 || pose[joint * 3 + 2] > pose[top * 3 + 2]) top = joint;
      }
      const at = view.project(pose[top * 3], pose[top * 3 + 1], pose[top * 3 + 2] + 0.24);
      const kind = person === state.picked ? "picked" : "";
      if (at) texts.push({ at, text: person.label, kind });
    }
  }
  for (const camera of scene.cameras) {
    const at = view.project(...camera.position);
    if (at && scene.cameras.length > 1) texts.push({ at, text: camera.name, kind: "camera" });
  }
  texts.splice(40);
  while (labels.length < texts.length) labels.push($("labels").appendChild(document.createElement("span")));
  labels.forEach((label, number) => {
    const one = texts[number];
    label.hidden = !one;
    if (!one) return;
    if (label.textContent !== one.text) label.textContent = one.text;
    if (label.className !== one.kind) label.className = one.kind;
    const [x, y] = [one.at.x.toFixed(1), one.at.y.toFixed(1)];
    label.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
  });
}

let said = 0;
function progress() {
  const now = performance.now();
  const words = !state.playing || now - said > 150;
  if (words) said = now;
  $("frame").value = state.index;
  const first = Math.floor(state.index / chartFrames) * chartFrames;
  const end = Math.min(frames.length, first + chartFrames);
  for (const chart of charts) {
    chart.show(first, end);
    chart.at(state.index, words);
  }
  if (!words) return;
  const frame = frames[state.index] ?? 0;
  const seconds = page.fps ? ` · ${(frame / rate).toFixed(2)} s` : "";
  $("clock").textContent = `frame ${frame} · ${state.index + 1} of ${frames.length}${seconds}`;
  $("frame").setAttribute("aria-valuetext", `frame ${frame}${seconds}`);
}

// --- playing ---

let [clock, owed, slow] = [0, 0, []];

function tick(now) {
  if (!state.playing) return;
  const passed = Math.min(250, now - clock);
  clock = now;
  watch(passed);
  owed += (passed / 1000) * rate * state.speed;
  const gap = LONGEST_GAP * rate;
  let step = 0;
  while (state.index < frames.length - 1) {
    step = Math.min(gap, frames[state.index + 1] - frames[state.index]);
    if (owed < step) break;
    owed -= step;
    state.index++;
  }
  if (state.index >= frames.length - 1 && owed > 1) {
    state.index = 0;
    owed = 0;
  }
  draw();
  requestAnimationFrame(tick);
}

/** Canvas 2D instead of WebGL, where WebGL is too slow to play. */
function watch(passed) {
  if (stage.name !== "webgl" || $("drawing").dataset.chosen) return;
  slow.push(passed);
  if (slow.length < 20) return;
  slow.sort((a, b) => a - b);
  if (slow[10] > SLOW) {
    use("canvas");
    say("WebGL is slow here: drawn with Canvas 2D instead.");
  }
  slow = [];
}

function play(on) {
  state.playing = on && frames.length > 1;
  if (state.playing && state.index === frames.length - 1) state.index = 0;
  $("play").classList.toggle("playing", state.playing);
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  [clock, owed, slow] = [performance.now(), 0, []];
  if (state.playing) requestAnimationFrame(tick);
  else {
    describe();
    request();
  }
}

function seek(index) {
  state.index = Math.max(0, Math.min(frames.length - 1, Math.round(index)));
  owed = 0;
  if (!state.playing) describe();
  request();
}

const say = (text) => ($("status").textContent = text);

/** What is to be seen, in words. */
function describe() {
  const frame = frames[state.index] ?? 0;
  const here = people.filter((person) => person.clip.row(person, frame) >= 0);
  const names = here.filter(({ clip }) => clip.index === 0).map(({ label }) => label);
  const who = names.length > 6 ? `${names.length} people` : names.join(", ") || "nobody";
  $("stage").setAttribute("aria-label", `3D scene, frame ${frame}: ${who}`);
}

// --- views ---

let easing = 0;

function look(azimuth, elevation) {
  view.free();
  const centre = state.picked && asked("follow") ? null : middle();
  if (centre) view.target = centre;
  view.distance = far();
  ease({ azimuth, elevation });
}

function ease(goal) {
  cancelAnimationFrame(easing);
  const turn = ((((goal.azimuth - view.azimuth) % 360) + 540) % 360) - 180;
  const from = { azimuth: view.azimuth, elevation: view.elevation };
  const began = performance.now();
  const step = (now) => {
    const share = still.matches ? 1 : Math.max(0, Math.min(1, (now - began) / 250));
    const part = share * (2 - share);
    view.azimuth = from.azimuth + turn * part;
    view.elevation = from.elevation + (goal.elevation - from.elevation) * part;
    request();
    if (share < 1) easing = requestAnimationFrame(step);
  };
  step(began);
}

const middle = () => [(bounds.low[0] + right()) / 2, (bounds.low[1] + bounds.high[1]) / 2, 0.9];

/** A distance from which everybody is seen. */
function far() {
  const spread = Math.hypot(right() - bounds.low[0], bounds.high[1] - bounds.low[1]);
  return Math.max(3.6, Math.min(30, 2.6 + spread * 1.15));
}

const VIEWS = {
  front: () => look(0, 8),
  side: () => look(90, 8),
  top: () => look(0, 89.9),
  camera: () => {
    cancelAnimationFrame(easing);
    if (cameras.length) {
      const at = cameras.indexOf(view.camera);
      view.camera = cameras[(at + 1) % cameras.length];
      say(`Seen from ${view.camera.name}.`);
    }
    request();
  },
};

// --- people ---

function pick(person) {
  state.picked = person;
  $("person").value = people.indexOf(person);
  curves();
  presence();
  if (people.length > 1) say(`${person.label} is picked.`);
  request();
}

function pickAt(x, y) {
  let [best, least] = [null, 45];
  for (const { person, pose } of drawn?.figures ?? []) {
    for (let joint = 0; joint < person.clip.count; joint++) {
      const at = view.project(pose[joint * 3], pose[joint * 3 + 1], pose[joint * 3 + 2]);
      const distance = at ? Math.hypot(at.x - x, at.y - y) : Infinity;
      if (distance < least) [best, least] = [person, distance];
    }
  }
  if (best) pick(best);
}

/** The person of the other file that is most often in the same frames, nearest in pose. */
function partner(person) {
  if (clips.length < 2) return null;
  const others = clips[1 - person.clip.index].people;
  let [best, most] = [null, 0];
  for (const other of others) {
    if (other.name === person.name) return other;
    const shared = Math.min(person.to, other.to) - Math.max(person.from, other.from);
    if (shared >= most) [best, most] = [other, shared];
  }
  return best;
}

function curves() {
  if (!state.picked) return;
  const person = state.picked;
  const own = anglesOf(person, kinds, frames);
  const other = partner(person);
  const same = other && kindsOf(other.clip).length === kinds.length;
  const shown = same && second() !== "off";
  const theirs = shown ? anglesOf(other, kindsOf(other.clip), frames) : null;
  const sides = [["left", colours.left], ["right", colours.right]];
  kinds.forEach((kind, k) => {
    const series = sides.map(([label, colour], side) => ({
      label, colour, values: own[k][side], second: theirs?.[k][side],
    }));
    charts[k].set(series, colours);
  });
  if (charts.length > kinds.length) {
    const values = other ? differenceOf(person, other, frames) : new Float32Array(frames.length);
    const series = [{ label: "mean of joints", colour: colours.other, values }];
    charts[kinds.length].set(series, colours);
  }
}

function presence() {
  $("presence").replaceChildren();
  const person = state.picked;
  if (!person || frames.length < 2) return;
  let start = -1;
  const put = (from, to) => {
    const bar = document.createElement("b");
    bar.style.left = `${(100 * from) / frames.length}%`;
    bar.style.width = `${(100 * (to - from)) / frames.length}%`;
    $("presence").append(bar);
  };
  let bars = 0;
  for (let at = 0; at <= frames.length && bars < 500; at++) {
    const there = at < frames.length && person.clip.row(person, frames[at]) >= 0;
    if (there && start < 0) start = at;
    if (!there && start >= 0) {
      put(start, at);
      bars++;
      start = -1;
    }
  }
}

// --- set-up ---

function theme() {
  const chosen = $("theme").value;
  const night = chosen === "dark" || (chosen === "auto" && dark.matches);
  document.documentElement.toggleAttribute("data-dark", night);
  const style = getComputedStyle(document.documentElement);
  colours = Object.fromEntries(COLOURS.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
  stage?.theme(colours);
  legend();
  curves();
  request();
}

function legend() {
  const entries = [["left", colours.left], ["right", colours.right]];
  if (clips.length > 1) entries.push([clips[1].name, colours.other]);
  $("legend").replaceChildren(
    ...entries.map(([text, colour]) => {
      const [item, dot] = [document.createElement("span"), document.createElement("i")];
      dot.style.background = colour;
      item.append(dot, text);
      return item;
    }),
  );
}

function resize() {
  const box = $("stage").getBoundingClientRect();
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  view.resize(box.width, box.height);
  stage?.resize(box.width, box.height, ratio);
  if (input) input.resize();
  for (const chart of charts) chart.draw();
  request();
}

/** Whether the browser draws WebGL on a graphics processor. */
function hasGpu() {
  try {
    const context = document.createElement("canvas").getContext("webgl2");
    if (!context) return false;
    const facts = context.getExtension("WEBGL_debug_renderer_info");
    const name = facts ? context.getParameter(facts.UNMASKED_RENDERER_WEBGL) : "";
    context.getExtension("WEBGL_lose_context")?.loseContext();
    return !/swiftshader|llvmpipe|software|basic render/i.test(name);
  } catch {
    return false;
  }
}

function use(name) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  let made;
  try {
    made = name === "webgl" ? new WebglStage(canvas) : new CanvasStage(canvas);
  } catch {
    say("This browser has no WebGL: drawn with Canvas 2D.");
    made = new CanvasStage(canvas);
  }
  stage?.dispose();
  $("stage").querySelector("canvas")?.remove();
  $("stage").prepend(canvas);
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();
    if (stage === made) use("canvas");
  });
  stage = made;
  $("drawing").value = stage.name;
  stage.theme(colours);
  resize();
}

function controls() {
  const on = (id, kind, then) => $(id).addEventListener(kind, then);
  on("play", "click", () => play(!state.playing));
  on("first", "click", () => seek(0));
  on("back", "click", () => seek(state.index - 1));
  on("forward", "click", () => seek(state.index + 1));
  on("frame", "input", () => seek(Number($("frame").value)));
  on("speed", "change", () => (state.speed = Number($("speed").value)));
  on("theme", "change", theme);
  on("person", "change", () => pick(people[Number($("person").value)]));
  on("drawing", "change", () => {
    $("drawing").dataset.chosen = "yes";
    use($("drawing").value);
  });
  on("other", "change", () => {
    curves();
    ground = groundOf({ low: bounds.low, high: [right(), bounds.high[1]] });
    if (!view.camera) [view.target, view.distance] = [middle(), far()];
    request();
  });
  for (const name of Object.keys(VIEWS)) on(`view-${name}`, "click", VIEWS[name]);
  for (const id of ["bodies", "ground", "trail", "cameras", "contacts", "errors", "follow"]) {
    on(id, "change", request);
  }
  dark.addEventListener("change", theme);
  new ResizeObserver(resize).observe($("stage"));
  document.addEventListener("keydown", key);
  pointer();
}

const KEYS = {
  " ": () => play(!state.playing),
  ",": () => seek(state.index - 1),
  ".": () => seek(state.index + 1),
  "<": () => seek(state.index - 10),
  ">": () => seek(state.index + 10),
  Home: () => seek(0),
  End: () => seek(frames.length - 1),
  1: VIEWS.front,
  2: VIEWS.side,
  3: VIEWS.top,
  4: VIEWS.camera,
  n: () => people.length && pick(people[(people.indexOf(state.picked) + 1) % people.length]),
  b: () => $("bodies").click(),
  f: () => $("follow").click(),
  "+": () => view.zoom(0.88),
  "=": () => view.zoom(0.88),
  "-": () => view.zoom(1.14),
};
const TURNS = { ArrowLeft: [6, 0], ArrowRight: [-6, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] };

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  const own = target instanceof Element && target.closest("select, summary");
  const button = target instanceof Element && target.closest("button, input[type=checkbox]");
  const slider = target === $("frame");
  let then = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (target === $("stage") && TURNS[event.key]) then = () => view.turn(...TURNS[event.key]);
  if (!then || own || (button && event.key === " ")) return;
  if (slider && (event.key === "Home" || event.key === "End")) return;
  event.preventDefault();
  cancelAnimationFrame(easing);
  then();
  request();
}

/** Drag to turn, with shift or two fingers to move, pinch and wheel to zoom, tap to pick. */
function pointer() {
  const held = new Map();
  let moved = 0;
  const element = $("stage");
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    if (held.size === 1) moved = 0;
    cancelAnimationFrame(easing);
  });
  element.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 4) return;
    if (held.size === 1) {
      if (event.shiftKey || event.buttons === 2) view.pan(dx, dy);
      else view.turn(-dx * 0.35, dy * 0.3);
    } else {
      const [other] = [...held].find(([id]) => id !== event.pointerId).slice(1);
      const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      const [was, is] = [gap(before), gap([event.clientX, event.clientY])];
      if (was > 10 && is > 10) view.zoom(was / is);
      view.pan(dx / 2, dy / 2);
    }
    held.set(event.pointerId, [event.clientX, event.clientY]);
    request();
  });
  const end = (event) => {
    if (held.delete(event.pointerId) && moved < 4 && event.type === "pointerup") {
      const box = element.getBoundingClientRect();
      pickAt(event.clientX - box.left, event.clientY - box.top);
    }
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      view.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.002));
      request();
    },
    { passive: false },
  );
}

function fill() {
  document.title = page.title;
  $("title").textContent = page.title;
  people.forEach((person, number) => {
    person.label = clips.length > 1 ? `${person.name} (${person.clip.name})` : person.name;
    const option = document.createElement("option");
    option.value = number;
    option.textContent = person.label;
    $("person").append(option);
  });
  $("person").closest("label").hidden = people.length < 2;
  $("frame").max = Math.max(0, frames.length - 1);
  $("other").closest("label").hidden = clips.length < 2;
  if (clips.length > 1) $("other-name").textContent = clips[1].name;
  const absent = {
    contacts: clips.every((clip) => !clip.contacts),
    errors: clips.every((clip) => !clip.sigma),
    cameras: !cameras.length,
    trail: clips.every((clip) => !clip.placed),
  };
  for (const [id, missing] of Object.entries(absent)) {
    $(id).disabled = missing;
    $(id).closest("label").hidden = missing;
  }
  $("view-camera").hidden = !cameras.length;
  for (const clip of clips) {
    for (const [name, value] of clip.facts) {
      const [term, words] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = clips.length > 1 ? `${clip.name}: ${name}` : name;
      words.textContent = value;
      $("facts").append(term, words);
    }
  }
  const first = clips.find((clip) => clip.keypoints);
  $("input").hidden = !first;
  if (first) {
    input = new InputPanel($("image"));
    input.fit(first);
  }
}

function makeCharts() {
  kinds = state.picked ? kindsOf(state.picked.clip) : [];
  const names = kinds.map(({ name }) => [name, "°"]);
  if (clips.length > 1) names.push(["Difference of the files", "mm"]);
  $("curves").hidden = !names.length;
  for (const [name, unit] of names) {
    const element = $("chart").content.firstElementChild.cloneNode(true);
    $("curves").append(element);
    charts.push(new Chart(element, { name, unit, seek }));
  }
}

/** A first view that shows the people from in front of the camera, a little from the side. */
function begin() {
  fill();
  makeCharts();
  theme();
  view.target = middle();
  view.distance = far();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("drawing");
  if (wanted) $("drawing").dataset.chosen = "yes";
  use(wanted ?? (hasGpu() ? "webgl" : "canvas"));
  controls();
  presence();
  if (state.picked) $("person").value = 0;
  if (!frames.length) say("Nobody is in this file.");
  else if (clips[0].notes.length) say(clips[0].notes.join(" "));
  describe();
}

begin();

/** For tests and measurements. */
window.viewer = {
  state, times, page,
  drawing: () => stage.name,
  seek,
  figures: () =>
    drawn.figures.map(({ person, pose }) => ({
      name: person.name,
      clip: person.clip.index,
      joints: Array.from({ length: person.clip.count }, (_, joint) =>
        view.project(pose[joint * 3], pose[joint * 3 + 1], pose[joint * 3 + 2]),
      ),
    })),
};
