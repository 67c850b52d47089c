"use strict";
// The page at work: panels, mouse, keys.

const $ = (id) => document.getElementById(id);
const sources = [...document.querySelectorAll("script.scene")];
const graphs = new Map();
const painter = new Painter($("graph"), $("minimap"));
const details = new Details($("details"), (node) => jumpTo([node.id], node));
const state = { graph: null, collapsed: new Set(), onlyChanges: false, step: null, chosen: null, hits: [], tour: [], place: -1, group: -1 };
const opened = new Set([0]);
const SHOWN = 200;

function openScene(index) {
  if (!graphs.has(index)) graphs.set(index, new Graph(JSON.parse(sources[index].textContent)));
  $("scene").selectedIndex = index;
  Object.assign(state, { graph: graphs.get(index), step: null, chosen: null, hits: [], group: -1 });
  state.collapsed.clear();
  opened.clear();
  opened.add(0);
  $("search").value = "";
  $("found").value = "";
  const two = state.graph.sides.length > 1;
  for (const id of ["mode", "hide", "legend"]) $(id).hidden = !two;
  showDetails(null);
  if (!two) painter.split = false;
  arrange();
  painter.fitTo(painter.arrangement.bounds);
  const outer = outerScopes();
  if (painter.camera.zoom < 0.36 && outer.size > 1 && outer.size <= SHOWN) {
    state.collapsed = outer;
    arrange();
  }
  showTimeline();
  showGroups();
  state.tour = allChanges();
  state.place = -1;
  home();
}

function arrange() {
  const arrangement = new Arrangement(state.graph, state);
  Object.assign(painter, { step: state.step });
  painter.show(arrangement);
  highlight();
  showTree();
}

function highlight() {
  const boxOf = (id) => painter.arrangement.box[id];
  painter.chosen = state.chosen ? boxOf(state.chosen.id) : null;
  painter.hits = state.hits.length ? new Set(state.hits) : null;
  const places = state.group < 0 ? [] : state.graph.groups[state.group][2];
  painter.marked = new Set(places.flat().map(boxOf).filter(Boolean));
  painter.request();
}

/** All of a small graph; of a large one where it begins to differ, or its beginning. */
function home() {
  const { bounds, boxes } = painter.arrangement;
  painter.fitTo(bounds);
  if (painter.camera.zoom >= 0.36 || !boxes.length) return;
  if (state.tour.length) showPlace(state.tour[0]);
  else lookAt(boxes[0], 0.8);
}

function lookAt({ x, y }, zoom) {
  Object.assign(painter.camera, { x, y, zoom });
  painter.move(0, 0);
}

/** The places of all changes, from the top down. */
function allChanges() {
  const { nodes, groups } = state.graph;
  const places = groups.flatMap(([, , found]) => found).filter((place) => place.length);
  const top = (place) => place.reduce((least, id) => Math.min(least, nodes[id].y), Infinity);
  return places.map((place) => [top(place), place]).sort((a, b) => a[0] - b[0]).map(([, place]) => place);
}

/** See to it that nodes are drawn: open the scopes around them, and show what is hidden. */
function reveal(ids) {
  let again = false;
  for (const id of ids) {
    for (let scope = state.graph.nodes[id].scope; scope > 0; scope = state.graph.scopes[scope][1]) again = state.collapsed.delete(scope) || again;
  }
  if (again) arrange();
  if (ids.some((id) => !painter.arrangement.box[id])) {
    setStep(null);
    if (ids.some((id) => !painter.arrangement.box[id])) onlyChanges(false);
  }
}

function showPlace(ids) {
  const boxes = ids.map((id) => painter.arrangement.box[id]).filter(Boolean);
  if (!boxes.length) return;
  const ends = (axis) => boxes.map((box) => box[axis]);
  const [left, right, top, bottom] = [Math.min(...ends("x")), Math.max(...ends("x")), Math.min(...ends("y")), Math.max(...ends("y"))];
  painter.fitTo({ left: left - 300, right: right + 300, top: top - 250, bottom: bottom + 250 }, 1, 0.36);
}

function jumpTo(ids, node = null) {
  reveal(ids);
  showPlace(ids);
  if (node) showDetails(node);
}

function showDetails(node) {
  state.chosen = node;
  if (node) details.show(state.graph, node, () => showDetails(null));
  else $("details").hidden = true;
  painter.resize();
  if (painter.arrangement) highlight();
}

