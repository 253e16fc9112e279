/** Small tools to find, make and change nodes. Text is only ever text; what has not changed is not touched. */

/** @typedef {string | Node | null | false} Child */

/**
 * A part of the page, which stands in `skeleton.html` under `data-part`.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {ParentNode} root @param {K} tag @param {string} name
 * @returns {HTMLElementTagNameMap[K]}
 */
export function part(root, tag, name) {
  const node = root.querySelector(`${tag}[data-part="${name}"]`);
  if (!node) throw new Error(`no part ${name}`);
  return /** @type {HTMLElementTagNameMap[K]} */ (node);
}

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

/** @param {Element} node @param {string} name @param {unknown} wanted */
export function mark(node, name, wanted) {
  if (node.classList.contains(name) !== Boolean(wanted)) node.classList.toggle(name, Boolean(wanted));
}

/** @param {Node} node @param {string} value */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Text in pieces, every second one bold. @param {Element} node @param {string[]} pieces */
export function rich(node, pieces) {
  const shown = Array.from(node.childNodes, (child) => child.textContent);
  const wanted = pieces.filter((piece, i) => piece || i % 2);
  if (shown.length === wanted.length && shown.every((one, i) => one === wanted[i])) return;
  node.replaceChildren(...pieces.map((piece, i) => (i % 2 ? h("b", {}, piece) : piece)).filter((piece) => piece !== ""));
}

/** @param {HTMLElement} node @param {unknown} wanted */
export function show(node, wanted) {
  const hidden = !wanted;
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** @param {ParentNode} root @param {string} marked the attribute that names what is wanted */
const all = (root, marked) => /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(`[${marked}]`));

/**
 * The words that are the same in every state: each stands under its key in `skeleton.html`, in `data-w`, perhaps with
 * values of its own behind it (`linkDevice=menu.linkDevice.iphone`).
 * @param {ParentNode} root @param {import("./types.d.ts").T} t @param {Record<string, string>} values
 */
export function reword(root, t, values) {
  const known = { ...t.menu, ...values };
  for (const node of all(root, "data-w")) {
    const [key = "", ...own] = (node.dataset.w ?? "").split(" ");
    const more = own.map((pair) => pair.split("=")).map(([name = "", other = ""]) => [name, t(/** @type {any} */ (other))]);
    rich(node, t.pieces(/** @type {any} */ (key), { ...known, ...Object.fromEntries(more) }));
  }
  for (const node of all(root, "data-w-label")) attr(node, "aria-label", t(/** @type {any} */ (node.dataset.wLabel), known));
}
