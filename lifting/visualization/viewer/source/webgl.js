// Drawn with three.js, which is in the bundle; the same interface as Canvas 2D.

import {
  AmbientLight, BufferAttribute, BufferGeometry, CircleGeometry, Color, CylinderGeometry,
  DirectionalLight, DynamicDrawUsage, InstancedMesh, LineBasicMaterial, LineSegments, Matrix4, Mesh,
  MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, PlaneGeometry, RingGeometry, Scene,
  SphereGeometry, WebGLRenderer,
} from "three";

import { pointAt, TAPER } from "./body.js";

const LIMIT = 4096; // shapes at once
const LIGHT = [0.35, -0.45, 0.82];

/** A mesh of many copies, whose number changes from frame to frame. */
function copies(geometry, material) {
  const mesh = new InstancedMesh(geometry, material, LIMIT);
  mesh.instanceMatrix.setUsage(DynamicDrawUsage);
  mesh.setColorAt(0, new Color());
  mesh.instanceColor.setUsage(DynamicDrawUsage);
  mesh.frustumCulled = false;
  mesh.count = 0;
  return mesh;
}

function lines(material) {
  const mesh = new LineSegments(new BufferGeometry(), material);
  mesh.frustumCulled = false;
  return mesh;
}

export class WebglStage {
  constructor(canvas) {
    this.name = "webgl";
    this.renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.scene = new Scene();
    this.camera = new PerspectiveCamera();
    this.camera.matrixAutoUpdate = false;
    this.scene.add(new AmbientLight(0xffffff, 1.7));
    const light = new DirectionalLight(0xffffff, 1.9);
    light.position.set(...LIGHT);
    this.scene.add(light);

    const skin = new MeshLambertMaterial();
    const tube = (end) => new CylinderGeometry(end, 1, 1, 16, 1, true).rotateX(Math.PI / 2);
    this.tubes = copies(tube(1), skin); // along z, from -1/2 to 1/2
    this.limbs = copies(tube(TAPER), skin);
    this.balls = copies(new SphereGeometry(1, 20, 14), skin);
    this.solid = [this.tubes, this.limbs, this.balls];
    this.shade = new MeshBasicMaterial();
    this.shadows = this.solid.map((mesh) => this.#shadowOf(mesh));
    const errors = { transparent: true, opacity: 0.22, depthWrite: false, depthTest: false };
    this.errors = copies(new SphereGeometry(1, 12, 8), new MeshBasicMaterial(errors));
    this.discs = copies(new CircleGeometry(1, 24), new MeshBasicMaterial());
    this.rings = copies(new RingGeometry(0.9, 1, 40), new MeshBasicMaterial());
    this.floor = new Mesh(new PlaneGeometry(1, 1), new MeshBasicMaterial());
    this.grid = lines(new LineBasicMaterial());
    this.frames = lines(new LineBasicMaterial());
    this.trails = lines(new LineBasicMaterial({ vertexColors: true }));
    this.floor.position.z = -0.004;
    this.scene.add(
      this.floor, this.grid, this.frames, this.trails, ...this.shadows, ...this.solid,
      this.discs, this.rings, this.errors,
    );
    this.matrix = new Matrix4();
    this.colour = new Color();
    this.known = new Map();
  }

  /** The same copies, laid flat on the ground. */
  #shadowOf(mesh) {
    const shadow = new InstancedMesh(mesh.geometry, this.shade, LIMIT);
    shadow.instanceMatrix = mesh.instanceMatrix;
    shadow.frustumCulled = false;
    shadow.matrixAutoUpdate = false;
    shadow.matrix.set(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0.003, 0, 0, 0, 1);
    return shadow;
  }

  theme(colours) {
    this.colours = colours;
    this.scene.background = new Color(colours.stage);
    this.floor.material.color.set(colours.floor);
    this.grid.material.color.set(colours.grid);
    this.frames.material.color.set(colours.camera);
    this.shade.color.set(colours.shadow);
    this.errors.material.color.set(colours.error);
  }

  resize(width, height, ratio) {
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
  }

  dispose() {
    this.renderer.dispose();
  }

  draw(view, scene) {
    this.#look(view);
    const { ground } = scene;
    this.floor.visible = this.grid.visible = ground !== null;
    for (const shadow of this.shadows) shadow.visible = ground !== null;
    if (ground && ground !== this.ground) {
      this.ground = ground;
      this.#fill(this.grid, ground.lines);
      this.floor.scale.set(ground.high[0] - ground.low[0], ground.high[1] - ground.low[1], 1);
      this.floor.position.x = (ground.high[0] + ground.low[0]) / 2;
      this.floor.position.y = (ground.high[1] + ground.low[1]) / 2;
    }
    if (scene.cameras !== this.cameras) {
      this.cameras = scene.cameras;
      this.#fill(this.frames, scene.cameras.flatMap((camera) => [...camera.lines]));
    }
    this.#trails(scene.trails);
    this.#figures(scene.figures);
    this.#flat(scene.discs);
    this.renderer.render(this.scene, this.camera);
  }

