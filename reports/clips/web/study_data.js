"use strict";
// The faces of a study: which are shown, in what order, in which groups, and as CSV.
// reports/study/page_data.py wrote them and says what each field is. A face is a number: its place in every column.

/** @typedef {"mean" | "largest" | "present"} Measure */
/** @typedef {{name: string, full: number, labels: string[], units: {name: string, title: string}[],
 *   warnings: string[], columns: Record<string, any[]>, labelled: Record<string, (string | null)[]>,
 *   mean: Record<string, (number | null)[]>, largest: Record<string, (number | null)[]>,
 *   present: Record<string, (number | null)[]>}} Study */
/** A column of a table: `long` texts have several lines, `decimals` are those of numbers, `percent` shows shares in
 *  percent, `full` gives a warm ground that is deepest at this value.
 *  @typedef {{key: string, title: string, about?: string, text?: boolean, long?: boolean, decimals?: number,
 *   percent?: boolean, full?: number, value: (row: number) => string | number | null,
 *   link?: (row: number) => string | null}} Column */
/** @typedef {{words: string, only: string, labels: Record<string, string>}} Filters */
/** @typedef {{names: string[], rows: number[]}} Group */

const NO_LABEL = "(none)";
const MEASURES = {mean: "mean intensity", largest: "largest intensity", present: "share of frames present"};
const order = new Intl.Collator(undefined, {numeric: true});

/** What a face has of each kind that clips can be grouped by, in text; by the name of the kind.
 *  @param {Study} study @returns {Record<string, (row: number) => string>} */
function kindsOf(study) {
  /** @type {Record<string, (row: number) => string>} */
  const kinds = {};
  const {clip, person, kind} = study.columns;
  for (const name of study.labels) kinds[name] = (row) => study.labelled[name][row] ?? NO_LABEL;
  const free = (/** @type {string} */ name) => name in kinds ? `${name} (of the results)` : name;
  if (clip.some((name) => name.includes("/"))) {
    kinds[free("folder")] = (row) => clip[row].slice(0, Math.max(clip[row].lastIndexOf("/"), 0)) || NO_LABEL;
  }
  if (person.some((number) => number !== null)) {
    kinds[free("person in the clip")] = (row) => person[row] === null ? NO_LABEL : String(person[row]);
  }
  if (new Set(kind).size > 1) kinds[free("kind")] = (row) => kind[row];
  return kinds;
}

/** For each face all its text, in lower case, in which words are found. @param {Study} study */
function wordsOf(study) {
  const {clip, person, why, status, kind} = study.columns;
  return clip.map((/** @type {string} */ name, /** @type {number} */ row) => [
    name, person[row] === null ? "" : `person ${person[row]}`, why[row], status[row], kind[row],
    ...study.labels.map((label) => study.labelled[label][row] ?? ""),
  ].join("\n").toLowerCase());
}

/** The faces that pass. @param {Study} study @param {string[]} words @param {Filters} filters */
function matching(study, words, filters) {
  const wanted = filters.words.toLowerCase().split(/\s+/).filter(Boolean), {columns} = study;
  /** @type {Record<string, (row: number) => boolean>} */
  const only = {
    all: () => true, standing: (row) => columns.distance[row] !== null,
    warnings: (row) => columns.warnings[row].length > 0, unfinished: (row) => columns.status[row] !== "done",
    linked: (row) => columns.page[row] !== null,
  };
  const labels = Object.entries(filters.labels);
  return columns.clip.map((_, row) => row).filter((row) => only[filters.only](row)
    && labels.every(([name, value]) => (study.labelled[name][row] ?? NO_LABEL) === value)
    && wanted.every((word) => words[row].includes(word)));
}

/** Faces in the order of a column; those without a value come last. @param {number[]} rows @param {Column} column
 *  @param {boolean} falling */
function sorted(rows, column, falling) {
  const known = rows.filter((row) => column.value(row) !== null);
  const sign = falling ? -1 : 1;
  known.sort((one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    const by = column.text ? order.compare(String(a), String(b)) : Number(a) - Number(b);
    return sign * by || one - other;
  });
  return [...known, ...rows.filter((row) => column.value(row) === null)];
}

/** @param {number[]} rows @param {((row: number) => string)[]} kinds @returns {Group[]} */
function groupsOf(rows, kinds) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const row of rows) {
    const names = kinds.map((kind) => kind(row)), key = JSON.stringify(names);
    const group = groups.get(key);
    if (group) group.rows.push(row); else groups.set(key, {names, rows: [row]});
  }
  return [...groups.values()].sort((one, other) => {
    const differ = one.names.findIndex((name, k) => name !== other.names[k]);
    return differ < 0 ? 0 : order.compare(one.names[differ], other.names[differ]);
  });
}

/** Mean of the values that are known; null without any. @param {number[]} rows @param {(number | null)[]} values */
function meanOf(rows, values) {
  let sum = 0, count = 0;
  for (const row of rows) {
    const value = values[row];
    if (value !== null) { sum += value; count++; }
  }
  return count ? sum / count : null;
}

/** A value as a table shows it. @param {Column} column @param {number} row */
function cellOf(column, row) {
  const value = column.value(row);
  if (value === null || value === "") return "–";
  if (typeof value === "string") return value;
  const shown = (column.percent ? 100 * value : value).toFixed(column.decimals ?? 0);
  return shown.replace("-", "−");
}

/** The rows as CSV, in their order; shares from 0 to 1, nothing where there is no value.
 *  @param {Column[]} columns @param {number[]} rows */
function csvOfTable(columns, rows) {
  const cell = (/** @type {Column} */ column, /** @type {number} */ row) => {
    const value = column.value(row);
    if (value === null) return "";
    return typeof value === "string" ? quoted(value) : String(Math.round(value * 1e6) / 1e6);
  };
  const lines = [columns.map(({key}) => quoted(key)), ...rows.map((row) => columns.map((column) => cell(column, row)))];
  return lines.map((line) => line.join(",")).join("\n") + "\n";
}
