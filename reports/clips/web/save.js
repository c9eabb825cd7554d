"use strict";
// A chart as a file: SVG as uPlot draws it, PNG from that SVG, CSV of what it shows.

/** What a chart gives for a file, which is named after what the chart is `of` and its own name: `size` in CSS px, what
 *  uPlot is made of, and its values as a table.
 *  @typedef {{of: string, name: string, title: string, size: [number, number], options: any, data: any,
 *   csv: () => string}} Drawing */

const PNG_SCALE = 2;

/** @param {Drawing} drawing @returns {Promise<string>} */
async function svgOf({title, size: [width, height], options, data}) {
  const ratio = devicePixelRatio || 1, context = new SvgContext(width * ratio, height * ratio);
  // uPlot takes its context from a canvas that it makes itself, and makes paths of the global kind: both are ours while
  // it draws, which ends with the microtask after its construction.
  const {getContext} = HTMLCanvasElement.prototype, {Path2D} = window;
  try {
    HTMLCanvasElement.prototype.getContext = /** @type {any} */ (() => context);
    window.Path2D = /** @type {any} */ (SvgPath);
    const plot = new uPlot({...options, width, height}, data, document.createElement("div"));
    await Promise.resolve();
    plot.redraw(false);
    await Promise.resolve();
    plot.destroy();
  } finally {
    HTMLCanvasElement.prototype.getContext = getContext;
    window.Path2D = Path2D;
  }
  return context.document(title);
}

/** @param {string} svg @param {[number, number]} size @returns {Promise<Blob>} */
async function pngOf(svg, [width, height]) {
  const image = new Image(), address = URL.createObjectURL(new Blob([svg], {type: "image/svg+xml"}));
  try {
    image.src = address;
    await image.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
  const canvas = document.createElement("canvas");
  canvas.width = width * PNG_SCALE;
  canvas.height = height * PNG_SCALE;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => blob ? resolve(blob) : reject(new Error("the browser makes no PNG")), "image/png");
  });
}

/** @param {Drawing} drawing @param {"png" | "svg" | "csv"} kind */
async function save(drawing, kind) {
  const svg = kind === "csv" ? "" : await svgOf(drawing);
  const blob = kind === "csv" ? new Blob([drawing.csv()], {type: "text/csv"})
    : kind === "svg" ? new Blob([svg], {type: "image/svg+xml"}) : await pngOf(svg, drawing.size);
  download(blob, `${drawing.of}-${drawing.name.replace(/\W+/g, "-")}.${kind}`);
}

/** A button that opens to the kinds of file a chart is saved as.
 *  @param {Element} parent @param {string} name @param {() => Drawing} drawn what the chart shows when it is saved */
function saveMenu(parent, name, drawn) {
  const menu = make("details", "save", parent);
  make("summary", "", menu, "Save").setAttribute("aria-label", `Save the chart of ${name}`);
  const choice = make("span", "menu", menu);
  for (const kind of /** @type {const} */ (["png", "svg", "csv"])) {
    const button = make("button", "", choice, kind.toUpperCase());
    button.type = "button";
    button.onclick = async () => {
      menu.open = false;
      await save(drawn(), kind);
    };
  }
}

const openMenus = () => /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.save[open]"));
document.addEventListener("click", ({target}) => {
  for (const menu of openMenus()) if (!menu.contains(/** @type {Node} */ (target))) menu.open = false;
});
document.addEventListener("keydown", ({key}) => {
  if (key === "Escape") for (const menu of openMenus()) menu.open = false;
});
