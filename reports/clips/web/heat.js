"use strict";
// A face whose regions are the warmer the stronger their action units are.

/** @param {SVGElement} face @param {Clip} clip @param {Person | null} person @param {number} place */
function drawHeat(face, clip, person, place) {
  for (const region of face.querySelectorAll("[data-au]")) {
    const name = /** @type {SVGElement} */ (region).dataset.au ?? "";
    const intensity = person ? valueOf(person, `${name}_r`, place) : NaN;
    const present = person ? valueOf(person, `${name}_c`, place) : NaN;
    const share = Number.isNaN(intensity) ? (present === 1 ? .8 : 0) : Math.min(Math.max(intensity / clip.full, 0), 1);
    /** @type {SVGElement} */ (region).style.setProperty("--share", share.toFixed(3));
  }
}
