// Drives the viewer's page in headless Chromium, and prints what it found as JSON.
//
//   node look.mjs check PAGE.html=PART,PART ...      parts: canvas, webgl, touch, keyboard, themes, title
//   node look.mjs measure PAGE.html SECONDS          time of loading and of frames while it plays
//   node look.mjs picture PAGE.html OUT.png WIDTH HEIGHT SCHEME DRAWING FRAME

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const [mode, ...words] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-gpu"],
});

async function open(path, { drawing = "canvas", ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 860 }, bypassCSP: false, ...options,
  });
  const page = await context.newPage();
  const url = `${pathToFileURL(path)}#drawing=${drawing}`;
  const trouble = [];
  page.on("console", (message) => {
    if (message.type() === "error") trouble.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const address = request.url();
    if (address !== url.split("#")[0] && address !== "data:,") trouble.push(`request: ${address}`);
  });
  const began = performance.now();
  await page.goto(url);
  await page.waitForFunction(() => window.viewer?.figures);
  return { page, context, trouble, load: performance.now() - began };
}

const state = (page) =>
  page.evaluate(() => ({
    index: viewer.state.index, playing: viewer.state.playing, picked: viewer.state.picked?.name,
    drawing: viewer.drawing(), frames: viewer.page.frames.length,
    status: document.getElementById("status").textContent,
  }));

const settle = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

/** Violations that axe finds, in words. The page forbids foreign scripts: axe goes in by the driver. */
async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document));
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 120)).join(" ")}`,
  );
}

/** The colour in the middle of each limb, and that of its side. */
async function limbs(page) {
  const figures = await page.evaluate(() => {
    const clip = viewer.page.clips[0];
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const sides = [colour("centre"), colour("left"), colour("right")];
    const [figure] = viewer.figures();
    return clip.joints
      .map((name, joint) => ({
        name, side: clip.sides[joint], wanted: sides[clip.sides[joint]],
        a: figure.joints[clip.parents[joint]], b: figure.joints[joint],
      }))
      .filter(({ name }) => /knee|ankle|elbow|wrist/.test(name));
  });
  const box = await page.locator("#stage").boundingBox();
  const image = (await page.screenshot({ clip: box })).toString("base64");
  const blank = await page.context().newPage();
  const colours = await blank.evaluate(
    async ({ image, figures }) => {
      const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      return figures.map(({ a, b }) => [
        ...context.getImageData(Math.round((a.x + b.x) / 2), Math.round((a.y + b.y) / 2), 1, 1).data,
      ]);
    },
    { image, figures },
  );
  await blank.close();
  return figures.map((figure, i) => ({ ...figure, colour: colours[i].slice(0, 3) }));
}

/** Everything that a person does with a mouse. */
async function mouse(path, drawing) {
  const viewport = { width: 960, height: 640 };
  const { page, context, trouble, load } = await open(path, { drawing, viewport });
  const found = { load, start: await state(page), limbs: await limbs(page) };
  await page.locator("#play").click();
  await page.waitForFunction(() => viewer.state.index > 3);
  await page.locator("#play").click();
  found.played = await state(page);
  const slider = page.locator("#frame");
  await slider.evaluate((element) => {
    element.value = 5;
    element.dispatchEvent(new Event("input"));
  });
  found.scrubbed = (await state(page)).index;
  await page.locator("#forward").click();
  found.stepped = (await state(page)).index;
  await settle(page);
  const box = await page.locator("#stage").boundingBox();
  const others = await page.evaluate(() =>
    viewer.figures().filter(({ name, clip }) => clip === 0 && name !== viewer.state.picked.name));
  if (others.length) {
    const { x, y } = others.at(-1).joints[0];
    await page.mouse.click(box.x + x, box.y + y);
    found.clicked = [(await state(page)).picked, others.at(-1).name];
  }
  const wrist = () => page.evaluate(() => viewer.figures()[0].joints.at(-1).x);
  const before = await wrist();
  await page.mouse.move(box.x + 60, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + 200, box.y + 80, { steps: 4 });
  await page.mouse.up();
  await page.mouse.wheel(0, -300);
  await settle(page);
  found.dragged = Math.abs((await wrist()) - before);
  for (const name of ["front", "side", "top", "camera"]) {
    const button = page.locator(`#view-${name}`);
    if (await button.isVisible()) await button.click();
  }
  for (const name of ["bodies", "ground", "errors", "follow", "trail"]) {
    const box = page.locator(`#${name}`);
    if (await box.isVisible()) await box.click();
  }
  if (await page.locator("#other").isVisible()) await page.locator("#other").selectOption("beside");
  await page.locator("#drawing").selectOption(drawing === "canvas" ? "webgl" : "canvas");
  await settle(page);
  found.end = await state(page);
  found.trouble = trouble;
  await context.close();
  return found;
}

