"use strict";
// The charts: uPlot draws lines, grid and cursor; presence strips, gaps and limits are added in its hooks.

/** @typedef {{from: number, to: number}} Span s */
/** @typedef {{clip: Clip, shown: Person[], view: Span, shared: boolean, charts: Chart[],
 *   hovered: (time: number | null) => void, chosen: (time: number) => void,
 *   zoomed: (span: Span | null) => void}} Scene */

// Distances of the ticks of time, s: round in minutes and hours, too.
const TIME_STEPS = [
  .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400,
];
const PLOT_HEIGHT = 74, STRIP_HEIGHT = 30, STRIP = 5;  // CSS px
/** @type {[number, number]} */
const CHART_FILE = [900, 300];

class Chart {
  /** @param {Scene} scene @param {ChartSpec} spec @param {Element} parent */
  constructor(scene, spec, parent) {
    this.scene = scene;
    this.spec = spec;
    this.figure = make("figure", "trace", parent);
    this.figure.dataset.chart = spec.name;
    const caption = make("figcaption", "", this.figure), what = make("span", "what", caption);
    make("b", "", what, spec.name);
    what.append(` ${spec.title}`);
    this.note = make("span", "note", caption);
    this.now = make("span", "now", caption);
    this.tools = make("span", "tools", caption);
    this.host = make("div", "plot", this.figure);
    this.host.setAttribute("role", "img");
    this.host.addEventListener("mouseleave", () => scene.hovered(null));
    /** @type {any} */
    this.plot = null;
    /** @type {HTMLElement | null} */
    this.playhead = null;
    /** @type {[number, number]} */
    this.extent = [0, 1];
    this.measureExtent();
  }

  /** The lines: measurements of everybody who is shown, and the truth. @returns {(Trace & {kind: string})[]} */
  traces() {
    const {channel, truth} = this.spec, traces = [];
    for (const person of this.scene.shown) {
      if (truth && person.channels[truth]) traces.push({person, channel: truth, kind: "truth"});
      if (channel && person.channels[channel]) traces.push({person, channel, kind: "found"});
    }
    return traces;
  }