  #look(view) {
    const { right, up, ahead, eye } = view;
    Object.assign(this.camera, {
      fov: view.verticalFov(), aspect: view.width / view.height, near: 0.05, far: 400,
    });
    this.camera.updateProjectionMatrix();
    this.camera.matrix.set(
      right[0], up[0], -ahead[0], eye[0],
      right[1], up[1], -ahead[1], eye[1],
      right[2], up[2], -ahead[2], eye[2],
      0, 0, 0, 1,
    );
    this.camera.matrixWorldNeedsUpdate = true;
  }

  #fill(mesh, numbers, colours = null) {
    const geometry = mesh.geometry;
    const held = geometry.getAttribute("position");
    if (held && held.array.length >= numbers.length) {
      held.array.set(numbers);
      held.needsUpdate = true;
      if (colours) {
        geometry.getAttribute("color").array.set(colours);
        geometry.getAttribute("color").needsUpdate = true;
      }
    } else {
      geometry.dispose();
      geometry.setAttribute("position", new BufferAttribute(Float32Array.from(numbers), 3));
      if (colours) geometry.setAttribute("color", new BufferAttribute(Float32Array.from(colours), 3));
    }
    geometry.setDrawRange(0, numbers.length / 3);
  }

  #trails(trails) {
    const [numbers, colours] = [[], []];
    for (const { lines: points, colour } of trails) {
      const { r, g, b } = this.#colour(colour);
      for (let i = 0; i < points.length; i++) numbers.push(points[i]);
      for (let i = 0; i < points.length; i += 3) colours.push(r, g, b);
    }
    this.trails.visible = numbers.length > 0;
    if (numbers.length) this.#fill(this.trails, numbers, colours);
  }

  #colour(text) {
    if (!this.known.has(text)) this.known.set(text, new Color(text));
    return this.known.get(text);
  }

  #put(mesh, colour) {
    if (mesh.count >= LIMIT) return;
    mesh.setMatrixAt(mesh.count, this.matrix);
    if (colour) mesh.setColorAt(mesh.count, this.#colour(colour));
    mesh.count++;
  }

  #ball(at, radius, colour, mesh = this.balls) {
    this.matrix.set(
      radius, 0, 0, at[0], 0, radius, 0, at[1], 0, 0, radius, at[2], 0, 0, 0, 1,
    );
    this.#put(mesh, colour);
  }

  /** A tube from a to b: two axes across it of its radius, and its own. */
  #tube(a, b, radius, colour, mesh) {
    const [x, y, z] = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
    const length = Math.hypot(x, y, z);
    if (length < 1e-6) return;
    const steep = Math.abs(z) > 0.9 * length;
    const [hx, hy, hz] = steep ? [1, 0, 0] : [0, 0, 1];
    let [ux, uy, uz] = [hy * z - hz * y, hz * x - hx * z, hx * y - hy * x];
    const size = radius / Math.hypot(ux, uy, uz);
    [ux, uy, uz] = [ux * size, uy * size, uz * size];
    const [vx, vy, vz] = [
      (y * uz - z * uy) / length, (z * ux - x * uz) / length, (x * uy - y * ux) / length,
    ];
    this.matrix.set(
      ux, vx, x, (a[0] + b[0]) / 2,
      uy, vy, y, (a[1] + b[1]) / 2,
      uz, vz, z, (a[2] + b[2]) / 2,
      0, 0, 0, 1,
    );
    this.#put(mesh, colour);
  }

  #figures(figures) {
    const [a, b] = [[0, 0, 0], [0, 0, 0]];
    for (const mesh of [...this.solid, this.errors]) mesh.count = 0;
    for (const figure of figures) {
      for (const { from, to, radius, end, side } of figure.shapes) {
        if (!pointAt(figure.pose, from, a)) continue;
        const colour = figure.colours[side];
        if (to && !pointAt(figure.pose, to, b)) continue;
        this.#ball(a, radius * figure.width, colour);
        if (!to) continue;
        this.#ball(b, end * figure.width, colour);
        const mesh = end < radius ? this.limbs : this.tubes;
        this.#tube(a, b, radius * figure.width, colour, mesh);
      }
      figure.errors?.forEach((radius, joint) => {
        if (!(radius > 0) || !pointAt(figure.pose, [[joint, 1]], a)) return;
        this.#ball(a, radius, null, this.errors);
      });
    }
    this.shadows.forEach((shadow, i) => (shadow.count = this.solid[i].count));
    for (const mesh of [...this.solid, this.errors]) this.#changed(mesh);
  }

  #flat(discs) {
    this.discs.count = this.rings.count = 0;
    for (const { x, y, radius, colour, filled } of discs) {
      this.#ball([x, y, 0.006], radius, colour, filled ? this.discs : this.rings);
    }
    for (const mesh of [this.discs, this.rings]) this.#changed(mesh);
  }

  #changed(mesh) {
    for (const attribute of [mesh.instanceMatrix, mesh.instanceColor]) {
      if (!attribute || !mesh.count) continue;
      attribute.clearUpdateRanges();
      attribute.addUpdateRange(0, mesh.count * attribute.itemSize);
      attribute.needsUpdate = true;
    }
  }
}
