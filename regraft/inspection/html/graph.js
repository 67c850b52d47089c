"use strict";
// The graph as the page has it, and where its parts stand when scopes are collapsed or unchanged nodes are hidden.

const [SAME, REMOVED, ADDED, CHANGED] = [0, 1, 2, 3];
const HIDDEN = -1;
const [NODE, INPUT, OUTPUT, CONSTANT] = [0, 1, 2, 3];
const BOX = { width: 132, height: 34, column: 160, row: 66, scope: 150 };
const PILL = { width: 27, height: 12, step: 31 };

class Graph {
  constructor(data) {
    Object.assign(this, {
      sides: data.sides, groups: data.groups, passes: data.passes, facts: data.facts,
      record: data.record, scopes: data.scopes, weights: data.weights, texts: data.texts,
    });
    this.values = data.values.map(([name, type, weight]) => ({ name, type: data.texts[type], weight: data.weights[weight] }));
    this.nodes = data.nodes.map(([title, kind, status, scope, group, x, y, before, after], id) => ({
      id, title: data.texts[title], kind, status, scope, group, x, y, before, after: after || before,
      pass: this.passOf(group), reader: null,
    }));
    this.edges = data.edges.map(([from, to, mask, bends]) => ({ from, to, mask, bends }));
    this.readers = this.nodes.map(() => []);
    this.makers = this.nodes.map(() => []);
    for (const { from, to } of this.edges) {
      this.readers[from].push(to);
      this.makers[to].push(from);
    }
    this.tuck();
    this.inside = this.scopes.map(() => []);
    for (const node of this.nodes) this.inside[node.scope].push(node);
    this.children = this.scopes.map(() => []);
    this.scopes.forEach(([, parent], id) => { if (parent >= 0) this.children[parent].push(id); });
  }

  /** The place of a group's pass in the order of steps; what no pass accounts for comes last. */
  passOf(group) {
    if (group < 0) return HIDDEN;
    const pass = this.groups[group][0];
    return pass < 0 ? this.passes.length : pass;
  }

  /** Put each Constant at the upper edge of the first node that reads it. */
  tuck() {
    const taken = new Map();
    for (const node of this.nodes) {
      const readers = node.kind === CONSTANT ? this.readers[node.id] : [];
      if (!readers.length) continue;
      node.reader = this.nodes[readers[0]];
      node.place = taken.get(node.reader) ?? 0;
      taken.set(node.reader, node.place + 1);
    }
  }

  name(node) { return node.after[0]; }

  scopeName(id) {
    const names = [];
    for (; id > 0; id = this.scopes[id][1]) names.unshift(this.scopes[id][0]);
    return names.join(" / ");
  }

  /** All that the search looks at, in lower case; made when it is first asked for. */
  searchText(node) {
    if (node.search === undefined) {
      const types = node.after[3].map((v) => `${this.values[v].name} ${this.values[v].type}`);
      node.search = [node.title, node.before[0], node.after[0], ...types].join("\n").toLowerCase();
    }
    return node.search;
  }

  /** How a node looks at a step of the passes: its status, SAME, or HIDDEN. */
  look(node, step) {
    if (step === null || node.status === SAME || node.pass === step) return node.status;
    if (node.status === CHANGED) return SAME;
    return (node.status === REMOVED) === node.pass > step ? SAME : HIDDEN;
  }
}

/** What is drawn of a graph: boxes, each a node or a collapsed scope, and the edges between them. */
class Arrangement {
  constructor(graph, { collapsed, onlyChanges, step }) {
    this.graph = graph;
    this.looks = graph.nodes.map((node) => graph.look(node, step));
    const tops = this.tops(collapsed);
    const wanted = onlyChanges ? this.nearChanges() : null;
    const boxes = new Map();
    this.box = graph.nodes.map((node) => {
      const scope = tops[(node.reader ?? node).scope];
      if (this.looks[node.id] === HIDDEN || (wanted && !wanted.has(node.id))) return null;
      const key = scope > 0 ? `s${scope}` : node.id;
      if (!boxes.has(key)) boxes.set(key, newBox(scope > 0 ? null : node, scope));
      const box = boxes.get(key);
      box.nodes.push(node);
      return box;
    });
    for (const box of boxes.values()) this.describe(box);
    this.edges = this.join(wanted || collapsed.size);
    this.boxes = [...boxes.values()];
    if (wanted || collapsed.size) this.place();
    for (const box of this.boxes) if (box.node?.reader) this.attach(box);
    this.boxes.sort((a, b) => a.y - b.y);
    this.measure();
  }

  /** The outermost collapsed scope around each scope, or 0. */
  tops(collapsed) {
    const tops = [0];
    this.graph.scopes.forEach(([, parent], id) => { if (id) tops[id] = tops[parent] || (collapsed.has(id) ? id : 0); });
    return tops;
  }

  nearChanges() {
    const { graph, looks } = this;
    const found = new Set();
    for (const node of graph.nodes) {
      if (looks[node.id] <= SAME) continue;
      for (const id of [node.id, ...graph.readers[node.id], ...graph.makers[node.id]]) found.add(id);
    }
    return found;
  }

