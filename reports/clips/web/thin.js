"use strict";
// Long series are drawn from the smallest and the largest value of each bucket, so that no peak is lost.

/** One line of a chart. @typedef {{person: Person, channel: string}} Trace */

/** The places between `first` and `last` (inclusive) to draw: all of them, or in each of `buckets` those of the
 *  smallest and the largest value of every trace, and where its gaps begin.
 *  @param {Trace[]} traces @param {number} first @param {number} last @param {number} buckets @returns {number[]} */
function thinned(traces, first, last, buckets) {
  const total = last - first + 1, places = [];
  if (total <= 2 * buckets) {
    for (let place = first; place <= last; place++) places.push(place);
    return places;
  }
  const kept = new Uint8Array(total);
  kept[0] = kept[total - 1] = 1;
  for (const {person, channel} of traces) {
    let known = false;
    for (let bucket = 0; bucket < buckets; bucket++) {
      const end = Math.floor((bucket + 1) * total / buckets);
      let least = Infinity, most = -Infinity, low = -1, high = -1;
      for (let k = Math.floor(bucket * total / buckets); k < end; k++) {
        const value = valueOf(person, channel, first + k);
        if (Number.isNaN(value)) {
          if (known) kept[k] = 1;
          known = false;
          continue;
        }
        known = true;
        if (value < least) { least = value; low = k; }
        if (value > most) { most = value; high = k; }
      }
      if (low >= 0) kept[low] = kept[high] = 1;
    }
  }
  for (let k = 0; k < total; k++) if (kept[k]) places.push(first + k);
  return places;
}

/** Runs of places between `first` and `last` for which `holds`, as [first, past the last]; runs less than `least` apart
 *  are one. @param {(place: number) => boolean} holds @param {number} first @param {number} last @param {number} least
 *  @returns {[number, number][]} */
function runsOf(holds, first, last, least) {
  /** @type {[number, number][]} */
  const runs = [];
  for (let place = first; place <= last; place++) {
    if (!holds(place)) continue;
    const run = runs[runs.length - 1];
    if (run && place - run[1] <= least) run[1] = place + 1; else runs.push([place, place + 1]);
  }
  return runs;
}
