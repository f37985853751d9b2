// What a page needs so that bertviz draws: parts of d3 and the few calls of jQuery that bertviz makes. Nothing is loaded.
import { hsl } from "d3-color";
import { scaleOrdinal } from "d3-scale";
import { select, selectAll } from "d3-selection";
import { line } from "d3-shape";

// Okabe and Ito (https://jfly.uni-koeln.de/color/), then Tol, so ordered that colour-blind people can tell neighbours apart.
const schemeCategory10 = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#999933", "#44aa99", "#aa4499",
  "#888888"];
const d3 = { version: "5", hsl, line, scaleOrdinal, schemeCategory10, select, selectAll };

const wrap = nodes => ({
  nodes,
  val(value) { nodes.forEach(node => { node.value = value; }); return this; },
  text(value) { nodes.forEach(node => { node.textContent = value; }); return this; },
  attr(name, value) { nodes.forEach(node => node.setAttribute(name, value)); return this; },
  empty() { nodes.forEach(node => node.replaceChildren()); return this; },
  append(other) { nodes.forEach(node => other.nodes.forEach(child => node.appendChild(child))); return this; },
  on(name, listener) { nodes.forEach(node => node.addEventListener(name, listener)); return this; },
  change() { nodes.forEach(node => node.dispatchEvent(new Event("change"))); return this; },
});
const $ = what => wrap(/^<\w+ ?\/?>$/.test(what) ? [document.createElement(what.match(/\w+/)[0])]
  : [...document.querySelectorAll(what)]);

// Text and background of the page around: of the notebook, where this is a frame in one, or of a page of its own.
function theme(root) {
  let around = root.parentElement;
  try { around = window.frameElement.parentElement; } catch (error) { /* the page around is another's, or there is none */ }
  const paper = node => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor.match(/[\d.]+/g) || [];
      if (color.length === 3 || color[3] > 0.5) return color.slice(0, 3).map(Number);
    }
    return [255, 255, 255];
  };
  const [red, green, blue] = paper(around);
  return 0.3 * red + 0.59 * green + 0.11 * blue < 128 ? "dark" : "light";
}

// bertviz takes a mouse for granted: what can be clicked can be reached with Tab and pressed with Enter or the space bar.
function keys(root) {
  root.querySelectorAll("svg rect").forEach(node => {
    if (!(node.__on || []).some(listener => listener.type === "click")) return;
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "button");
  });
}

export function start(draw, rootId, body, params) {
  const root = document.getElementById(rootId);
  const scaled = numbers => Array.isArray(numbers) ? numbers.map(scaled) : numbers / params.scale;
  Object.values(params.attention).forEach(view => ["attn", "queries", "keys"].forEach(name => {
    if (view[name]) view[name] = scaled(view[name]);
  }));
  let mode;
  const show = () => {
    const now = theme(root);
    if (now === mode) return;
    mode = now;
    root.className = "attention-view " + mode;
    root.innerHTML = body;
    draw($, d3, { ...params, root_div_id: rootId, display_mode: mode });
    for (const [id, names] of Object.entries(params.names || {})) {
      root.querySelectorAll(`#${id} option`).forEach((option, number) => { option.textContent = names[number]; });
    }
    root.querySelectorAll("select").forEach(node => node.setAttribute("aria-label", node.dataset.name || node.id));
    const vis = root.querySelector("#vis");
    const fit = () => {
      vis.querySelectorAll("svg").forEach(svg => {
        if (!svg.hasAttribute("viewBox")) {               // a wide drawing shrinks with its window
          const wide = params.width || 0, high = parseFloat(svg.getAttribute("height"));
          if (wide) {
            svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
            svg.removeAttribute("height");
            svg.setAttribute("width", "100%");
            svg.style.maxWidth = wide + "px";
          }
        }
      });
      keys(root);
      try { window.frameElement.style.height = document.documentElement.offsetHeight + 4 + "px"; } catch (error) { /* inline */ }
    };
    fit();
    new MutationObserver(fit).observe(vis, { childList: true });
    addEventListener("resize", fit);
  };
  show();
  root.addEventListener("keydown", event => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("rect[role=button]")) {
      event.preventDefault();
      event.target.dispatchEvent(new MouseEvent("click"));
    }
  });
  try {
    const page = window.frameElement ? window.parent.document : document;
    new MutationObserver(show).observe(page.body, { attributes: true });        // the reader chose another theme
  } catch (error) { /* the theme of the first moment stays */ }
}