  describe(box) {
    const first = box.nodes[0];
    if (box.node) {
      [box.x, box.y, box.look] = [first.x, first.y, this.looks[first.id]];
      if (first.kind === CONSTANT && first.reader) [box.width, box.height] = [PILL.width, PILL.height];
      return;
    }
    const laid = box.nodes.filter((node) => !node.reader);
    for (const axis of ["x", "y"]) box[axis] = laid.reduce((sum, node) => sum + node[axis], 0) / (laid.length || 1);
    box.counts = [0, 0, 0, 0];
    for (const node of box.nodes) box.counts[this.looks[node.id]]++;
    const kinds = [REMOVED, ADDED, CHANGED].filter((status) => box.counts[status]);
    box.look = kinds.length === 1 && !box.counts[SAME] ? kinds[0] : kinds.length ? CHANGED : SAME;
    [box.width, box.height] = [BOX.scope, BOX.height];
  }

  /** The edges between boxes; several between the same two become one. */
  join(merge) {
    const found = new Map();
    const edges = [];
    for (const { from, to, mask, bends } of this.graph.edges) {
      const [a, b] = [this.box[from], this.box[to]];
      if (!a || !b || a === b || (a.node?.reader && a.node.reader === b.node)) continue;
      let edge = null;
      if (merge) {
        if (!found.has(a)) found.set(a, new Map());
        edge = found.get(a).get(b);
      }
      if (edge) edge.mask |= mask;
      else {
        edge = { a, b, mask, bends: merge ? [] : bends };
        edges.push(edge);
        if (merge) found.get(a).set(b, edge);
      }
    }
    return edges;
  }

  /** Give the boxes new layers, in the order in which they stood, and room beside each other. */
  place() {
    const boxes = this.boxes.filter((box) => !box.node?.reader).sort((a, b) => a.y - b.y || a.x - b.x);
    boxes.forEach((box, order) => Object.assign(box, { order, rank: 0, above: [], below: [] }));
    for (const { a, b } of this.edges) {
      if (a.order < b.order) { b.above.push(a); a.below.push(b); }
    }
    for (const box of boxes) box.rank = box.above.reduce((rank, one) => Math.max(rank, one.rank + 1), 0);
    for (const box of boxes) {
      if (!box.above.length && box.below.length) box.rank = Math.max(0, Math.min(...box.below.map((one) => one.rank)) - 1);
    }
    const rows = [];
    for (const box of boxes) (rows[box.rank] ??= []).push(box);
    for (const row of rows) {
      if (!row) continue;
      for (const box of row) {
        box.y = box.rank * BOX.row;
        if (box.above.length) box.x = box.above.reduce((sum, one) => sum + one.x, 0) / box.above.length;
      }
      row.sort((a, b) => a.x - b.x || a.order - b.order);
      const wished = row.reduce((sum, box) => sum + box.x, 0);
      for (let i = 1; i < row.length; i++) row[i].x = Math.max(row[i].x, row[i - 1].x + BOX.column + 12);
      const shift = (row.reduce((sum, box) => sum + box.x, 0) - wished) / row.length;
      for (const box of row) box.x -= shift;
    }
  }

  attach(box) {
    const reader = this.box[box.node.reader.id];
    if (!reader) return;
    box.x = reader.x + BOX.width / 2 - PILL.width / 2 - PILL.step * box.node.place;
    box.y = reader.y - BOX.height / 2 - PILL.height / 2 - 1;
  }

  /** The bounds, and in which stretch of height each edge is, so that only those in view are drawn. */
  measure() {
    this.bounds = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    const { bounds } = this;
    for (const { x, y } of this.boxes) {
      bounds.left = Math.min(bounds.left, x - BOX.column / 2);
      bounds.right = Math.max(bounds.right, x + BOX.column / 2);
      bounds.top = Math.min(bounds.top, y - BOX.row / 2);
      bounds.bottom = Math.max(bounds.bottom, y + BOX.row / 2);
    }
    if (!this.boxes.length) Object.assign(bounds, { left: -100, right: 100, top: -100, bottom: 100 });
    this.stretch = 8 * BOX.row;
    this.near = new Map();
    this.long = [];
    for (const edge of this.edges) {
      const [first, last] = [edge.a.y, edge.b.y].sort((a, b) => a - b).map((y) => Math.floor(y / this.stretch));
      if (last - first > 3) { this.long.push(edge); continue; }
      for (let i = first; i <= last; i++) {
        if (!this.near.has(i)) this.near.set(i, []);
        this.near.get(i).push(edge);
      }
    }
  }

  edgesWithin(top, bottom) {
    const found = new Set(this.long.filter(({ a, b }) => Math.min(a.y, b.y) <= bottom && Math.max(a.y, b.y) >= top));
    for (let i = Math.floor(top / this.stretch); i <= Math.floor(bottom / this.stretch); i++) {
      for (const edge of this.near.get(i) ?? []) found.add(edge);
    }
    return found;
  }

  boxesWithin(top, bottom) {
    return this.boxes.slice(this.firstBelow(top - BOX.row), this.firstBelow(bottom + BOX.row));
  }

  firstBelow(y) {
    let [low, high] = [0, this.boxes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.boxes[middle].y < y) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function newBox(node, scope) {
  return { node, scope, nodes: [], x: 0, y: 0, width: BOX.width, height: BOX.height, look: SAME, counts: null };
}
