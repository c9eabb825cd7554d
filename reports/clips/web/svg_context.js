"use strict";
// What uPlot draws on a canvas, written down as SVG: the part of the canvas interface that uPlot uses, and no more.

class SvgPath {
  /** @param {SvgPath} [other] */
  constructor(other) { this.d = other?.d ?? ""; }
  /** @param {number} x @param {number} y */
  moveTo(x, y) { this.d += `M${short(x)} ${short(y)}`; }
  /** @param {number} x @param {number} y */
  lineTo(x, y) { this.d += `${this.d ? "L" : "M"}${short(x)} ${short(y)}`; }
  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) { this.d += `M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}z`; }
  /** A whole circle: uPlot draws no other arcs, and has moved to its right end.
   *  @param {number} x @param {number} y @param {number} radius */
  arc(x, y, radius) {
    const half = (/** @type {number} */ end) => `A${short(radius)} ${short(radius)} 0 1 1 ${short(end)} ${short(y)}`;
    this.d += `${half(x - radius)}${half(x + radius)}`;
  }
  closePath() { this.d += "z"; }
}

class SvgContext {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.size = [width, height];
    /** @type {string[]} */
    this.parts = [];
    this.clips = 0;
    this.path = new SvgPath();
    /** @type {any[]} */
    this.saved = [];
    this.clipped = this.moves = "";
    this.fillStyle = this.strokeStyle = "#000";
    this.lineWidth = this.globalAlpha = 1;
    this.lineCap = "butt";
    this.lineJoin = "miter";
    this.font = "10px sans-serif";
    this.textAlign = "start";
    this.textBaseline = "alphabetic";
    /** @type {number[]} */
    this.dash = [];
  }

  save() {
    const {clipped, moves, fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, dash} = this;
    this.saved.push(
      {clipped, moves, fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, dash});
  }
  restore() { Object.assign(this, this.saved.pop()); }
  beginPath() { this.path = new SvgPath(); }
  /** @param {number} x @param {number} y */
  moveTo(x, y) { this.path.moveTo(x, y); }
  /** @param {number} x @param {number} y */
  lineTo(x, y) { this.path.lineTo(x, y); }
  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) { this.path.rect(x, y, width, height); }
  clearRect() { this.parts = []; }
  /** @param {number} x @param {number} y */
  translate(x, y) { if (x || y) this.moves += `translate(${short(x)} ${short(y)})`; }
  /** @param {number} angle rad */
  rotate(angle) { if (angle) this.moves += `rotate(${short(angle * 180 / Math.PI)})`; }
  /** @param {number[]} dash */
  setLineDash(dash) { this.dash = dash; }
  clip(path = this.path) {
    const name = `clip${++this.clips}`, within = this.clipped && ` clip-path="url(#${this.clipped})"`;
    this.parts.push(`<clipPath id="${name}"><path d="${path.d}"${within}/></clipPath>`);
    this.clipped = name;
  }
  fill(path = this.path) {
    if (!path.d) return;
    // Not every program that reads SVG knows colours of eight digits.
    const [, colour, alpha] = /^(#......)(..)$/.exec(this.fillStyle) ?? ["", this.fillStyle, "ff"];
    const opacity = alpha === "ff" ? "" : ` fill-opacity="${short(parseInt(alpha, 16) / 255)}"`;
    this.put(`path d="${path.d}" fill="${colour}"${opacity}`);
  }
  stroke(path = this.path) {
    if (!path.d) return;
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(" ")}"` : "";
    this.put(`path d="${path.d}" fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"` +
      ` stroke-linejoin="${this.lineJoin}" stroke-linecap="${this.lineCap}"${dash}`);
  }
  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  fillRect(x, y, width, height) {
    const path = new SvgPath();
    path.rect(x, y, width, height);
    this.fill(path);
  }
  /** @param {string} text @param {number} x @param {number} y */
  fillText(text, x, y) {
    const anchor = {center: "middle", right: "end", end: "end"}[this.textAlign] ?? "start";
    // In parts of the font's size, because programs differ in what they make of SVG's own names.
    const lowered = {top: .8, middle: .35, bottom: -.2}[this.textBaseline] ?? 0;
    const [, weight, size, family] = /^(\D*)([\d.]+)px (.*)$/.exec(this.font) ?? ["", "", "10", "sans-serif"];
    const bold = /bold|[6-9]00/.test(weight) ? ' font-weight="bold"' : "";
    this.put(`text x="${short(x)}" y="${short(y + lowered * Number(size))}" fill="${this.fillStyle}"` +
      ` font-size="${size}"${bold} font-family="${marked(family)}" text-anchor="${anchor}"`, marked(text));
  }

  /** @param {string} element @param {string} [content] */
  put(element, content) {
    const alpha = this.globalAlpha === 1 ? "" : ` opacity="${this.globalAlpha}"`;
    const moved = this.moves && ` transform="${this.moves}"`;
    const name = element.split(" ", 1)[0];
    const drawn = `<${element}${alpha}${moved}` + (content === undefined ? "/>" : `>${content}</${name}>`);
    this.parts.push(this.clipped ? `<g clip-path="url(#${this.clipped})">${drawn}</g>` : drawn);
  }

  /** The drawing as a document. @param {string} title */
  document(title) {
    const [width, height] = this.size;
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"` +
      ` viewBox="0 0 ${width} ${height}"><title>${marked(title)}</title>` +
      `<rect width="100%" height="100%" fill="#fff"/>${this.parts.join("")}</svg>`;
  }
}

/** @param {number} value */
function short(value) { return String(Math.round(value * 100) / 100); }

/** Text as XML. @param {string} text */
function marked(text) {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
