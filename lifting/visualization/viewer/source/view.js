// Where the viewer stands: an orbit around a point, or the place of a camera that filmed.

const RADIANS = Math.PI / 180;

export class View {
  constructor() {
    this.azimuth = 25;
    this.elevation = 12;
    this.distance = 4;
    this.target = [0, 0, 0.9];
    this.fov = 35;
    this.width = 1;
    this.height = 1;
    this.camera = null;
    this.right = [1, 0, 0];
    this.up = [0, 0, 1];
    this.ahead = [0, 1, 0];
    this.eye = [0, 0, 0];
  }

  resize(width, height) {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
  }

  /** Axes and place of the eye, and pixels of a length at unit distance. */
  update() {
    if (this.camera) this.#stand();
    else this.#orbit();
    this.focal = this.height / 2 / Math.tan((this.verticalFov() * RADIANS) / 2);
  }

  verticalFov() {
    const aspect = this.width / this.height;
    if (this.camera) {
      const { size, focal } = this.camera;
      const half = Math.max(size[1] / 2, size[0] / 2 / aspect) / focal;
      return (2 * Math.atan(half)) / RADIANS;
    }
    if (aspect >= 1) return this.fov;
    return (2 * Math.atan(Math.tan((this.fov * RADIANS) / 2) / aspect)) / RADIANS;
  }

  #orbit() {
    const [a, e] = [this.azimuth * RADIANS, this.elevation * RADIANS];
    const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
    this.right = [ca, sa, 0];
    this.up = [-sa * se, ca * se, ce];
    this.ahead = [-sa * ce, ca * ce, -se];
    this.eye = this.target.map((value, axis) => value - this.distance * this.ahead[axis]);
  }

  #stand() {
    const { rotation, position } = this.camera;
    this.right = rotation[0];
    this.up = rotation[1].map((value) => -value);
    this.ahead = rotation[2];
    this.eye = position;
  }

  /** From a camera's place into an orbit that looks the same way. */
  free() {
    if (!this.camera) return;
    const [x, y, z] = this.ahead;
    this.azimuth = Math.atan2(-x, y) / RADIANS;
    this.elevation = Math.asin(Math.max(-1, Math.min(1, -z))) / RADIANS;
    this.distance = Math.hypot(...this.target.map((value, axis) => value - this.eye[axis]));
    this.camera = null;
  }

  turn(azimuth, elevation) {
    this.free();
    this.azimuth += azimuth;
    this.elevation = Math.max(-10, Math.min(89.9, this.elevation + elevation));
  }

  zoom(factor) {
    this.free();
    this.distance = Math.max(0.5, Math.min(60, this.distance * factor));
  }

  pan(x, y) {
    this.free();
    const scale = this.distance / this.focal;
    for (let axis = 0; axis < 3; axis++) {
      this.target[axis] += (-x * this.right[axis] + y * this.up[axis]) * scale;
    }
  }

  /** Pixels and distance along the line of sight of a point; null behind the eye. */
  project(x, y, z) {
    const [dx, dy, dz] = [x - this.eye[0], y - this.eye[1], z - this.eye[2]];
    const depth = dx * this.ahead[0] + dy * this.ahead[1] + dz * this.ahead[2];
    if (!(depth > 0.05)) return null;
    const scale = this.focal / depth;
    return {
      x: this.width / 2 + scale * (dx * this.right[0] + dy * this.right[1] + dz * this.right[2]),
      y: this.height / 2 - scale * (dx * this.up[0] + dy * this.up[1] + dz * this.up[2]),
      depth,
      scale,
    };
  }
}
