// Angles of the joints over time, and how far two files are from one another.

const KINDS = [
  ["Knee", "knee", "hip", "ankle", true],
  ["Hip", "hip", "shoulder", "knee", true],
  ["Elbow", "elbow", "shoulder", "wrist", true],
  ["Shoulder", "shoulder", "hip", "elbow", false],
];
const DEGREES = 180 / Math.PI;

function angle(pose, at, one, other) {
  const [a, b, c] = [at * 3, one * 3, other * 3];
  let [dot, first, second] = [0, 0, 0];
  for (let axis = 0; axis < 3; axis++) {
    const u = pose[b + axis] - pose[a + axis];
    const v = pose[c + axis] - pose[a + axis];
    dot += u * v;
    first += u * u;
    second += v * v;
  }
  return Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(first * second)))) * DEGREES;
}

/** Kinds of angles whose joints a clip has: name, and joints of the left and the right side. */
export function kindsOf(clip) {
  const index = (side, joint) => clip.joints.indexOf(`${side}_${joint}`);
  return KINDS.map(([name, at, one, other, flexion]) => ({
    name,
    flexion,
    sides: ["left", "right"].map((side) => [index(side, at), index(side, one), index(side, other)]),
  })).filter((kind) => kind.sides.flat().every((joint) => joint >= 0));
}

/**
 * Angles of a person, degrees, over the frames of the page; NaN where not known. Of the knee, hip
 * and elbow 0 is straight; the shoulder's is the upper arm's from the trunk.
 */
export function anglesOf(person, kinds, frames) {
  const { clip } = person;
  const pose = new Float32Array(clip.count * 3);
  const found = kinds.map(() => [0, 1].map(() => new Float32Array(frames.length).fill(NaN)));
  let at = 0;
  for (let row = person.first; row < person.end; row++) {
    while (frames[at] < clip.frame[row]) at++;
    clip.pose(row, pose);
    kinds.forEach((kind, k) =>
      kind.sides.forEach((joints, side) => {
        const value = angle(pose, ...joints);
        found[k][side][at] = kind.flexion ? 180 - value : value;
      }),
    );
  }
  return found;
}

/** Mean distance of the joints that two people share, roots laid on one another, mm a frame. */
export function differenceOf(one, other, frames) {
  const pairs = one.clip.joints
    .map((name, joint) => [joint, other.clip.joints.indexOf(name)])
    .filter(([, there]) => there >= 0);
  const roots = [one.clip, other.clip].map((clip) => clip.parents.indexOf(-1));
  const poses = [one.clip, other.clip].map((clip) => new Float32Array(clip.count * 3));
  return Float32Array.from(frames, (frame) => {
    const rows = [one.clip.row(one, frame), other.clip.row(other, frame)];
    if (rows[0] < 0 || rows[1] < 0) return NaN;
    one.clip.pose(rows[0], poses[0]);
    other.clip.pose(rows[1], poses[1]);
    let [sum, known] = [0, 0];
    for (const [here, there] of pairs) {
      let square = 0;
      for (let axis = 0; axis < 3; axis++) {
        const a = poses[0][here * 3 + axis] - poses[0][roots[0] * 3 + axis];
        const b = poses[1][there * 3 + axis] - poses[1][roots[1] * 3 + axis];
        square += (a - b) ** 2;
      }
      if (square === square) {
        sum += Math.sqrt(square);
        known++;
      }
    }
    return known ? (1000 * sum) / known : NaN;
  });
}
