"use strict";
// The graph as the page has it, and where its parts stand when scopes are collapsed or unchanged nodes are hidden.

const [SAME, REMOVED, ADDED, CHANGED] = [0, 1, 2, 3];
const HIDDEN = -1;
const [NODE, INPUT, OUTPUT, CONSTANT] = [0, 1, 2, 3];
const BOX = { width: 132, height: 34, column: 160, row: 66, scope: 170 };
const CROWD = { readers: 24, reach: 40 * BOX.row };  // longer edges of what more nodes read are drawn when asked for
const PILL = { width: 27, height: 12, step: 31 };

class Graph {
  constructor(data) {
    Object.assign(this, {
      sides: data.sides, groups: data.groups, passes: data.passes, facts: data.facts,
      record: data.record, scopes: data.scopes, weights: data.weights, texts: data.texts,
    });
    this.values = data.values.map(([folder, rest, type, weight]) => (
      { name: data.texts[folder] + rest, type: data.texts[type], weight: data.weights[weight] }
    ));
    const side = ([[folder, rest], attributes, inputs, outputs, madeBy]) => (
      { name: data.texts[folder] + rest, attributes, inputs, outputs, madeBy }
    );
    this.nodes = data.nodes.map(([title, kind, status, scope, group, x, y, before, after], id) => {
      const first = side(before);
      const second = after ? side(after.map((part, i) => part || before[i])) : first;
      return { id, title: data.texts[title], kind, status, scope, group, x, y, before: first, after: second, pass: this.passOf(group), reader: null };
    });
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

  name(node) { return node.after.name; }

  scopeName(id) {
    const names = [];
    for (; id > 0; id = this.scopes[id][1]) names.unshift(this.scopes[id][0]);
    return names.join(" / ");
  }

  /** All that the search looks at, in lower case; made when it is first asked for. */
  searchText(node) {
    if (node.search === undefined) {
      const types = node.after.outputs.map((v) => `${this.values[v].name} ${this.values[v].type}`);
      node.search = [node.title, node.before.name, node.after.name, ...types].join("\n").toLowerCase();
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
      const hidden = this.looks[node.id] === HIDDEN || (wanted && !wanted.has(node.id));
      const scope = hidden ? 0 : tops[(node.reader ?? node).scope];
      const key = scope > 0 ? `s${scope}` : node.id;
      if (!boxes.has(key)) boxes.set(key, newBox(scope > 0 ? null : node, scope, hidden));
      const box = boxes.get(key);
      box.nodes.push(node);
      return box;
    });
    for (const box of boxes.values()) this.describe(box);
    const anew = wanted || collapsed.size > 0;
    this.edges = this.join(anew);
    this.boxes = [...boxes.values()];
    if (anew) this.place();
    this.boxes = this.boxes.filter((box) => !box.hidden);
    this.edges = this.edges.filter(({ a, b }) => !a.hidden && !b.hidden);
    if (anew) this.route();
    this.thin();
    this.box = this.box.map((box) => (box.hidden ? null : box));
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
      if (a === b || (a.node?.reader && a.node.reader === b.node)) continue;
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

  /** The boxes, each after those that it reads from; where they are in a circle, the highest comes first. */
  order(boxes) {
    const byHeight = [...boxes].sort((a, b) => a.y - b.y || a.x - b.x);
    for (const box of boxes) Object.assign(box, { waits: 0, feeds: [], order: -1 });
    for (const { a, b } of this.edges) {
      if (!a.feeds || !b.feeds) continue;  // a constant at its reader
      a.feeds.push(b);
      b.waits++;
    }
    const ordered = [];
    const take = (box) => {
      if (box.order >= 0) return;
      box.order = ordered.length;
      ordered.push(box);
    };
    for (const box of byHeight) if (!box.waits) take(box);
    let next = 0;
    for (let done = 0; done < boxes.length; done++) {
      while (done === ordered.length) take(byHeight[next++]);
      for (const box of ordered[done].feeds) if (--box.waits === 0) take(box);
    }
    return ordered;
  }

  /** Give the boxes new layers, in the order in which they stood, and room beside each other; the hidden take none. */
  place() {
    const boxes = this.order(this.boxes.filter((box) => !box.node?.reader));
    for (const box of boxes) Object.assign(box, { rank: box.hidden ? -1 : 0, above: [], below: [] });
    for (const { a, b } of this.edges) {
      if (a.feeds && a.order < b.order) { b.above.push(a); a.below.push(b); }
    }
    for (const box of boxes) {
      for (const one of box.above) box.rank = Math.max(box.rank, one.rank + (box.hidden ? 0 : 1));
    }
    const shown = boxes.filter((box) => !box.hidden);
    for (const box of shown) {
      [box.above, box.below] = [box.above, box.below].map((near) => near.filter((one) => !one.hidden));
    }
    for (const box of shown) {
      if (!box.above.length && box.below.length) box.rank = Math.max(box.rank, Math.min(...box.below.map((one) => one.rank)) - 1);
    }
    const rows = [];
    for (const box of shown) (rows[box.rank] ??= []).push(box);
    const filled = rows.filter(Boolean);
    filled.forEach((row, index) => {
      for (const box of row) box.y = index * BOX.row;
      row.sort((a, b) => a.x - b.x || a.order - b.order).forEach((box, i) => { box.x = i * BOX.column; });
    });
    for (const row of filled) settle(row, (box) => box.above);
    for (const row of filled.toReversed()) settle(row, (box) => (box.above.length ? [] : box.below));
  }

  /** Lead edges that would run through boxes around them, on the left. */
  route() {
    const rows = new Map();
    for (const box of this.boxes) {
      if (!rows.has(box.y)) rows.set(box.y, []);
      rows.get(box.y).push(box);
    }
    const lanes = new Map();
    for (const edge of this.edges) {
      const { a, b } = edge;
      const height = b.y - a.y;
      if (a.node?.reader || height < 2 * BOX.row || height > 60 * BOX.row) continue;
      let [left, blocked] = [Infinity, false];
      for (let y = a.y + BOX.row; y < b.y; y += BOX.row) {
        const x = a.x + ((b.x - a.x) * (y - a.y)) / height;
        for (const box of rows.get(y) ?? []) {
          if (Math.abs(box.x - x) > 3 * BOX.column) continue;
          left = Math.min(left, box.x - box.width / 2);
          blocked ||= Math.abs(box.x - x) < box.width / 2 + 6;
        }
      }
      if (!blocked) continue;
      const lane = lanes.get(a) ?? 0;
      lanes.set(a, lane + 1);
      const x = left - 16 - 6 * (lane % 16);
      edge.bends = [x, a.y + BOX.row, x, b.y - BOX.row];
    }
  }

  /** Leave out edges that would hide the graph: of constants, and the long ones of what very many nodes read. */
  thin() {
    const readers = new Map();
    for (const { a } of this.edges) readers.set(a, (readers.get(a) ?? 0) + 1);
    const rare = ({ a, b }) => a.node?.reader || (readers.get(a) > CROWD.readers && Math.abs(b.y - a.y) > CROWD.reach);
    this.rare = new Map();
    for (const edge of this.edges.filter(rare)) {
      for (const box of [edge.a, edge.b]) {
        if (!this.rare.has(box)) this.rare.set(box, []);
        this.rare.get(box).push(edge);
      }
    }
    this.edges = this.edges.filter((edge) => !rare(edge));
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

/** Put each box of a row below the middle of what it is near to, and push those that overlap apart. */
function settle(row, near) {
  for (const box of row) {
    const ones = near(box);
    if (ones.length) box.x = ones.reduce((sum, one) => sum + one.x, 0) / ones.length;
  }
  row.sort((a, b) => a.x - b.x || a.order - b.order);
  const wished = row.reduce((sum, box) => sum + box.x, 0);
  for (let i = 1; i < row.length; i++) row[i].x = Math.max(row[i].x, row[i - 1].x + (row[i].width + row[i - 1].width) / 2 + 26);
  const shift = (row.reduce((sum, box) => sum + box.x, 0) - wished) / row.length;
  for (const box of row) box.x -= shift;
}

function newBox(node, scope, hidden) {
  return { node, scope, hidden, nodes: [], x: 0, y: 0, width: BOX.width, height: BOX.height, look: SAME, counts: null };
}
