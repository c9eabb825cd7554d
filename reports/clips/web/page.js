"use strict";
// Puts the page together: one playhead and one view of time, which video, overlay, face and charts follow.

const LEAST_VIEW = .2, BEFORE_PEAK = 1;  // s
const SPOKEN_AFTER = 600;  // ms of rest, after which screen readers are told where the playhead is
const TOP_UNITS = 3, LEAST_TOLD = .5;  // action units that are told, and their least intensity

class Page {
  /** @param {Clip} clip */
  constructor(clip) {
    this.clip = clip;
    /** @type {Person[]} */
    this.shown = [];
    const {seconds} = clip;
    this.whole = {from: seconds[0], to: Math.max(seconds[seconds.length - 1], seconds[0] + LEAST_VIEW)};
    this.view = {...this.whole};
    this.shared = true;
    /** @type {number | null} */
    this.hover = null;
    this.player = new Player($("video"), seconds, () => this.follow());
    this.overlay = new Overlay($("overlay"), clip);
    this.choose(new FormData($("people-form")).get("person") ?? "");
    /** @type {Chart[]} */
    this.charts = [];
    const confidence = {
      name: "Confidence", title: "that the face is tracked", kind: "confidence", unit: "0 to 1", decimals: 2,
      channel: "confidence", strip: null, truth: null,
    };
    this.charts.push(new Chart(this, confidence, $("timeline")));
    for (const spec of clip.charts) this.charts.push(new Chart(this, spec, $(spec.kind === "au" ? "units" : "others")));
    for (const chart of this.charts) this.addTools(chart);
    this.listen();
    this.sort();
    this.rebuild();
    this.follow();
    new ResizeObserver(() => { this.charts.forEach((chart) => chart.resize()); this.follow(); }).observe($("traces"));
  }

  /** @param {Chart} chart */
  addTools(chart) {
    const {name} = chart.spec;
    if (chart.spec.kind === "au" && chart.spec.channel) {
      const play = make("button", "peak", chart.tools, "Play peak");
      play.type = "button";
      play.setAttribute("aria-label", `Play the peak of ${name}`);
      play.onclick = () => {
        const peak = chart.peak();
        if (peak === null) return;
        this.player.seekTime(this.clip.seconds[peak] - BEFORE_PEAK);
        this.player.play();
      };
    }
    saveMenu(chart.tools, name, () => chart.drawing());
  }