function showScope(box) {
  showDetails(null);
  details.showScope(state.graph, box, tally(box.counts), () => toggleScope(box.scope), () => showDetails(null));
  painter.resize();
  painter.chosen = box;
}

/** To the next (1) or the previous (-1) place of what is toured: hits, the group that is chosen, or all changes. */
function tour(by) {
  if (!state.tour.length) return;
  state.place = (state.place + by + state.tour.length) % state.tour.length;
  const place = state.tour[state.place];
  jumpTo(place, state.hits.length ? state.graph.nodes[place[0]] : null);
  $("found").value = state.hits.length || state.group >= 0 ? `${state.place + 1} of ${state.tour.length}` : "";
  if (state.group >= 0) showGroups();
}

function search(text) {
  const wanted = text.trim().toLowerCase();
  const { graph } = state;
  state.group = -1;
  state.hits = wanted ? graph.nodes.filter((node) => graph.searchText(node).includes(wanted)).map((node) => node.id) : [];
  state.tour = wanted ? state.hits.map((id) => [id]) : allChanges();
  state.place = -1;
  $("found").value = wanted ? `${state.hits.length} found` : "";
  highlight();
}

function chooseGroup(index) {
  const [, , places] = state.graph.groups[index];
  if (state.group !== index) {
    Object.assign(state, { group: index, hits: [], tour: places.filter((place) => place.length), place: -1 });
    $("search").value = "";
  }
  tour(1);
  highlight();
  showGroups();
}

function setStep(step) {
  if (state.step === step) return;
  state.step = step;
  arrange();
  showTimeline();
}

/** From pass to pass; before the first and after the last all passes are shown at once. */
function walk(by) {
  const count = stepCount();
  if (!count) return;
  const next = state.step === null ? (by > 0 ? 0 : count - 1) : state.step + by;
  setStep(next < 0 || next >= count ? null : next);
  if (state.step === null) return;
  const first = state.graph.groups.find(([pass]) => (pass < 0 ? state.graph.passes.length : pass) === state.step);
  const place = first?.[2].find((ids) => ids.length);
  if (place) showPlace(place);
}

function stepCount() {
  const { passes, groups } = state.graph;
  return passes.length ? passes.length + groups.some(([pass]) => pass < 0) : 0;
}

function onlyChanges(on) {
  state.onlyChanges = on && state.graph.sides.length > 1;
  $("hide").firstElementChild.checked = state.onlyChanges;
  arrange();
  if (state.chosen && painter.arrangement.box[state.chosen.id]) showPlace([state.chosen.id]);
  else home();
}

function setSplit(on) {
  const whole = painter.showsAll();
  painter.split = on && state.graph.sides.length > 1;
  for (const button of $("mode").children) button.ariaPressed = String((button.dataset.mode === "split") === painter.split);
  if (whole) painter.fitTo(painter.arrangement.bounds);
  painter.request();
}

/** Collapse these scopes and open all others; what was in the middle stays in view. */
function collapse(scopes) {
  const { boxes } = painter.arrangement;
  const middle = boxes[Math.min(painter.arrangement.firstBelow(painter.camera.y), boxes.length - 1)]?.nodes[0];
  state.collapsed = new Set(scopes);
  arrange();
  home();
  if (painter.camera.zoom < 0.36 && middle) lookAt(painter.arrangement.box[middle.id], 0.8);
}

function toggleScope(id) {
  const scopes = new Set(state.collapsed);
  if (!scopes.delete(id)) scopes.add(id);
  state.collapsed = scopes;
  arrange();
  const first = firstInside(id);
  if (first && painter.arrangement.box[first.id]) lookAt(painter.arrangement.box[first.id], Math.max(0.6, painter.camera.zoom));
}

function firstInside(scope) {
  return state.graph.inside[scope][0] ?? state.graph.children[scope].map(firstInside).find(Boolean);
}

