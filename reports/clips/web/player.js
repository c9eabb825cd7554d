"use strict";
// The playhead: one place on the grid of frames, which the video, the charts and the overlay share.

class Player {
  /** @param {HTMLVideoElement | null} video without one, a clock plays @param {Float64Array} seconds of the grid
   *  @param {() => void} moved called when the playhead moved or playing began or ended */
  constructor(video, seconds, moved) {
    this.video = video;
    this.seconds = seconds;
    this.moved = moved;
    this.place = 0;
    this.time = seconds[0];
    this.rate = 1;
    /** @type {number | null} the video's time of the clip's first frame, as the browser tells it */
    this.offset = null;
    this.step = seconds.length > 1 ? median(seconds) : 1 / 30;  // s
    this.began = 0;
    this.ticking = false;
    if (video) this.follow(video);
  }

  get playing() { return this.video ? !this.video.paused && !this.video.ended : this.ticking; }

  /** @param {HTMLVideoElement} video */
  follow(video) {
    for (const event of ["play", "pause", "ended"]) video.addEventListener(event, () => this.moved());
    if ("requestVideoFrameCallback" in video) {
      const shown = (/** @type {number} */ _, /** @type {VideoFrameCallbackMetadata} */ {mediaTime}) => {
        // Until somebody has moved, the first frame of the file is shown, whatever time it has.
        this.offset ??= this.time === this.seconds[0] && mediaTime < 1 ? mediaTime : 0;
        if (!video.seeking) this.at(mediaTime - this.offset + this.seconds[0]);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    } else {
      const look = () => {
        if (this.playing) this.at(/** @type {HTMLVideoElement} */ (video).currentTime + this.seconds[0]);
        requestAnimationFrame(look);
      };
      look();
    }
  }

  /** The playhead is at this time. @param {number} time */
  at(time) {
    this.time = time;
    const place = placeOf(this.seconds, time + this.step / 4), last = this.seconds.length - 1;
    // A video may go on after the frames that were measured (--max-frames).
    if (place === last && time > this.seconds[last] + 1.5 * this.step && this.playing) this.pause();
    if (place === this.place) return;
    this.place = place;
    this.moved();
  }

  /** Go to a place of the grid. @param {number} place */
  seek(place) {
    this.place = Math.min(Math.max(Math.round(place), 0), this.seconds.length - 1);
    this.time = this.seconds[this.place];
    // A little into the frame, because times of frames are rounded.
    if (this.video) this.video.currentTime = this.time - this.seconds[0] + (this.offset ?? 0) + this.step / 4;
    this.began = performance.now() / 1000 - this.time / this.rate;
    this.moved();
  }

  /** @param {number} time s */
  seekTime(time) { this.seek(placeOf(this.seconds, time + this.step / 2)); }

  play() {
    if (this.video) {
      this.video.play().catch(() => this.moved());  // interrupted by a pause, or refused by the browser
      return;
    }
    if (this.place === this.seconds.length - 1) this.seek(0);
    this.ticking = true;
    this.began = performance.now() / 1000 - this.time / this.rate;
    const tick = () => {
      if (!this.ticking) return;
      this.at((performance.now() / 1000 - this.began) * this.rate);
      if (this.place === this.seconds.length - 1) this.pause(); else requestAnimationFrame(tick);
    };
    tick();
    this.moved();
  }

  pause() {
    this.video?.pause();
    this.ticking = false;
    this.moved();
  }

  /** @param {number} rate 1 is the clip's own speed */
  setRate(rate) {
    this.rate = rate;
    if (this.video) this.video.playbackRate = rate;
    this.began = performance.now() / 1000 - this.time / rate;
  }
}

/** The median step of rising times. @param {Float64Array} rising */
function median(rising) {
  const steps = rising.slice(1).map((time, k) => time - rising[k]).sort();
  return steps[Math.floor(steps.length / 2)] || 1 / 30;
}