  listen() {
    const {player} = this;
    $("play").onclick = () => this.toggle();
    $("back").onclick = () => player.seek(player.place - 1);
    $("on").onclick = () => player.seek(player.place + 1);
    $("seek").max = String(this.clip.seconds.length - 1);
    $("seek").oninput = () => player.seek(Number($("seek").value));
    $("rate").onchange = () => player.setRate(Number($("rate").value));
    if ($("sound")) $("sound").onchange = () => { $("video").muted = !$("sound").checked; };
    this.overlay.listen(() => player.place);
    if ($("sort")) $("sort").onchange = () => this.sort();
    $("scale").onchange = () => { this.shared = $("scale").value === "shared"; this.rebuild(); this.follow(); };
    $("closer").onclick = () => this.zoomBy(.5);
    $("wider").onclick = () => this.zoomBy(2);
    $("whole").onclick = () => this.zoomed(null);
    $("people-form").onchange = () => {
      this.choose(new FormData($("people-form")).get("person") ?? "");
      this.charts.forEach((chart) => chart.measureExtent());
      this.sort();
      this.rebuild();
      this.follow();
    };
    $("viewer").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", () => { this.rebuild(); this.follow(); });
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {HTMLElement} */ (event.target), held = event.ctrlKey || event.metaKey || event.altKey;
    const pressed = event.key === " " && target.closest("button, summary") !== null;
    const own = pressed || target.closest("input, select") !== null;
    const second = Math.max(1, Math.round(1 / this.player.step));
    /** @type {Record<string, () => void>} */
    const keys = {
      " ": () => this.toggle(), ArrowLeft: () => this.player.seek(this.player.place - (event.shiftKey ? second : 1)),
      ArrowRight: () => this.player.seek(this.player.place + (event.shiftKey ? second : 1)),
      Home: () => this.player.seek(0), End: () => this.player.seek(Infinity),
      "+": () => this.zoomBy(.5), "-": () => this.zoomBy(2), 0: () => this.zoomed(null),
    };
    if (held || own || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  toggle() { if (this.player.playing) this.player.pause(); else this.player.play(); }

  /** @param {FormDataEntryValue} wanted a number, "all", or "" where there is one face */
  choose(wanted) {
    const {people} = this.clip;
    this.shown = wanted === "all" || wanted === "" ? people : people.filter(({number}) => String(number) === wanted);
    const own = this.shown.length === 1 && this.shown[0].number !== null;
    $("traces").className = `traces${own ? ` person-${this.shown[0].number}` : ""}`;
  }

  sort() {
    const by = $("sort")?.value;
    const worth = (/** @type {Chart} */ chart) =>
      by === "activity" ? -chart.activity() : by === "largest" ? -chart.extent[1] : 0;
    const units = this.charts.filter(({spec}) => spec.kind === "au");
    const keys = new Map(units.map((chart) => [chart, worth(chart)]));
    // Sorting is stable: those of one worth stay in the order of their numbers.
    units.sort((one, other) => (keys.get(one) ?? 0) - (keys.get(other) ?? 0));
    $("units").append(...units.map(({figure}) => figure));
  }

  rebuild() { this.charts.forEach((chart) => chart.rebuild()); }

  /** @param {number} time s */
  chosen(time) {
    this.player.seekTime(time);
    /** @type {HTMLElement | null} */ (document.querySelector(".screen"))?.focus({preventScroll: true});  // keys go on from there
  }

  /** @param {number | null} time s */
  hovered(time) {
    this.hover = time === null ? null : placeOf(this.clip.seconds, time + this.player.step / 2);
    this.tell();
  }

  /** @param {number} factor of the span of time in view, about the playhead where it is in view */
  zoomBy(factor) {
    const {from, to} = this.view, {time} = this.player;
    const centre = time > from && time < to ? time : (from + to) / 2, share = (centre - from) / (to - from);
    const span = (to - from) * factor;
    this.zoomed({from: centre - share * span, to: centre + (1 - share) * span});
  }

  /** @param {Span | null} span null for the whole clip */
  zoomed(span) {
    const {from, to} = this.whole, wanted = span ?? this.whole;
    const length = Math.min(Math.max(wanted.to - wanted.from, LEAST_VIEW), to - from);
    const start = Math.min(Math.max(wanted.from, from), to - length);
    this.view = {from: start, to: start + length};
    this.charts.forEach((chart) => chart.redraw());
    const all = length >= (to - from) * .9999;
    $("whole").disabled = $("wider").disabled = all;
    $("span").textContent = all ? "" : `${told(start)} to ${told(start + length)}`;
    this.follow();
  }

  /** Show where the playhead is. */
  follow() {
    if (!this.charts.length) return;
    const {player, view} = this, {place, time} = player;
    if (player.playing && (time < view.from || time > view.to)) {
      const length = view.to - view.from;
      this.zoomed({from: time - length * .05, to: time + length * .95});
      return;
    }
    this.overlay.draw(place);
    $("seek").value = String(place);
    $("play").textContent = player.playing ? "Pause" : "Play";
    $("time").textContent = `${time.toFixed(2)} s`;
    $("frame").textContent = `frame ${this.clip.frames[place]}`;
    $("seek").setAttribute("aria-valuetext", `${time.toFixed(2)} seconds, frame ${this.clip.frames[place]}`);
    this.tell();
    clearTimeout(this.speech);
    if (!player.playing) this.speech = setTimeout(() => this.speak(), SPOKEN_AFTER);
  }

  /** Values under the cursor, or at the playhead, in the charts' headings and on the face. */
  tell() {
    const place = this.hover ?? this.player.place;
    for (const chart of this.charts) chart.follow(this.player.time, place);
    if ($("face")) drawHeat($("face"), this.clip, this.heated(place), place);
    $("hover").textContent = this.hover === null ? "" : `${this.clip.seconds[place].toFixed(2)} s under the cursor`;
  }

  /** Whose action units the face shows: of several people the first who is tracked. @param {number} place */
  heated(place) { return this.shown.find((person) => stateOf(person, place) === TRACKED) ?? null; }

  /** For screen readers. */
  speak() {
    const {place, time} = this.player, person = this.heated(place);
    const units = person === null ? [] : this.clip.charts.filter(({kind, channel}) => kind === "au" && channel)
      .map(({name, channel}) => ({name, value: valueOf(person, channel ?? "", place)}))
      .filter(({value}) => value >= LEAST_TOLD).sort((one, other) => other.value - one.value).slice(0, TOP_UNITS);
    const list = units.map(({name, value}) => `${name} ${value.toFixed(1)}`).join(", ")
      || `no action unit above ${LEAST_TOLD}`;
    const who = person === null || person.number === null ? "" : `${person.name}: `;
    $("spoken").textContent = `${time.toFixed(2)} seconds. ${person === null ? "No face tracked." : `${who}${list}.`}`;
  }
}

/** Small pictures of people, from the video, at their surest frames.
 *  @param {Clip} clip @param {HTMLVideoElement} video */
async function drawPortraits(clip, video) {
  const canvases = /** @type {HTMLCanvasElement[]} */ ([...document.querySelectorAll("canvas.portrait")]);
  if (!canvases.length || !clip.size) return;
  const own = document.createElement("video");
  own.muted = true;
  own.src = video.currentSrc || video.src;
  await new Promise((resolve, reject) => { own.onloadeddata = resolve; own.onerror = reject; });
  for (const canvas of canvases) {
    const person = clip.people.find(({number}) => String(number) === canvas.dataset.person);
    let best = -1;
    for (let place = person?.start ?? 0; person && place < person.start + person.count; place += person.points.every) {
      const sure = valueOf(person, "confidence", place);
      if (!Number.isNaN(sure) && (best < 0 || sure > valueOf(person, "confidence", best))) best = place;
    }
    const points = best < 0 || !person ? null : pointsAt(person, "values", best);
    if (!points) continue;
    await new Promise((resolve) => {
      own.onseeked = resolve;
      own.currentTime = clip.seconds[best] - clip.seconds[0] + .005;  // a little into the frame
    });
    const [left, top, right, bottom] = boxOf(points, 68), half = .75 * Math.max(right - left, bottom - top);
    const scale = own.videoWidth / clip.size[0];
    canvas.getContext("2d")?.drawImage(
      own, ((left + right) / 2 - half) * scale, ((top + bottom) / 2 - half) * scale, 2 * half * scale, 2 * half * scale,
      0, 0, canvas.width, canvas.height);
    canvas.hidden = false;
  }
}

(async () => {
  const clip = await readDocument(), page = new Page(clip);
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  if ($("video")) await drawPortraits(clip, $("video"));
  return page;
})();
