"use strict";
// Puts the page of a study together: what the filters let through is what charts, groups and table show.

const MOST_CHOICES = 200;  // values of a label that a list offers; of more, words are searched for
const SEARCH_AFTER = 120;  // ms without a further letter

class StudyPage {
  /** @param {Study} study */
  constructor(study) {
    this.study = study;
    this.words = wordsOf(study);
    this.kinds = kindsOf(study);
    /** @type {number[]} */
    this.shown = [];
    /** @type {Map<string, HTMLSelectElement>} */
    this.labels = new Map();
    this.share = new StudyChart($("quality"), "Frames with the face", study);
    this.confidence = new StudyChart($("quality"), "Confidence", study);
    this.dots = new StudyChart($("strips"), "By group", study);
    const clips = study.columns.distance.some((distance) => distance !== null) ? "distance" : "clip";
    this.clips = new DataTable($("clips"), "All clips", {key: clips, falling: clips === "distance"});
    this.groups = new DataTable($("groups"), "Action units by group", {key: "", falling: false});
    this.offer();
    this.listen();
    this.filter();
  }

  /** The choices of all lists. */
  offer() {
    const option = (/** @type {HTMLSelectElement} */ list, /** @type {string} */ value, text = value) => {
      const choice = document.createElement("option");
      choice.value = value;
      choice.textContent = text;
      list.append(choice);
    };
    for (const name of this.study.labels) {
      const values = [...new Set(this.study.labelled[name].map((value) => value ?? NO_LABEL))];
      if (values.length > MOST_CHOICES || values.length < 2) continue;
      const label = make("label", "", $("label-filters"), `${name} `), list = make("select", "", label);
      list.dataset.label = name;
      option(list, "", "all");
      values.sort(order.compare).forEach((value) => option(list, value));
      this.labels.set(name, list);
    }
    option($("group"), "", "all together");
    option($("group-two"), "", "nothing else");
    for (const name of Object.keys(this.kinds)) {
      option($("group"), name);
      option($("group-two"), name);
    }
    const names = Object.keys(this.kinds), rows = this.words.map((_, row) => row);
    const few = names.find((name) => {
      const groups = new Set(rows.map(this.kinds[name])).size;
      return groups > 1 && groups <= MOST_GROUPS;
    });
    $("group").value = few ?? names[0] ?? "";
    for (const {name, title} of this.study.units) option($("unit"), name, `${name} ${title}`);
    if (this.study.units.some(({name}) => name === "AU12")) $("unit").value = "AU12";
    $("groups-section").hidden = !this.study.units.length;
  }

