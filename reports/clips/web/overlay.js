"use strict";
// Landmarks, eyes, head axes and gaze of every face, drawn as vectors over the picture.

// Curves through the 68 landmarks, and through the 28 of an eye: first, past the last, closed.
const FACE_CURVES = [
  [0, 17, 0], [17, 22, 0], [22, 27, 0], [27, 31, 0], [31, 36, 0], [36, 42, 1], [42, 48, 1], [48, 60, 1], [60, 68, 1],
];
const EYE_CURVES = [[0, 8, 1], [8, 20, 1]];
const NOSE_TIP = 30, EYE_POINTS = 28, IRIS_POINTS = 8;
// Bright, as marks on a picture have to be in light and dark pages alike.
const MARKS = {
  measured: "#2dd4bf", lost: "#969696", truth: "#e879f9", gaze: "#ffe878", axes: ["#f87171", "#4ade80", "#60a5fa"],
  edge: "rgba(20, 20, 20, .85)",
};

class Overlay {
  /** @param {HTMLCanvasElement} canvas over the picture @param {Clip} clip */
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.clip = clip;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.unit = 1;  // a CSS pixel in px of the picture
    this.edge = .8;  // CSS px of dark about a dot, less on small faces
    this.layers = {landmarks: true, axes: true, gaze: true, truth: true};
  }

  /** Draw anew when a layer is switched on or off, and when the picture changes its size.
   *  @param {() => number} place of the grid */
  listen(place) {
    for (const box of document.querySelectorAll("[data-layer]")) {
      const input = /** @type {HTMLInputElement} */ (box);
      const layer = /** @type {keyof Overlay["layers"]} */ (input.dataset.layer);
      input.onchange = () => { this.layers[layer] = input.checked; this.draw(place()); };
    }
    new ResizeObserver(() => this.draw(place())).observe(this.canvas);
  }

  /** @param {number} place of the grid */
  draw(place) {
    const {canvas, pen} = this, ratio = devicePixelRatio || 1, [width, height] = this.clip.size ?? [4, 3];
    const wide = Math.round(canvas.clientWidth * ratio), high = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, wide, high);
    // Centres of pixels stay centres: pixel 0 spans -0.5 to 0.5.
    pen.setTransform(wide / width, 0, 0, high / height, wide / width / 2, high / height / 2);
    this.unit = ratio * width / wide;
    let drawn = 0;
    for (const state of [LOST, TRACKED]) {
      for (const person of this.clip.people) {
        if (stateOf(person, place) === state && this.drawFace(person, place, state === TRACKED)) drawn++;
      }
    }
    canvas.dataset.faces = String(drawn);
  }

  /** @param {Person} person @param {number} place @param {boolean} tracked */
  drawFace(person, place, tracked) {
    const points = pointsAt(person, "values", place), {layout} = person.points;
    if (!points) return false;
    const colour = !tracked ? MARKS.lost : person.number === null ? MARKS.measured : person.colours[0];
    const box = boxOf(points, 68), side = Math.min(box[2] - box[0], box[3] - box[1]) / this.unit;
    const line = side < 340 ? 1 : 2, radius = Math.min(Math.max(side * .01, .55), 3.4);
    this.edge = Math.min(side / 140, .8);
    const truth = this.layers.truth ? pointsAt(person, "truth", place) : null;
    if (truth) for (let k = 0; k < 68; k++) this.ring(truth[2 * k], truth[2 * k + 1], radius + 2 * line, line);
    if (this.layers.landmarks) {
      this.pen.globalAlpha = .6;
      for (const [first, last, closed] of FACE_CURVES) {
        if (layout.eyes && (first === 36 || first === 42)) continue;  // the detailed eyes are drawn
        this.curve(points, first, last, closed, colour, line);
      }
      for (let eye = 0; layout.eyes && eye < 2; eye++) {
        const at = layout.eyes[0] + eye * EYE_POINTS;
        if ((points[2 * (at + 14)] - points[2 * (at + 8)]) / this.unit < 12) continue;
        for (const [first, last, closed] of EYE_CURVES) {
          this.curve(points, at + first, at + last, closed, first ? colour : MARKS.gaze, line);
        }
      }
      this.pen.globalAlpha = 1;
      for (let k = 0; k < 68; k++) this.dot(points[2 * k], points[2 * k + 1], radius, colour);
    }
    if (person.number !== null) this.label(box, String(person.number), colour);
    if (!tracked) return true;
    if (this.layers.axes && layout.axes) {
      MARKS.axes.forEach((ink, k) => this.arrow(points, NOSE_TIP, layout.axes[0] + k, ink, 2 * line));
    }
    if (this.layers.gaze && layout.gaze) {
      for (let eye = 0; eye < 2; eye++) {
        const first = layout.eyes[0] + eye * EYE_POINTS;
        let x = 0, y = 0;
        for (let k = first; k < first + IRIS_POINTS; k++) { x += points[2 * k]; y += points[2 * k + 1]; }
        const tip = 2 * (layout.gaze[0] + eye);
        this.arrowTo(x / IRIS_POINTS, y / IRIS_POINTS, points[tip], points[tip + 1], MARKS.gaze, 2 * line);
      }
    }
    return true;
  }

  /** @param {Float32Array} points @param {number} first @param {number} last @param {number} closed
   *  @param {string} ink @param {number} line CSS px */
  curve(points, first, last, closed, ink, line) {
    const {pen} = this;
    pen.beginPath();
    for (let k = first; k < last; k++) pen.lineTo(points[2 * k], points[2 * k + 1]);
    if (closed) pen.closePath();
    pen.strokeStyle = ink;
    pen.lineWidth = line * this.unit;
    pen.stroke();
  }

  /** @param {number} x @param {number} y @param {number} radius @param {string} ink */
  dot(x, y, radius, ink) {
    for (const [size, colour] of /** @type {[number, string][]} */ ([[radius + this.edge, MARKS.edge], [radius, ink]])) {
      this.pen.beginPath();
      this.pen.arc(x, y, size * this.unit, 0, 2 * Math.PI);
      this.pen.fillStyle = colour;
      this.pen.fill();
    }
  }

  /** @param {number} x @param {number} y @param {number} radius @param {number} line */
  ring(x, y, radius, line) {
    this.pen.beginPath();
    this.pen.arc(x, y, radius * this.unit, 0, 2 * Math.PI);
    this.pen.strokeStyle = MARKS.truth;
    this.pen.lineWidth = line * this.unit;
    this.pen.stroke();
  }

  /** @param {Float32Array} points @param {number} from @param {number} to @param {string} ink @param {number} line */
  arrow(points, from, to, ink, line) {
    this.arrowTo(points[2 * from], points[2 * from + 1], points[2 * to], points[2 * to + 1], ink, line);
  }

  /** An arrow with a dark edge, whose head shrinks with it. @param {number} x @param {number} y @param {number} toX
   *  @param {number} toY @param {string} ink @param {number} line */
  arrowTo(x, y, toX, toY, ink, line) {
    const {pen, unit} = this, length = Math.hypot(toX - x, toY - y);
    if (length < unit) return;
    const [alongX, alongY] = [(toX - x) / length, (toY - y) / length], head = Math.min(5 * line * unit, length / 2);
    const [neckX, neckY] = [toX - alongX * head, toY - alongY * head];
    for (const [extra, colour] of /** @type {[number, string][]} */ ([[2, MARKS.edge], [0, ink]])) {
      pen.strokeStyle = pen.fillStyle = colour;
      pen.lineWidth = (line + extra) * unit;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(neckX, neckY);
      pen.stroke();
      pen.beginPath();
      pen.moveTo(toX, toY);
      pen.lineTo(neckX - alongY * head * .45, neckY + alongX * head * .45);
      pen.lineTo(neckX + alongY * head * .45, neckY - alongX * head * .45);
      pen.closePath();
      pen.fill();
      pen.lineWidth = extra * unit;
      if (extra) pen.stroke();
    }
  }

  /** A person's number on a plate above the face. @param {number[]} box @param {string} text @param {string} ink */
  label(box, text, ink) {
    const {pen, unit} = this, size = 13 * unit;
    pen.font = `600 ${size}px system-ui, sans-serif`;
    const width = Math.max(pen.measureText(text).width, size) + .6 * size, top = Math.max(box[1] - 2 * size, 0);
    pen.fillStyle = ink;
    pen.fillRect(box[0], top, width, 1.4 * size);
    pen.fillStyle = "#14171b";
    pen.textAlign = "center";
    pen.fillText(text, box[0] + width / 2, top + 1.08 * size);
  }
}

/** [left, top, right, bottom] of the first points. @param {Float32Array} points @param {number} count */
function boxOf(points, count) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k < 2 * count; k++) {
    box[k % 2] = Math.min(box[k % 2], points[k]);
    box[2 + k % 2] = Math.max(box[2 + k % 2], points[k]);
  }
  return box;
}
