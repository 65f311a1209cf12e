// Makes viewer.html above this folder, and viewer.json, which says from what: `make viewer`.

import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { build, transform, version } from "esbuild";

const here = new URL("./", import.meta.url);
const read = (name) => readFile(new URL(name, here), "utf8");
const sha256 = (text, form) => createHash("sha256").update(text).digest(form);

const bundled = await build({
  entryPoints: [new URL("main.js", here).pathname],
  bundle: true, minify: true, format: "iife", target: "es2022", write: false, legalComments: "none",
});
const three = JSON.parse(await read("node_modules/three/package.json"));
const credit = `/* three.js ${three.version}, MIT, Copyright 2010-2026 three.js authors */`;
const script = `${credit}\n${bundled.outputFiles[0].text.trim()}`;
const style = (await transform(await read("style.css"), { loader: "css", minify: true })).code.trim();
if (/<\/script|<!--/i.test(script)) throw new Error("the script would end the page's element");

const policy = [
  "default-src 'none'", `script-src 'sha256-${sha256(script, "base64")}'`,
  `style-src 'sha256-${sha256(style, "base64")}'`, "img-src data:", "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const parts = { "@POLICY@": policy, "@STYLE@": style, "@SCRIPT@": script };
const page = (await read("index.html")).replace(/@(POLICY|STYLE|SCRIPT)@/g, (name) => parts[name]);

const names = (await readdir(here)).filter((name) => /\.(js|css|html|mjs)$|^package.*\.json$/.test(name));
const sources = {};
for (const name of names.sort()) sources[name] = sha256(await read(name), "hex");
const facts = {
  file: "viewer.html", sha256: sha256(page, "hex"), bytes: Buffer.byteLength(page),
  holds: [{ name: "three", version: three.version, licence: "MIT", text: "LICENSE.three" }],
  made_with: { esbuild: version }, sources,
};
await writeFile(new URL("../viewer.html", here), page);
await writeFile(new URL("../viewer.json", here), `${JSON.stringify(facts, null, 2)}\n`);
await writeFile(new URL("../LICENSE.three", here), await read("node_modules/three/LICENSE"));