/** The same with fingers alone, on a phone. */
async function touch(path) {
  const { page, context, trouble } = await open(path, {
    viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true,
  });
  const driver = await context.newCDPSession(page);
  const fingers = (type, places) =>
    driver.send("Input.dispatchTouchEvent", {
      type, touchPoints: places.map(([x, y], id) => ({ x, y, id })),
    });
  const drag = async (from, to) => {
    await fingers("touchStart", from);
    for (let step = 1; step <= 5; step++) {
      const part = step / 5;
      await fingers("touchMove", from.map(([x, y], i) => [
        x + part * (to[i][0] - x), y + part * (to[i][1] - y),
      ]));
    }
    await fingers("touchEnd", []);
    await settle(page);
  };
  const seen = () => page.evaluate(() => {
    const [{ joints }] = viewer.figures();
    const [hip, head, wrist] = [joints[0], joints[10], joints.at(-1)];
    return { hip, across: wrist.x - hip.x, tall: Math.abs(head.y - hip.y) };
  });
  const tap = (name) => page.locator(name).tap();
  const stage = await page.locator("#stage").boundingBox();
  const at = (x, y) => [stage.x + x * stage.width, stage.y + y * stage.height];
  const found = { start: (await state(page)).index };
  const first = await seen();
  await drag([at(0.3, 0.5)], [at(0.7, 0.5)]);
  const turned = await seen();
  found.turned = { across: turned.across / first.across, tall: turned.tall / first.tall };
  await drag([at(0.4, 0.5), at(0.6, 0.5)], [at(0.3, 0.5), at(0.7, 0.5)]);
  const nearer = await seen();
  found.pinched = nearer.tall / turned.tall;
  await drag([at(0.3, 0.5), at(0.7, 0.5)], [at(0.4, 0.5), at(0.6, 0.5)]);
  const back = await seen();
  found.unpinched = back.tall / turned.tall;
  await drag([at(0.4, 0.5), at(0.6, 0.5)], [at(0.4, 0.7), at(0.6, 0.7)]);
  found.moved = ((await seen()).hip.y - back.hip.y) / stage.height;
  found.still = (await state(page)).index;
  const other = await page.evaluate(() =>
    viewer.figures().find(({ name, clip }) => clip === 0 && name !== viewer.state.picked.name));
  await page.touchscreen.tap(stage.x + other.joints[0].x, stage.y + other.joints[0].y);
  found.tapped = [(await state(page)).picked, other.name];
  const slider = await page.locator("#frame").boundingBox();
  const along = (part) => [slider.x + part * slider.width, slider.y + slider.height / 2];
  await drag([along(0.05)], [along(0.5)]);
  found.scrubbed = (await state(page)).index;
  await tap("#play");
  await page.waitForFunction((index) => viewer.state.index > index + 2, found.scrubbed);
  await tap("#play");
  found.played = await state(page);
  found.shift = await page.evaluate(() => [scrollX, scrollY, visualViewport.scale]);
  found.trouble = trouble;
  await context.close();
  return found;
}