function showTimeline() {
  const { graph, step } = state;
  $("timeline").hidden = !stepCount();
  const rows = Array.from({ length: stepCount() }, (_, index) => {
    const pass = graph.passes[index];
    const counts = [0, 0, 0, 0];
    for (const node of graph.nodes) if (node.status && node.pass === index) counts[node.status]++;
    const text = pass ? `${index + 1}. ${pass.text}${pass.undone ? " (undone)" : ""}` : "no pass that is known";
    const row = element("button", { className: "row", dataset: { step: index }, onclick: () => { setStep(step === index ? null : index - 1); if (step !== index) walk(1); } },
      element("span", { className: "text" }, text), element("span", { className: "count" }, ...tally(counts)));
    row.ariaCurrent = String(step === index);
    return pass ? element("div", {}, row, measured(pass)) : row;
  });
  $("passes").replaceChildren(...rows);
}

function tally(counts) {
  return [REMOVED, ADDED, CHANGED].filter((status) => counts[status])
    .map((status) => element("span", { className: WORDS[status] }, `${MARKS[status]}${counts[status]} `));
}

/** What the report measured of a pass, where there is one. */
function measured(pass) {
  if (pass.seconds === undefined) return null;
  const drift = pass.drift ?? [];
  const moved = drift.length ? `, outputs moved by at most ${drift[0][1]}` : "";
  const title = drift.map(([name, most]) => `${name}: ${most}`).join("\n");
  return element("div", { className: "note", title }, `${(pass.seconds * 1e3).toPrecision(3)} ms${moved}`);
}

function showGroups() {
  const { graph } = state;
  $("changes").hidden = graph.sides.length < 2;
  const rows = [];
  let last = null;
  graph.groups.forEach(([pass, title, places], index) => {
    if (pass !== last) rows.push(element("div", { className: "pass" }, graph.passes[pass]?.text ?? (graph.passes.length ? "no pass that is known" : "Nodes")));
    last = pass;
    const drawn = places.filter((place) => place.length).length;
    const at = state.group === index ? `${state.place + 1} / ` : "";
    const row = element("button", { className: "row", dataset: { group: index }, disabled: !drawn, title: drawn ? "" : "Later passes took it away again", onclick: () => chooseGroup(index) },
      element("span", { className: "text" }, title), element("span", { className: "count" }, drawn ? `${at}${drawn} ×` : "–"));
    row.ariaCurrent = String(state.group === index);
    rows.push(row);
  });
  for (const [title, lines] of graph.facts) {
    rows.push(element("div", { className: "pass" }, title), ...lines.map((line) => element("div", { className: "note" }, line)));
  }
  $("groups").replaceChildren(...(rows.length ? rows : [element("div", { className: "note" }, "The two are the same.")]));
}

function showTree() {
  const { graph } = state;
  const counts = graph.scopes.map(() => [0, 0, 0, 0]);
  for (const node of graph.nodes) {
    for (let scope = node.scope; scope >= 0; scope = graph.scopes[scope][1]) counts[scope][Math.max(0, painter.arrangement.looks[node.id])]++;
  }
  const rows = [];
  const add = (scope, depth) => {
    for (const id of graph.children[scope].slice(0, SHOWN)) {
      const inner = graph.children[id].length > 0;
      const open = opened.has(id);
      const caret = element("button", { className: "row", ariaLabel: "Inner scopes", onclick: () => { if (!opened.delete(id)) opened.add(id); showTree(); } }, inner ? (open ? "▾" : "▸") : "·");
      [caret.style.width, caret.style.flex] = ["20px", "none"];
      const total = counts[id].reduce((sum, one) => sum + one, 0);
      const row = element("button", { className: "row", dataset: { scope: id }, title: "Collapse or expand", onclick: () => toggleScope(id) },
        element("span", { className: "text" }, `${graph.scopes[id][0]}${state.collapsed.has(id) ? " ⊟" : ""}`), element("span", { className: "count" }, ...tally(counts[id]), String(total)));
      const line = element("div", {}, caret, row);
      Object.assign(line.style, { display: "flex", marginLeft: `${14 * depth}px` });
      rows.push(line);
      if (open) add(id, depth + 1);
    }
    if (graph.children[scope].length > SHOWN) rows.push(element("div", { className: "note" }, `and ${graph.children[scope].length - SHOWN} more`));
  };
  add(0, 0);
  $("scopes").hidden = !rows.length;
  $("tree").replaceChildren(...rows);
}

