"use strict";
// Colours, times and elements, as charts need them.

/** The value of a CSS variable of the page. @param {string} name */
const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;

/** Colours of a drawing: those of the page, or those of a file, which is white. @param {boolean} file */
function inks(file) {
  return file
    ? {
      found: "#0b7d74", truth: "#b01fc0", faint: "#55514c", grid: "#e6e2dc", lost: "#00000012", limit: "#b3261e",
      mean: "#b4490f", deep: 1,
    }
    : {
      found: styled("--found"), truth: styled("--truth"), faint: styled("--faint"), grid: styled("--grid"),
      lost: styled("--lost"), limit: styled("--bad"), mean: styled("--head"),
      deep: isDark() ? 0 : 1,
    };
}

/** The colour of a person's lines. @param {Person} person @param {ReturnType<typeof inks>} colours */
const inkOf = (person, colours) => person.number === null ? colours.found : person.colours[colours.deep];

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} name @param {Element} parent
 *  @param {string} [text] @returns {HTMLElementTagNameMap[T]} */
function make(tag, name, parent, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/** A time on an axis: seconds, from a minute on minutes and seconds. @param {number} time s */
function told(time) {
  const rounded = Math.round(time * 1000) / 1000;
  if (rounded < 60) return `${rounded} s`;
  const hours = Math.floor(rounded / 3600), minutes = Math.floor(rounded / 60) % 60;
  const rest = Math.round(rounded % 60 * 1000) / 1000;
  const padded = (/** @type {number} */ value) => (value < 10 ? "0" : "") + value;
  return hours ? `${hours}:${padded(minutes)}:${padded(rest)}` : `${minutes}:${padded(rest)}`;
}