  /** Smallest and largest value of everybody who is shown. */
  measureExtent() {
    let low = Infinity, high = -Infinity;
    for (const {person, channel} of this.traces()) {
      for (let place = person.start; place < person.start + person.count; place++) {
        const value = valueOf(person, channel, place);
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    if (this.spec.limit !== undefined) { low = 0; high = Math.max(high, this.spec.limit); }
    this.extent = low <= high ? [low, high] : [0, 1];
  }

  /** The vertical axis. @returns {[number, number]} */
  range() {
    const {kind} = this.spec, {shared, clip} = this.scene;
    if (!this.spec.channel) return [0, 1];
    if (kind === "au") return shared ? [0, clip.full] : [0, Math.max(this.extent[1], .1)];
    if (kind === "confidence") return [0, 1];
    const alike = shared ? this.scene.charts.filter((each) => each.spec.kind === kind) : [this];
    const low = Math.min(...alike.map(({extent}) => extent[0])), high = Math.max(...alike.map(({extent}) => extent[1]));
    const margin = Math.max((high - low) * .06, .5);
    return [kind === "error" ? 0 : low - margin, high + margin];
  }

  /** First and last place of the grid in the view, and one beyond on both sides. */
  places() {
    const {seconds} = this.scene.clip, {from, to} = this.scene.view;
    return [Math.max(placeOf(seconds, from) - 1, 0), Math.min(placeOf(seconds, to) + 1, seconds.length - 1)];
  }

  /** What uPlot draws, for this width in px. @param {number} width */
  data(width) {
    const {seconds} = this.scene.clip, traces = this.traces(), [first, last] = this.places();
    const places = thinned(traces, first, last, Math.max(Math.round(width), 50));
    const known = (/** @type {number} */ value) => Number.isNaN(value) ? null : value;
    return [
      places.map((place) => seconds[place]),
      ...traces.map(({person, channel}) => places.map((place) => known(valueOf(person, channel, place)))),
    ];
  }

  /** The chart for a file. @returns {Drawing} */
  drawing() {
    const {spec, scene: {clip, shown}} = this, [width, height] = CHART_FILE;
    const who = shown.map(({number, name}) => number === null ? "" : `, ${name}`).join("");
    return {
      of: clip.name, name: spec.name, title: `${clip.name}: ${spec.name}, ${spec.title}${who}`, size: CHART_FILE,
      options: this.options(width, height, true), data: this.data(width), csv: () => this.csv(),
    };
  }

  /** The frames in view: number, time, and for each person value, presence and truth; empty where there is none. */
  csv() {
    const {clip, shown, view} = this.scene, {channel, strip, truth, name, decimals} = this.spec;
    const columns = shown.flatMap((person) => [channel, strip, truth].filter(
      (each) => each && person.channels[each]).map((each) => ({person, channel: /** @type {string} */ (each)})));
    const head = (/** @type {{person: Person, channel: string}} */ {person, channel: each}) => {
      const kind = each === channel ? "" : each === strip ? "_present" : "_truth";
      return quoted(`${name}${kind}${person.number === null ? "" : ` (${person.name})`}`);
    };
    const lines = [["frame", "seconds", ...columns.map(head)].join(",")];
    for (let place = 0; place < clip.seconds.length; place++) {
      if (clip.seconds[place] < view.from || clip.seconds[place] > view.to) continue;
      const values = columns.map(({person, channel: each}) => {
        const value = valueOf(person, each, place);
        return Number.isNaN(value) ? "" : each === strip ? String(value) : value.toFixed(Math.max(decimals, 2));
      });
      lines.push([clip.frames[place], clip.seconds[place].toFixed(3), ...values].join(","));
    }
    return lines.join("\n") + "\n";
  }

  /** @param {number} width @param {number} height @param {boolean} file a drawing for a file, with titles */
  options(width, height, file) {
    const colours = inks(file), {spec, scene} = this, alone = scene.shown.length === 1;
    const series = this.traces().map(({person, kind}) => ({
      stroke: kind === "truth" ? colours.truth : inkOf(person, colours),
      width: kind === "truth" ? 1.25 : 1.6, dash: kind === "truth" ? [4, 3] : undefined, points: {show: false},
    }));
    const axis = {
      stroke: colours.faint, font: "11px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18,
      grid: {stroke: colours.grid, width: 1}, ticks: {show: false},
    };
    const timed = file || spec.kind === "confidence";  // the others stand below it
    return {
      width, height, legend: {show: false}, pxAlign: 0,
      padding: [file ? 12 : 6, 4, spec.strip && alone ? STRIP + 4 : 2, 0],
      scales: {
        x: {time: false, range: () => [scene.view.from, scene.view.to]}, y: {range: () => this.range()},
      },
      axes: [
        {
          ...axis, size: timed ? file ? 42 : 22 : 0, gap: 5, label: file ? "time, s" : undefined, incrs: TIME_STEPS,
          values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map(
            (time) => timed ? told(time) : ""),
        },
        {
          ...axis, size: file ? 60 : 34, gap: 3, space: 22, show: spec.channel !== null || file,
          label: file ? `${spec.name}, ${spec.unit}` : undefined,
        },
      ],
      series: [{}, ...series],
      cursor: {
        y: false, drag: {x: true, y: false, setScale: false, dist: 5}, points: {size: 6},
        sync: {
          key: "clip", scales: ["x", null],
          filters: {pub: (/** @type {string} */ type) => type === "mousemove" || type === "mouseleave"},
        },
        bind: {dblclick: () => () => scene.zoomed(null)},
      },
      hooks: {
        drawClear: [(/** @type {any} */ plot) => this.shadeGaps(plot, colours)],
        draw: [(/** @type {any} */ plot) => this.drawExtras(plot, colours)],
        setCursor: [(/** @type {any} */ plot) => {
          if (plot.over.matches(":hover") && plot.cursor.left >= 0) scene.hovered(plot.posToVal(plot.cursor.left, "x"));
        }],
        setSelect: [(/** @type {any} */ plot) => {
          const {left, width: wide} = plot.select;
          if (wide < 5) return;
          scene.zoomed({from: plot.posToVal(left, "x"), to: plot.posToVal(left + wide, "x")});
          plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
        }],
      },
    };
  }

  /** @param {any} plot @param {ReturnType<typeof inks>} colours */
  shadeGaps(plot, colours) {
    const [person] = this.scene.shown;
    if (this.scene.shown.length !== 1) return;
    const pen = plot.ctx, {top, height} = plot.bbox;
    pen.fillStyle = colours.lost;
    const lost = (/** @type {number} */ place) => stateOf(person, place) !== TRACKED;
    this.runs(plot, lost, (left, right) => pen.fillRect(left, top, right - left, height));
  }

  /** The presence strip, and a limit. @param {any} plot @param {ReturnType<typeof inks>} colours */
  drawExtras(plot, colours) {
    const pen = plot.ctx, {left, top, width, height} = plot.bbox, ratio = devicePixelRatio || 1;
    const {strip, limit} = this.spec;
    const [person] = this.scene.shown;
    if (strip && this.scene.shown.length === 1 && person.channels[strip]) {
      const low = this.spec.channel ? top + height + 3 * ratio : top + height / 2 - STRIP * ratio;
      const high = (this.spec.channel ? STRIP : 2 * STRIP) * ratio;
      pen.fillStyle = colours.grid;
      pen.fillRect(left, low, width, high);
      pen.fillStyle = inkOf(person, colours);
      const present = (/** @type {number} */ place) => valueOf(person, strip, place) === 1;
      this.runs(plot, present, (from, to) => pen.fillRect(from, low, to - from, high));
    }
    if (limit !== undefined) {
      const y = plot.valToPos(limit, "y", true);
      pen.save();
      pen.strokeStyle = colours.limit;
      pen.lineWidth = ratio;
      pen.setLineDash([2 * ratio, 4 * ratio]);
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(left + width, y);
      pen.stroke();
      pen.restore();
    }
  }

  /** Calls `draw` with the ends, in px of the canvas, of every run in the view.
   *  @param {any} plot @param {(place: number) => boolean} holds @param {(left: number, right: number) => void} draw */
  runs(plot, holds, draw) {
    const {seconds} = this.scene.clip, [first, last] = this.places(), {left, width} = plot.bbox;
    const clamped = (/** @type {number} */ x) => Math.min(Math.max(x, left), left + width);
    // Runs less than half a pixel apart cannot be told from one.
    for (const [from, to] of runsOf(holds, first, last, (last - first) / width / 2)) {
      const start = clamped(plot.valToPos(seconds[from], "x", true));
      const after = to < seconds.length ? seconds[to] : 2 * seconds[to - 1] - seconds[Math.max(to - 2, 0)];
      const end = clamped(plot.valToPos(after, "x", true));
      if (end > start || seconds[from] >= this.scene.view.from) draw(start, Math.max(end, start + 1));
    }
  }

  /** Build the chart anew: other people, another scale, other colours. */
  rebuild() {
    this.plot?.destroy();
    const width = this.host.clientWidth || 300;
    const height = this.spec.channel ? PLOT_HEIGHT : STRIP_HEIGHT;
    this.plot = new uPlot(this.options(width, height, false), this.data(width), this.host);
    this.playhead = make("i", "playhead", this.plot.over);
    this.plot.over.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      this.scene.chosen(this.plot.posToVal(event.offsetX, "x"));
    });
    this.describe();
  }

