"use strict";
// A table of any columns: sorted by a click on a heading, a page of rows at a time, saved whole.

const PAGE_ROWS = 100;

/** @param {Column} column */
const classOf = ({text, long}) => `${text ? "text" : ""}${long ? " long" : ""}`;

class DataTable {
  /** @param {HTMLElement} host @param {string} label what screen readers call it
   *  @param {{key: string, falling: boolean}} by its first order */
  constructor(host, label, by) {
    this.label = label;
    this.by = by;
    this.page = 0;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {number[]} */
    this.rows = [];
    this.region = make("div", "scroll", host);
    this.region.tabIndex = 0;
    this.region.setAttribute("role", "region");
    this.region.setAttribute("aria-label", label);
    const table = make("table", "data", this.region);
    this.caption = make("caption", "", table);
    this.head = make("thead", "", table);
    this.body = make("tbody", "", table);
    this.pages = make("div", "pages", host);
    this.back = this.button("Back", () => this.turn(-1));
    this.where = make("span", "", this.pages);
    this.on = this.button("On", () => this.turn(1));
  }

  /** @param {string} text @param {() => void} act */
  button(text, act) {
    const button = make("button", "", this.pages, text);
    button.type = "button";
    button.setAttribute("aria-label", `${text}: ${this.label}`);
    button.addEventListener("click", act);
    return button;
  }

  /** @param {Column[]} columns @param {number[]} rows @param {string} caption */
  show(columns, rows, caption) {
    const same = columns.map(({key}) => key).join("\n") === this.columns.map(({key}) => key).join("\n");
    this.columns = columns;
    this.rows = rows;
    this.page = 0;
    this.caption.textContent = caption;
    if (!same) this.drawHead();
    this.draw();
  }

  drawHead() {
    this.head.replaceChildren();
    const line = make("tr", "", this.head);
    for (const column of this.columns) {
      const cell = make("th", classOf(column), line);
      cell.scope = "col";
      cell.dataset.key = column.key;
      if (column.about) cell.title = column.about;
      const button = make("button", "", cell, column.title);
      button.type = "button";
      button.addEventListener("click", () => this.sortBy(column));
    }
  }

  /** Another order; a second click turns it round. Numbers begin with the largest. @param {Column} column */
  sortBy(column) {
    const falling = this.by.key === column.key ? !this.by.falling : !column.text;
    this.by = {key: column.key, falling};
    this.page = 0;
    this.draw();
  }

  /** All rows in the order that is shown. */
  ordered() {
    const column = this.columns.find(({key}) => key === this.by.key);
    return column ? sorted(this.rows, column, this.by.falling) : this.rows;
  }

  /** @param {number} by */
  turn(by) {
    this.page += by;
    this.draw();
    this.region.scrollTop = 0;
  }

  draw() {
    const rows = this.ordered(), last = Math.max(Math.ceil(rows.length / PAGE_ROWS) - 1, 0);
    this.page = Math.min(Math.max(this.page, 0), last);
    for (const cell of this.head.querySelectorAll("th")) {
      if (cell.dataset.key !== this.by.key) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", this.by.falling ? "descending" : "ascending");
    }
    const from = this.page * PAGE_ROWS, to = Math.min(from + PAGE_ROWS, rows.length);
    const lines = document.createDocumentFragment();
    for (const row of rows.slice(from, to)) lines.append(this.line(row));
    this.body.replaceChildren(lines);
    this.pages.hidden = last === 0;
    this.where.textContent = `${(from + 1).toLocaleString("en")} to ${to.toLocaleString("en")} of `
      + rows.length.toLocaleString("en");
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === last;
  }

  /** @param {number} row */
  line(row) {
    const line = document.createElement("tr");
    this.columns.forEach((column, place) => {
      const text = cellOf(column, row), address = column.link?.(row);
      const cell = place === 0 ? make("th", "", line) : make("td", classOf(column), line);
      if (place === 0) cell.setAttribute("scope", "row");
      if (address) make("a", "", cell, text).href = address; else cell.textContent = text;
      if (place === 0) cell.title = text;
      const value = column.full ? column.value(row) : null;
      if (typeof value === "number" && column.full) {
        cell.className = "warm";
        cell.style.setProperty("--share", String(Math.min(Math.max(value / column.full, 0), 1)));
      }
    });
    return line;
  }

  csv() {
    return csvOfTable(this.columns, this.ordered());
  }
}
