// A figure as tapered capsules between weighted means of joints; the same for every way to draw.

export const TAPER = 0.82; // of a limb: its thin end over its thick one; other shapes have none
const RADII = [
  ["knee", 0.075], ["ankle", 0.055], ["elbow", 0.047], ["wrist", 0.037], ["toe", 0.03],
  ["foot", 0.035], ["heel", 0.03], ["hand", 0.03],
];
const STICK = 0.016;
const BALL = 0.026;

const LIMBS = /knee|ankle|elbow|wrist|toe|foot|heel|hand/;

function limbRadius(name) {
  const found = RADII.find(([word]) => name.includes(word));
  return found ? found[1] : 0.02;
}

/** Shapes of a skeleton: `{from, to, radius, end, side, group}`; points are `[joint, weight]`s. */
export function shapesOf(clip) {
  const index = Object.fromEntries(clip.joints.map((name, number) => [name, number]));
  const sticks = clip.bones.map(([parent, child]) => ({
    from: [[parent, 1]], to: [[child, 1]], radius: STICK, end: STICK,
    side: clip.sides[child], group: child,
  }));
  const balls = clip.joints.map((_, joint) => ({
    from: [[joint, 1]], to: null, radius: BALL, end: BALL, side: clip.sides[joint],
    group: 1000 + joint,
  }));
  return { sticks: [...sticks, ...balls], bodies: bodies(clip, index) ?? [...sticks, ...balls] };
}

function bodies(clip, index) {
  const has = (...names) => names.every((name) => name in index);
  if (!has("left_hip", "right_hip", "left_shoulder", "right_shoulder")) return null;
  const shapes = [];
  const put = (from, to, radius, side, group, end = radius * TAPER) =>
    shapes.push({ from, to, radius, end, side, group });
  clip.bones.forEach(([parent, child]) => {
    const name = clip.joints[child];
    if (!LIMBS.test(name)) return;
    put([[parent, 1]], [[child, 1]], limbRadius(name), clip.sides[child], child);
  });
  const [lh, rh, ls, rs] = ["left_hip", "right_hip", "left_shoulder", "right_shoulder"].map(
    (name) => index[name],
  );
  const hips = [[lh, 0.5], [rh, 0.5]];
  const shoulders = [[ls, 0.5], [rs, 0.5]];
  const waist = [[lh, 0.28], [rh, 0.28], [ls, 0.22], [rs, 0.22]];
  const side = (near, far) => [[near, 0.78], [far, 0.22]];
  for (const [hip, otherHip, shoulder, otherShoulder] of [[lh, rh, ls, rs], [rh, lh, rs, ls]]) {
    put(hips, [[hip, 1]], 0.11, 0, -1);
    put(shoulders, [[shoulder, 1]], 0.088, 0, -1);
    put(side(hip, otherHip), waist, 0.1, 0, -1, 0.1);
    put(waist, side(shoulder, otherShoulder), 0.1, 0, -1, 0.1);
  }
  put(hips, shoulders, 0.115, 0, -1, 0.115);
  const head = headOf(index, has);
  if (head) {
    put(shoulders, head, 0.055, 0, -2, 0.055);
    put(head, null, 0.105, 0, -3, 0.105);
  }
  return shapes;
}

function headOf(index, has) {
  if (has("left_ear", "right_ear", "nose")) {
    return [[index.left_ear, 0.4], [index.right_ear, 0.4], [index.nose, 0.2]];
  }
  if (has("nose", "head")) return [[index.nose, 0.5], [index.head, 0.5]];
  if (has("neck", "head")) return [[index.neck, 0.5], [index.head, 0.5]];
  for (const name of ["head", "nose"]) if (has(name)) return [[index[name], 1]];
  return null;
}

/** A weighted mean of joints into `out`; false where one of them is not known. */
export function pointAt(pose, parts, out) {
  out[0] = out[1] = out[2] = 0;
  for (const [joint, weight] of parts) {
    out[0] += weight * pose[joint * 3];
    out[1] += weight * pose[joint * 3 + 1];
    out[2] += weight * pose[joint * 3 + 2];
  }
  return out[0] === out[0];
}