/** The scopes to collapse for an overview: the outermost, but for those that hold much of the graph, whose inner ones do. */
function outerScopes() {
  const { graph } = state;
  const sizes = graph.inside.map((nodes) => nodes.length);
  for (let id = sizes.length - 1; id > 0; id--) sizes[graph.scopes[id][1]] += sizes[id];
  const found = new Set();
  const open = (id) => {
    if (id && (sizes[id] < 0.6 * sizes[0] || !graph.children[id].length)) found.add(id);
    else graph.children[id].forEach(open);
  };
  open(0);
  return found;
}

function listen() {
  const canvas = $("graph");
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, moved: 0 };
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) { canvas.style.cursor = painter.boxAt(event.offsetX, event.offsetY) ? "pointer" : ""; return; }
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
    drag = { x: event.offsetX, y: event.offsetY, moved: drag.moved + Math.abs(dx) + Math.abs(dy) };
    painter.move(-dx / painter.camera.zoom, -dy / painter.camera.zoom);
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = drag && drag.moved < 5;
    drag = null;
    if (!click) return;
    const box = painter.boxAt(event.offsetX, event.offsetY);
    if (box && !box.node) showScope(box);
    else showDetails(box?.node ?? null);
  });
  canvas.addEventListener("dblclick", (event) => {
    const box = painter.boxAt(event.offsetX, event.offsetY);
    const scope = box?.scope || box?.node?.scope;
    if (scope) toggleScope(scope);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    painter.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
  }, { passive: false });
  const glide = (event) => {
    if (!event.buttons) return;
    const scale = painter.overviewScale();
    const [x, y] = [(event.offsetX - scale.left) / scale.x, (event.offsetY - scale.top) / scale.y];
    painter.move(x - painter.camera.x, y - painter.camera.y);
  };
  for (const kind of ["pointerdown", "pointermove"]) $("minimap").addEventListener(kind, glide);
  $("search").addEventListener("input", () => search($("search").value));
  $("hide").firstElementChild.addEventListener("change", (event) => onlyChanges(event.target.checked));
  for (const button of $("mode").children) button.onclick = () => setSplit(button.dataset.mode === "split");
  $("collapse").onclick = () => collapse(outerScopes());
  $("expand").onclick = () => collapse(new Set());
  $("help-button").onclick = () => $("help").showModal();
  $("help").onclick = () => $("help").close();
  $("scene").onchange = () => openScene($("scene").selectedIndex);
  addEventListener("resize", () => painter.resize());
  addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const field = $("search");
  if (event.target === field) {
    if (event.key === "Enter") tour(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { field.value = ""; search(""); $("graph").focus(); }
    return;
  }
  const press = KEYS[event.key];
  if (!press || event.target.tagName === "SELECT") return;
  event.preventDefault();
  press();
}

const zoomBy = (factor) => painter.zoomAt(factor, painter.canvas.clientWidth / 2, painter.canvas.clientHeight / 2);
const moveBy = (dx, dy) => painter.move((dx * 80) / painter.camera.zoom, (dy * 80) / painter.camera.zoom);
const KEYS = {
  "/": () => { $("search").focus(); $("search").select(); },
  n: () => tour(1), p: () => tour(-1), "]": () => walk(1), "[": () => walk(-1),
  "+": () => zoomBy(1.3), "=": () => zoomBy(1.3), "-": () => zoomBy(1 / 1.3), 0: () => painter.fitTo(painter.arrangement.bounds),
  ArrowLeft: () => moveBy(-1, 0), ArrowRight: () => moveBy(1, 0), ArrowUp: () => moveBy(0, -1), ArrowDown: () => moveBy(0, 1),
  h: () => onlyChanges(!state.onlyChanges), s: () => setSplit(!painter.split),
  c: () => collapse(outerScopes()), e: () => collapse(new Set()),
  Escape: () => { if ($("details").hidden) { $("search").value = ""; search(""); } else showDetails(null); },
  "?": () => $("help").showModal(),
};

function start() {
  $("legend").replaceChildren(...[REMOVED, ADDED, CHANGED].map((status) => element("span", { className: "key" }, mark(status), WORDS[status])));
  if (sources.length > 1) {
    const names = sources.map((source, index) => (index ? `${index}. ${source.dataset.name}` : "All steps"));
    $("scene").replaceChildren(...names.map((name) => element("option", {}, name)));
    $("scene").hidden = false;
  }
  listen();
  painter.resize();
  openScene(0);
  setSplit(false);
  painter.paint();
  document.documentElement.dataset.opened = String(Math.round(performance.now()));
}

start();