  listen() {
    let waiting = 0;
    $("find").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.filter(), SEARCH_AFTER);
    });
    $("only").addEventListener("change", () => this.filter());
    for (const list of this.labels.values()) list.addEventListener("change", () => this.filter());
    $("show-all").addEventListener("click", () => {
      $("filters").reset();
      this.filter();
    });
    for (const id of ["group", "group-two", "measure"]) $(id).addEventListener("change", () => this.showGroups());
    $("unit").addEventListener("change", () => this.showGroups());
    $("columns").addEventListener("change", () => this.showClips());
    const save = (/** @type {DataTable} */ table, /** @type {string} */ what) => download(
      new Blob([table.csv()], {type: "text/csv"}), `${this.study.name}-${what}.csv`);
    $("save-clips").addEventListener("click", () => save(this.clips, $("columns").value));
    $("save-groups").addEventListener("click", () => save(this.groups, `groups-${$("measure").value}`));
  }

  filter() {
    const labels = [...this.labels].filter(([, list]) => list.value).map(([name, list]) => [name, list.value]);
    this.shown = matching(this.study, this.words, {
      words: $("find").value, only: $("only").value, labels: Object.fromEntries(labels),
    });
    const every = this.study.columns.clip, clips = new Set(this.shown.map((row) => every[row])).size;
    const faces = every.length === new Set(every).size ? "" : `, ${this.shown.length.toLocaleString("en")} faces`;
    const total = new Set(every).size.toLocaleString("en");
    $("count").textContent = `${clips.toLocaleString("en")} of ${total} clips${faces}`;
    const known = (/** @type {string} */ name) => this.shown.map((row) => this.study.columns[name][row]).filter(
      (value) => value !== null);
    const counted = faces ? "faces" : "clips";
    this.share.histogram(known("share"), "Share of frames with the face", counted);
    this.confidence.histogram(known("confidence"), "Mean confidence", counted);
    this.showGroups();
    this.showClips();
  }

  showGroups() {
    /** @type {Measure} */
    const measure = $("measure").value;
    const kinds = [...new Set([$("group").value, $("group-two").value])].filter(Boolean);
    const groups = groupsOf(this.shown, kinds.map((name) => this.kinds[name])), {study} = this, {columns} = study;
    const full = measure === "present" ? 1 : study.full / 2, several = columns.person.some((number) => number !== null);
    const names = kinds.length
      ? kinds.map((name, k) => ({
        key: name, title: name, text: true, value: (/** @type {number} */ at) => groups[at].names[k],
      }))
      : [{key: "group", title: "group", text: true, value: () => "all"}];
    const mean = (/** @type {(number | null)[]} */ values) => (/** @type {number} */ at) => (
      meanOf(groups[at].rows, values));
    this.groups.show([
      ...names, {key: "faces", title: several ? "faces" : "clips", value: (at) => groups[at].rows.length},
      {key: "share", title: "with face, %", decimals: 1, percent: true, value: mean(columns.share)},
      {key: "confidence", title: "confidence", decimals: 2, value: mean(columns.confidence)},
      ...study.units.map(({name, title}) => ({
        key: name, title: name, about: title, full, decimals: measure === "present" ? 1 : 2,
        percent: measure === "present", value: mean(study[measure][name]),
      })),
    ], groups.map((_, at) => at), `${capital(MEASURES[measure])}${measure === "present" ? ", %" : ", from 0 to 5"}.`);
    const unit = $("unit").value;
    const most = measure === "present" ? 1 : study.full;
    if (unit) this.dots.dots(groups, kinds, study[measure][unit], unit, MEASURES[measure], most);
  }

  showClips() {
    const {study} = this, {columns} = study, kind = $("columns").value;
    const of = (/** @type {string} */ name) => (/** @type {number} */ row) => columns[name][row];
    /** @type {Column[]} */
    const names = [
      {key: "clip", title: "clip", text: true, value: of("clip"), link: of("page")},
      ...(columns.person.some((number) => number !== null)
        ? [{key: "person_id", title: "person", value: of("person")}] : []),
      ...study.labels.map((name) => ({
        key: name, title: name, text: true, value: (/** @type {number} */ row) => study.labelled[name][row],
      })),
    ];
    const told = (/** @type {number} */ row) => columns.warnings[row].map(
      (/** @type {number} */ k) => study.warnings[k]).join("; ") || null;
    /** @type {Column[]} */
    const quality = [
      {key: "distance", title: "stands out by", decimals: 1, value: of("distance")},
      {key: "why", title: "why", text: true, long: true, value: (row) => columns.why[row] || null},
      {key: "share", title: "with face, %", decimals: 1, percent: true, value: of("share")},
      {key: "confidence", title: "confidence", decimals: 2, value: of("confidence")},
      {key: "frames", title: "frames", value: of("frames")},
      {key: "seconds", title: "seconds", decimals: 1, value: of("seconds")},
      {key: "status", title: "status", text: true, value: of("status")},
      {key: "warnings", title: "warnings", text: true, long: true, value: told},
    ];
    const units = kind === "quality" ? [] : study.units.map(({name, title}) => ({
      key: name, title: name, about: title, full: kind === "present" ? 1 : study.full / 2,
      decimals: kind === "present" ? 1 : 2, percent: kind === "present",
      value: (/** @type {number} */ row) => study[/** @type {Measure} */ (kind)][name][row],
    }));
    const what = kind === "quality" ? "Quality" : capital(MEASURES[/** @type {Measure} */ (kind)])
      + (kind === "present" ? ", %" : ", from 0 to 5");
    this.clips.show([...names, ...(kind === "quality" ? quality : units)], this.shown, `${what}. A heading sorts.`);
  }
}

/** @param {string} text */
const capital = (text) => text[0].toUpperCase() + text.slice(1);

(() => {
  const page = new StudyPage(JSON.parse($("document").textContent));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  return page;
})();
