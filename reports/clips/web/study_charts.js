"use strict";
// Charts of a study by uPlot: how many clips have which value, and a dot for each clip, group beside group.

/** What a chart shows: a note beside its heading, what screen readers say, its height in px on the page, what uPlot is
 *  made of for a width in px (`file`: with titles of the axes), and its values as a table.
 *  @typedef {{title: string, note: string, told: string, height: number, axes: [string, string],
 *   plot: (colours: ReturnType<typeof inks>, width: number) => {options: any, data: any}, csv: () => string}} Shown */

const BINS = 25, CHART_HEIGHT = 150, DOTS_HEIGHT = 260, MOST_GROUPS = 24, SPREAD = .32;
const LEAST_BAR = .02;  // of the highest bar: one clip among a thousand is to be seen
const LETTER = 7, FEWEST_LETTERS = 4;  // width in px, and what a shortened name has at least
const STUDY_FILE = [900, 300, 480], AXIS = 40;  // px: the width of files, and their heights: low charts, high ones

/** A chart in a figure with a heading, drawn anew when its width or the colours change. */
class StudyChart {
  /** @param {HTMLElement} parent @param {string} name @param {Study} study */
  constructor(parent, name, study) {
    this.study = study;
    this.figure = make("figure", "", parent);
    this.figure.dataset.chart = name;
    const caption = make("figcaption", "", this.figure);
    this.title = make("b", "", caption, name);
    this.note = make("span", "note", caption);
    saveMenu(make("span", "tools", caption), name, () => this.drawing());
    this.host = make("div", "plot", this.figure);
    this.host.setAttribute("role", "img");
    /** @type {any} */
    this.plot = null;
    /** @type {Shown | null} */
    this.shown = null;
    new ResizeObserver(() => {
      if (this.plot && this.plot.width !== this.host.clientWidth) this.draw();
    }).observe(this.host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    this.title.textContent = shown.title;
    this.note.textContent = shown.note;
    this.host.setAttribute("aria-label", shown.told);
    this.draw();
  }

  draw() {
    if (!this.shown) return;
    const width = this.host.clientWidth || 300, {options, data} = this.made(this.shown, width, false);
    this.plot?.destroy();
    this.plot = new uPlot({...options, width, height: this.shown.height}, data, this.host);
  }

  /** What uPlot is made of. @param {Shown} shown @param {number} width px @param {boolean} file */
  made(shown, width, file) {
    const colours = inks(file), {options, data} = shown.plot(colours, width);
    const titled = {labelFont: "12px system-ui, sans-serif", labelSize: 18};
    const axis = {
      stroke: colours.faint, font: "11px system-ui, sans-serif", grid: {stroke: colours.grid, width: 1},
      ticks: {show: false},
    };
    const axes = options.axes.map((/** @type {any} */ own, /** @type {number} */ k) => (
      {...axis, ...own, ...file ? {...titled, label: shown.axes[k], size: own.size + titled.labelSize} : {}}));
    return {options: {legend: {show: false}, pxAlign: 0, cursor: {show: false}, ...options, axes}, data};
  }

  /** The chart for a file. @returns {Drawing} */
  drawing() {
    const shown = /** @type {Shown} */ (this.shown), {name} = this.study;
    const [width, low, high] = STUDY_FILE;
    return {
      of: name, name: shown.title, title: `${name}: ${shown.title}`,
      size: [width, shown.height === DOTS_HEIGHT ? high : low], csv: shown.csv, ...this.made(shown, width, true),
    };
  }

  /** How often values from 0 to 1 occur. @param {number[]} values @param {string} what @param {string} counted */
  histogram(values, what, counted) {
    const counts = new Array(BINS).fill(0);
    for (const value of values) counts[Math.min(Math.floor(value * BINS), BINS - 1)]++;
    const middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
    const note = values.length ? `median ${middle.toFixed(2)}` : "no values";
    const high = counts.filter((_, bin) => bin >= BINS * .9).reduce((sum, count) => sum + count, 0);
    const most = Math.max(...counts, 1);
    const bars = counts.map((count) => count ? Math.max(count, most * LEAST_BAR) : 0);
    this.show({
      title: what, note, height: CHART_HEIGHT, axes: [what.toLowerCase(), counted],
      told: `${what}: ${values.length} values, ${note}; ${high} of them `
        + `from ${(Math.ceil(BINS * .9) / BINS).toFixed(2)} to 1.`,
      plot: (colours) => ({
        options: {
          scales: {x: {time: false, range: [0, 1]}, y: {range: [0, most * 1.05]}},
          axes: [{size: 24, gap: 5}, {size: AXIS, gap: 3, space: 30}],
          series: [{}, {
            paths: uPlot.paths.bars({size: [.85, Infinity]}), fill: colours.found, stroke: colours.found, width: 0,
            points: {show: false},
          }],
        },
        data: [counts.map((_, bin) => (bin + .5) / BINS), bars],
      }),
      csv: () => csvOfTable([
        {key: "from", title: "", value: (bin) => bin / BINS}, {key: "to", title: "", value: (bin) => (bin + 1) / BINS},
        {key: counted, title: "", value: (bin) => counts[bin]},
      ], counts.map((_, bin) => bin)),
    });
  }

  /** A dot for each face, and a line for the mean, of each group.
   *  @param {Group[]} groups @param {string[]} kinds what they are groups of @param {(number | null)[]} values
   *  @param {string} unit @param {string} what @param {number} full */
  dots(groups, kinds, values, unit, what, full) {
    const shown = groups.slice(0, MOST_GROUPS), left = groups.length - shown.length;
    const means = shown.map(({rows}) => meanOf(rows, values));
    const told = shown.map(({names}, k) => `${names.join(", ")} ${means[k]?.toFixed(2) ?? "no value"}`);
    const known = shown.map(({rows}) => rows.filter((row) => values[row] !== null));
    /** @type {[number, number][]} */
    const points = known.flatMap((rows, place) => rows.map(
      (row, k) => /** @type {[number, number]} */ ([place + offset(k), values[row]])));
    points.sort(([one], [other]) => one - other);
    const most = Math.max(...points.map(([, value]) => value), full / 10), {clip, person} = this.study.columns;
    const group = new Map(shown.flatMap(({names}, k) => known[k].map((row) => /** @type {const} */ ([row, names]))));
    this.show({
      title: `${unit}, ${what}`, height: DOTS_HEIGHT, axes: [kinds.join(", "), `${unit}, ${what}`],
      note: left > 0 ? `the first ${shown.length} of ${groups.length} groups` : "",
      told: `${unit}, ${what}, mean of each group: ${told.join("; ")}.`,
      plot: (colours, width) => {
        const room = Math.floor((width - AXIS) / shown.length / LETTER);
        return {
          options: {
            scales: {x: {time: false, range: [-.5, shown.length - .5]}, y: {range: [0, most * 1.05]}},
            axes: [{
              size: 26, gap: 5, splits: () => shown.map((_, k) => k), grid: {show: false},
              values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map(
                (at) => shown[at] ? shortened(shown[at].names.join(", "), room) : ""),
            }, {size: AXIS, gap: 3, space: 30}],
            series: [{}, {
              paths: () => null, stroke: colours.found,
              points: {show: true, size: 5, width: 0, fill: `${colours.found}80`},
            }],
            hooks: {draw: [(/** @type {any} */ plot) => markMeans(plot, means, colours.mean)]},
          },
          data: [points.map(([x]) => x), points.map(([, y]) => y)],
        };
      },
      csv: () => csvOfTable([
        ...kinds.map((key, k) => ({
          key, title: "", value: (/** @type {number} */ row) => group.get(row)?.[k] ?? null,
        })),
        {key: "clip", title: "", value: (row) => clip[row]},
        ...person.some((number) => number !== null)
          ? [{key: "person_id", title: "", value: (/** @type {number} */ row) => person[row]}] : [],
        {key: unit, title: "", value: (row) => values[row]},
      ], known.flat()),
    });
  }
}

/** Where in its group the k-th dot stands: spread evenly, without a random number. @param {number} k */
const offset = (k) => ((k * .618034) % 1 - .5) * 2 * SPREAD;

/** A name in the room of so many letters; nothing where it would tell nothing.
 *  @param {string} name @param {number} room */
function shortened(name, room) {
  if (name.length <= room) return name;
  return room < FEWEST_LETTERS ? "" : `${name.slice(0, room - 1)}…`;
}

/** @param {any} plot @param {(number | null)[]} means @param {string} colour */
function markMeans(plot, means, colour) {
  const pen = plot.ctx;
  pen.save();
  pen.strokeStyle = colour;
  pen.lineWidth = 2.5 * (devicePixelRatio || 1);
  means.forEach((mean, place) => {
    if (mean === null) return;
    const y = plot.valToPos(mean, "y", true);
    pen.beginPath();
    pen.moveTo(plot.valToPos(place - SPREAD, "x", true), y);
    pen.lineTo(plot.valToPos(place + SPREAD, "x", true), y);
    pen.stroke();
  });
  pen.restore();
}