  /** The heading's note, and what screen readers say of the chart. */
  describe() {
    const {shown} = this.scene, {name, title, unit} = this.spec;
    this.note.textContent = shown.length === 1 ? shown[0].notes[name] ?? "" : "";
    const notes = shown.map((person) => (person.number === null ? "" : `${person.name}: `)
      + (person.notes[name] ?? ""));
    const kind = this.spec.channel ? `${unit} over time` : "frames in which it is present";
    this.host.setAttribute("aria-label", `${name}, ${title}: ${kind}. ${notes.filter(Boolean).join("; ")}.`);
  }

  /** Draw the view, which has changed. */
  redraw() {
    this.plot.setData(this.data(this.host.clientWidth), false);
    this.plot.setScale("x", {min: this.scene.view.from, max: this.scene.view.to});
  }

  resize() {
    const width = this.host.clientWidth;
    if (!width || width === this.plot.width) return;
    this.plot.setSize({width, height: this.plot.height});
    this.redraw();
  }

  /** @param {number} time s @param {number} place that values are told of: under the cursor, else the playhead's */
  follow(time, place) {
    const {from, to} = this.scene.view, {channel, strip, decimals} = this.spec;
    if (this.playhead) {
      this.playhead.hidden = time < from || time > to;
      this.playhead.style.transform = `translateX(${this.plot.valToPos(time, "x")}px)`;
    }
    const values = this.scene.shown.map((person) => {
      if (!channel) return strip && valueOf(person, strip, place) === 1 ? "present" : "";
      const value = valueOf(person, channel, place);
      return Number.isNaN(value) ? "–" : value.toFixed(decimals).replace("-", "−");
    });
    this.now.textContent = values.join("  ");
    this.now.classList.toggle("present", this.scene.shown.length === 1 && !!strip
      && valueOf(this.scene.shown[0], strip, place) === 1);
  }

  /** The place of the largest value of who is shown; null without any. */
  peak() {
    let best = null, most = -Infinity;
    for (const {person, channel, kind} of this.traces()) {
      if (kind === "truth") continue;
      for (let place = person.start; place < person.start + person.count; place++) {
        const value = valueOf(person, channel, place);
        if (value > most) { most = value; best = place; }
      }
    }
    return best;
  }

  /** Mean over the tracked frames of who is shown, or the share of frames in which it is present. */
  activity() {
    const {channel, strip} = this.spec;
    let sum = 0, count = 0;
    for (const person of this.scene.shown) {
      for (let place = person.start; place < person.start + person.count; place++) {
        const value = valueOf(person, channel ?? strip ?? "", place);
        if (!Number.isNaN(value)) { sum += value; count++; }
      }
    }
    return count ? sum / count : 0;
  }
}
