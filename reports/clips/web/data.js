"use strict";
// The measurements of the page: unpacked once, then read by their place on the grid of frames.
// reports/clips/packing.py and page_data.py wrote them and say what each field is.

/** @typedef {{at: number, planes: number, count: number, columns: number, step: number}} Packed */
/** @typedef {Float32Array | Float64Array} Numbers */
/** @typedef {{every: number, layout: Record<string, number[]>, count: number, width: number,
 *   values: Float32Array | null, truth: Float32Array | null}} Points */
/** @typedef {{number: number | null, name: string, colours: string[], start: number, count: number,
 *   channels: Record<string, Numbers>, notes: Record<string, string>, points: Points}} Person */
/** @typedef {{name: string, title: string, kind: string, unit: string, decimals: number, channel: string | null,
 *   strip: string | null, truth: string | null, limit?: number}} ChartSpec */
/** @typedef {{name: string, size: number[] | null, full: number, frames: Float64Array, seconds: Float64Array,
 *   people: Person[], charts: ChartSpec[]}} Clip */

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const ABSENT = 0, LOST = 1, TRACKED = 2;  // states of a person in a frame

/** Compressed bytes in Base64, decompressed. @param {string} text @returns {Promise<Uint8Array>} */
async function inflate(text) {
  const letters = atob(text), packed = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) packed[k] = letters.charCodeAt(k);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The columns of an array, one after the other. @template {Numbers} T @param {Uint8Array} bytes
 *  @param {Packed} packed @param {new (length: number) => T} Kind @returns {T} */
function unpack(bytes, {at, planes, count, columns, step}, Kind) {
  const total = count * columns, values = new Kind(total);
  let sum = 0;
  for (let k = 0; k < total; k++) {
    if (k % count === 0) sum = 0;
    let unsigned = bytes[at + k];
    for (let plane = 1, weight = 256; plane < planes; plane++, weight *= 256) {
      unsigned += weight * bytes[at + plane * total + k];
    }
    sum += unsigned % 2 ? -(unsigned + 1) / 2 : unsigned / 2;
    values[k] = sum * step;
  }
  return values;
}

/** The clip from its document and its packed arrays. @param {any} document @param {Uint8Array} bytes @returns {Clip} */
function readClip(document, bytes) {
  const people = document.people.map((/** @type {any} */ person) => {
    /** @type {Record<string, Numbers>} */
    const channels = {};
    for (const [name, packed] of Object.entries(person.channels)) channels[name] = unpack(bytes, packed, Float32Array);
    const {every, layout, values, truth} = person.points;
    const points = {
      every, layout, count: values?.count ?? 0, width: values?.columns ?? 0,
      values: values && unpack(bytes, values, Float32Array), truth: truth && unpack(bytes, truth, Float32Array),
    };
    return {...person, channels, points};
  });
  return {
    ...document, people, frames: unpack(bytes, document.frames, Float64Array),
    seconds: unpack(bytes, document.seconds, Float64Array),
  };
}

/** The clip of this page. @returns {Promise<Clip>} */
async function readDocument() {
  return readClip(JSON.parse($("document").textContent), await inflate($("arrays").textContent));
}

/** Whether a person is tracked, lost or absent at a place of the grid. @param {Person} person @param {number} place */
function stateOf(person, place) {
  const k = place - person.start;
  return k < 0 || k >= person.count ? ABSENT : person.channels.state[k];
}

/** A measurement at a place of the grid; NaN where the person is not tracked. Truths are known in every frame.
 *  @param {Person} person @param {string} channel @param {number} place @returns {number} */
function valueOf(person, channel, place) {
  const values = person.channels[channel], k = place - person.start;
  if (!values || k < 0 || k >= person.count) return NaN;
  return person.channels.state[k] === TRACKED || channel.startsWith("true.") ? values[k] : NaN;
}

/** The points of a person's face at a place of the grid, [x, y, x, y, ...] px; null where there is no row.
 *  Between the frames that were kept, points lie on the straight line.
 *  @param {Person} person @param {"values" | "truth"} kind @param {number} place @returns {Float32Array | null} */
function pointsAt(person, kind, place) {
  const {every, count, width} = person.points, values = person.points[kind];
  if (!values || stateOf(person, place) === ABSENT) return null;
  const columns = kind === "truth" ? 136 : width, at = (place - person.start) / every;
  const before = Math.floor(at), after = Math.min(before + 1, count - 1);
  // Over a gap nothing is interpolated.
  const joined = stateOf(person, person.start + after * every) !== ABSENT;
  const share = joined ? at - before : 0, found = new Float32Array(columns);
  for (let k = 0; k < columns; k++) {
    found[k] = (1 - share) * values[k * count + before] + share * values[k * count + after];
  }
  return found;
}

/** Place of the last value that is not above `wanted`; 0 where all are.
 *  @param {Numbers} rising @param {number} wanted */
function placeOf(rising, wanted) {
  let low = 0, high = rising.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (rising[middle] <= wanted) low = middle; else high = middle - 1;
  }
  return low;
}
