/** Small tools to make and change nodes. Text is only ever text; what has not changed is not touched. */

/** @typedef {string | Node | null | false} Child */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} [props] attributes; functions are listeners
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else attr(node, name, value);
  }
  for (const child of children) if (child) node.append(child);
  return node;
}

/** @param {Element} node @param {string} name @param {string | boolean | null} value true: present; false, null: not */
export function attr(node, name, value) {
  if (value === false || value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== (value === true ? "" : value)) node.setAttribute(name, value === true ? "" : value);
}

/** @param {Node} node @param {string} value */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Text in pieces, every second one bold. @param {Element} node @param {string[]} pieces */
export function rich(node, pieces) {
  const same = JSON.stringify(pieces);
  if (drawn.get(node) === same) return;
  drawn.set(node, same);
  node.replaceChildren(...pieces.map((piece, i) => (i % 2 ? h("b", {}, piece) : piece)));
}
/** @type {WeakMap<Element, string>} */
const drawn = new WeakMap();

/** @param {HTMLElement} node @param {unknown} wanted */
export function show(node, wanted) {
  const hidden = !wanted;
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** The drawings of the page, in a box of 24. @type {Record<string, string>} */
const PATHS = {
  check: "M4.5 12.5l5 5 10-11",
  cross: "M6 6l12 12M18 6L6 18",
  undo: "M8 5L4 9l4 4M4 9h10a5.5 5.5 0 0 1 0 11h-4",
  shield: "M12 3l7.5 3v5.5c0 4.6-3.1 7.9-7.5 9.5-4.4-1.6-7.5-4.9-7.5-9.5V6zM12 8.5v4.5M12 16h.01",
  send: "M4 5.5h16v11H9.5L5.5 20v-3.5H4z",
  phone: "M7.5 2.5h9v19h-9zM11 18.5h2",
  alert: "M12 3.5l9.5 16.5h-19zM12 10v4.5M12 17.2h.01",
  wait: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17M12 7.5V12l3 2",
  stop: "M12 3.5a8.5 8.5 0 1 1 0 17a8.5 8.5 0 0 1 0-17M8.5 12h7",
  copy: "M9 9h11v11H9zM15 5.5V4H4v11h1.5",
  open: "M13 5h6v6M19 5l-9 9M9.5 5H5v14h14v-4.5",
};

const SVG = "http://www.w3.org/2000/svg";

/** A drawing, for eyes only: words always stand beside it. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  redraw(svg, name);
  return svg;
}

/** @param {SVGElement} svg @param {string} name */
export function redraw(svg, name) {
  const path = PATHS[name];
  if (!path) throw new Error(`no icon ${name}`);
  attr(/** @type {Element} */ (svg.firstElementChild), "d", path);
}
