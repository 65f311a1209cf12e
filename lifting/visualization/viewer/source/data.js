// What the page was given: clips of people, as typed arrays in base64. Metres, z up.

const TYPES = { f4: Float32Array, i4: Int32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };
const UNKNOWN = { i2: -32768, u2: 65535, u1: 255 };

function unpack(packed) {
  if (!packed) return null;
  const text = atob(packed.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new TYPES[packed.type](bytes.buffer);
}

/** Numbers that were rounded to whole ones; those that are not known are NaN. */
class Rounded {
  constructor(packed) {
    this.values = unpack(packed);
    this.scale = packed.scale;
    this.unknown = UNKNOWN[packed.type];
  }

  at(index) {
    const value = this.values[index];
    return value === this.unknown ? NaN : value * this.scale;
  }
}

const rounded = (packed) => (packed ? new Rounded(packed) : null);

/** One file: rows of people, sorted by person and frame. */
export class Clip {
  constructor(given, index) {
    Object.assign(this, given);
    this.index = index;
    this.count = given.joints.length;
    this.frame = unpack(given.frame);
    this.root = unpack(given.root);
    this.offsets = new Rounded(given.offsets);
    this.sigma = rounded(given.sigma);
    this.keypoints = rounded(given.keypoints);
    this.confidence = rounded(given.confidence);
    this.contacts = unpack(given.contacts);
    this.bones = given.parents.map((parent, child) => [parent, child]).filter(([p]) => p >= 0);
    this.people = given.people.map((person, number) => ({ ...person, number, clip: this }));
  }

  /** Row of a person in a frame, or -1. */
  row(person, frame) {
    let [low, high] = [person.first, person.end - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.frame[middle];
      if (found === frame) return middle;
      if (found < frame) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Joints of a row into `out`, metres, moved to the right; NaN where not known. */
  pose(row, out, aside = 0) {
    const { values, scale, unknown } = this.offsets;
    const size = this.count * 3;
    const [x, y, z] = [this.root[row * 3] + aside, this.root[row * 3 + 1], this.root[row * 3 + 2]];
    for (let k = 0, from = row * size; k < size; k += 3, from += 3) {
      const known = values[from] !== unknown;
      out[k] = known ? x + values[from] * scale : NaN;
      out[k + 1] = known ? y + values[from + 1] * scale : NaN;
      out[k + 2] = known ? z + values[from + 2] * scale : NaN;
    }
    return out;
  }
}

/** Where most of the values are, `[low, high]`: all but one in a hundred at each end; null for none. */
export function span(values) {
  const known = Float64Array.from(values.filter((value) => value === value)).sort();
  if (!known.length) return null;
  const cut = Math.floor(known.length / 100);
  return [known[cut], known[known.length - 1 - cut]];
}

/** All that the page shows: its clips, and every frame in which there is somebody. */
export function decode(text) {
  const given = JSON.parse(text);
  const clips = given.clips.map((clip, index) => new Clip(clip, index));
  const all = new Set();
  for (const clip of clips) for (const frame of clip.frame) all.add(frame);
  const frames = Int32Array.from(all).sort();
  return { title: given.title, clips, frames, fps: clips[0].fps };
}