/** The same with the keyboard alone, on a page that asks for no motion. */
async function keyboard(path) {
  const { page, context, trouble } = await open(path, { reducedMotion: "reduce" });
  const found = { reached: [] };
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    const id = await page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
    if (found.reached.includes(id) || id === "BODY") break;
    found.reached.push(id);
  }
  await page.locator("#play").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => viewer.state.index > 1);
  await page.keyboard.press("Space");
  found.paused = !(await state(page)).playing;
  await page.locator("#stage").focus();
  await page.keyboard.press("End");
  found.last = (await state(page)).index;
  await page.keyboard.press("Home");
  await page.keyboard.press(".");
  await page.keyboard.press(".");
  await page.keyboard.press(",");
  found.stepped = (await state(page)).index;
  await page.keyboard.press("n");
  found.picked = (await state(page)).picked;
  const joint = () => page.evaluate(() => viewer.figures()[0].joints[0]);
  await settle(page);
  const first = await joint();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("+");
  await settle(page);
  const turned = await joint();
  found.turned = Math.hypot(turned.x - first.x, turned.y - first.y);
  await page.keyboard.press("3");
  await settle(page);
  const top = await joint();
  await page.waitForTimeout(300);
  const still = await joint();
  found.eased = Math.hypot(still.x - top.x, still.y - top.y);
  found.label = await page.locator("#stage").getAttribute("aria-label");
  found.trouble = trouble;
  await context.close();
  return found;
}

async function themes(path) {
  const found = {};
  for (const [name, width, scheme] of [
    ["desktop light", 1280, "light"], ["desktop dark", 1280, "dark"],
    ["phone light", 360, "light"], ["phone dark", 360, "dark"],
  ]) {
    const options = { viewport: { width, height: 740 }, colorScheme: scheme, hasTouch: width < 500 };
    const { page, context, trouble } = await open(path, options);
    await page.locator("summary").click();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    found[name] = { wide, back, violations: await violations(page), trouble };
    await context.close();
  }
  return found;
}

async function title(path) {
  const { page, context, trouble } = await open(path);
  const images = await page.locator("img").count();
  const text = await page.locator("#title").textContent();
  await context.close();
  return { text, images, trouble };
}

const PARTS = {
  canvas: (path) => mouse(path, "canvas"),
  webgl: (path) => mouse(path, "webgl"),
  touch, keyboard, themes, title,
};

async function measure(path, seconds) {
  const found = {};
  for (const drawing of ["canvas", "webgl"]) {
    const { page, context, load } = await open(path, { drawing });
    found[drawing] = {
      load_ms: load,
      ...(await page.evaluate(async (seconds) => {
        viewer.times.length = 0;
        document.getElementById("play").click();
        const began = performance.now();
        await new Promise((done) => setTimeout(done, seconds * 1000));
        document.getElementById("play").click();
        const passed = (performance.now() - began) / 1000;
        const times = [...viewer.times].sort((a, b) => a - b);
        const part = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
        return {
          drawing: viewer.drawing(), frames_a_second: times.length / passed,
          script_ms_median: part(0.5), script_ms_p95: part(0.95),
        };
      }, seconds)),
    };
    await context.close();
  }
  return found;
}

async function picture(path, out, width, height, scheme, drawing, frame) {
  const viewport = { width: Number(width), height: Number(height) };
  const { page, context, trouble } = await open(path, { drawing, viewport, colorScheme: scheme });
  await page.evaluate((index) => viewer.seek(index), Number(frame));
  await settle(page);
  await page.screenshot({ path: out, fullPage: viewport.width < 500 });
  await context.close();
  return { out, trouble };
}

let answer = {};
try {
  if (mode === "check") {
    for (const word of words) {
      const [path, parts] = word.split("=");
      answer[path] = {};
      for (const part of parts.split(",")) answer[path][part] = await PARTS[part](path);
    }
  } else if (mode === "measure") answer = await measure(words[0], Number(words[1] ?? 5));
  else answer = await picture(...words);
} finally {
  await browser.close();
}
console.log(JSON.stringify(answer));
