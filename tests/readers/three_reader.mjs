// Reads GLB with three.js, from the folder of `make readers`. Arguments: that folder, file.
// Prints the joints' names and their places in metres at every key.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

globalThis.self = globalThis;
globalThis.ProgressEvent = class {};
const load = (file) => import(pathToFileURL(`${process.argv[2]}/node_modules/three/${file}`).href);
const THREE = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");

const bytes = readFileSync(process.argv[3]);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
new GLTFLoader().parse(buffer, "", (gltf) => {
  const clip = gltf.animations[0];
  const mixer = new THREE.AnimationMixer(gltf.scene);
  const action = mixer.clipAction(clip).setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true; // else the last key is the first again
  action.play();
  const skins = [];
  gltf.scene.traverse((node) => node.isSkinnedMesh && skins.push(node));
  const times = [...new Set(clip.tracks.flatMap((track) => [...track.times]))].sort((a, b) => a - b);
  const people = skins.map((skin) => ({ names: skin.skeleton.bones.map((b) => b.name), points: [] }));
  const place = new THREE.Vector3();
  for (const time of times) {
    mixer.setTime(time);
    gltf.scene.updateMatrixWorld(true);
    skins.forEach((skin, i) =>
      people[i].points.push(skin.skeleton.bones.map((b) => b.getWorldPosition(place).toArray())));
  }
  console.log(JSON.stringify({ times, people }));
});
