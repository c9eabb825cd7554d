"use strict";
// The page of an image: landmarks over the picture, and the action units of the chosen face.

(async () => {
  const clip = await readDocument(), overlay = new Overlay($("overlay"), clip), form = $("people-form");
  const show = () => {
    if (!form) return;  // a table without action units
    const chosen = new FormData(form).get("person");
    drawHeat($("face"), clip, clip.people.find(({number}) => String(number) === chosen) ?? null, 0);
  };
  if (form) form.onchange = show;
  overlay.listen(() => 0);
  overlay.draw(0);
  show();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
