"use strict";
// How an arrangement is drawn: what is in view, and of that as much as can be read at this zoom.

const MARKS = ["", "−", "+", "~"];
const WORDS = ["unchanged", "removed", "added", "changed"];
const ZOOM = { least: 0.0005, most: 3, text: 0.36, name: 0.8, curve: 0.22, box: 0.12 };

class Painter {
  constructor(canvas, minimap) {
    Object.assign(this, { canvas, minimap, camera: { x: 0, y: 0, zoom: 1 }, split: false, cut: new Map() });
    this.context = canvas.getContext("2d");
    this.overview = document.createElement("canvas");
    this.readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.readColours(); this.show(this.arrangement); });
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(
      ["paper", "panel", "ink", "faint", "edge", "box", "box-line", "scope", "focus", "hit", "end", "line"].map((name) => [name, colour(name)]),
    );
    this.fills = [colour("box"), colour("removed-box"), colour("added-box"), colour("changed-box")];
    this.lines = [colour("box-line"), colour("removed"), colour("added"), colour("changed")];
  }

  show(arrangement) {
    this.arrangement = arrangement;
    this.paintOverview();
    this.request();
  }

  request() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.minimap]) {
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
    }
    if (this.arrangement) this.show(this.arrangement);
  }

  /** The parts of the canvas: one, or the first model and the second. */
  panels() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!this.split) return [{ left: 0, width, height, side: 3 }];
    return [{ left: 0, width: width / 2, height, side: 1 }, { left: width / 2, width: width / 2, height, side: 2 }];
  }

  view(panel) {
    const { x, y, zoom } = this.camera;
    const [w, h] = [panel.width / 2 / zoom, panel.height / 2 / zoom];
    return { left: x - w, right: x + w, top: y - h, bottom: y + h };
  }

  /** Where a point of the screen lies in the graph, and in which panel. */
  locate(px, py) {
    const panel = this.panels().find(({ left, width }) => px >= left && px < left + width) ?? this.panels()[0];
    const { x, y, zoom } = this.camera;
    return { x: (px - panel.left - panel.width / 2) / zoom + x, y: (py - panel.height / 2) / zoom + y, side: panel.side };
  }

  boxAt(px, py) {
    const { x, y, side } = this.locate(px, py);
    const slack = Math.max(0, 4 / this.camera.zoom - 4);
    const within = (box) => Math.abs(box.x - x) <= box.width / 2 + slack && Math.abs(box.y - y) <= box.height / 2 + slack;
    const found = this.arrangement.boxesWithin(y - slack, y + slack).filter((box) => seen(box, side) && within(box));
    return found.sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y))[0] ?? null;
  }

  paint() {
    const { context, canvas } = this;
    const ratio = canvas.width / (canvas.clientWidth || 1);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    for (const panel of this.panels()) this.paintPanel(panel, ratio);
    this.paintMinimap();
  }

  paintPanel(panel, ratio) {
    const { context, camera } = this;
    context.save();
    context.beginPath();
    context.rect(panel.left, 0, panel.width, panel.height);
    context.clip();
    context.translate(panel.left + panel.width / 2, panel.height / 2);
    context.scale(camera.zoom, camera.zoom);
    context.translate(-camera.x, -camera.y);
    const view = this.view(panel);
    this.paintEdges(panel.side, view);
    const boxes = this.arrangement.boxesWithin(view.top, view.bottom)
      .filter((box) => seen(box, panel.side) && box.x > view.left - BOX.column && box.x < view.right + BOX.column);
    if (camera.zoom < ZOOM.box) this.paintFar(boxes);
    else for (const box of boxes) this.paintBox(box);
    context.restore();
    if (panel.side !== 3) this.paintSideName(panel);
  }

  paintSideName(panel) {
    const { context, colours } = this;
    const name = this.arrangement.graph.sides[panel.side - 1];
    context.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillStyle = colours.panel;
    context.fillRect(panel.left, 0, Math.min(panel.width, context.measureText(name).width + 20), 24);
    context.fillStyle = colours.ink;
    context.fillText(name, panel.left + 10, 12);
    context.fillStyle = colours.line;
    if (panel.left) context.fillRect(panel.left, 0, 1, panel.height);
  }

  paintEdges(side, view) {
    const { context, camera, arrangement, chosen } = this;
    const twoSided = arrangement.graph.sides.length > 1;
    const styles = [1, 2, 3].map(() => new Path2D());
    const strong = new Path2D();
    const rare = chosen ? arrangement.rare.get(chosen) ?? [] : [];
    for (const edge of [...arrangement.edgesWithin(view.top, view.bottom), ...rare]) {
      if (!(edge.mask & side) || !seen(edge.a, side) || !seen(edge.b, side)) continue;
      if (Math.abs(edge.a.y - edge.b.y) * camera.zoom < 2 && edge.a !== chosen && edge.b !== chosen) continue;
      const kind = !twoSided || this.step !== null ? 3 : edge.mask;
      trace(edge.a === chosen || edge.b === chosen ? strong : styles[kind - 1], edge, camera.zoom);
    }
    const thin = Math.max(1.1, 0.8 / camera.zoom);
    const looks = [[this.lines[REMOVED], [5, 4]], [this.lines[ADDED], []], [this.colours.edge, []]];
    for (const i of [2, 0, 1]) {
      [context.strokeStyle, context.lineWidth] = [looks[i][0], i === 2 ? thin : thin * 1.4];
      context.setLineDash(camera.zoom > ZOOM.curve ? looks[i][1] : []);
      context.stroke(styles[i]);
    }
    context.setLineDash([]);
    [context.strokeStyle, context.lineWidth] = [this.colours.focus, thin * 2];
    context.stroke(strong);
  }

  /** From afar: a dash for a node, and for what changed a shape of its own: removed ▽, added △, changed ◇. */
  paintFar(boxes) {
    const { context, camera, hits } = this;
    const least = 1 / camera.zoom;
    const paths = [SAME, REMOVED, ADDED, CHANGED].map(() => new Path2D());
    const found = new Path2D();
    const taken = new Set();
    for (const box of boxes) {
      const hit = hits && box.nodes.some((node) => hits.has(node.id));
      const spot = ((Math.round(box.x * camera.zoom) & 8191) * 8192 + (Math.round(box.y * camera.zoom) & 8191)) * 8 + box.look * 2 + (hit ? 1 : 0);
      if (taken.has(spot)) continue;  // one in each pixel is enough
      taken.add(spot);
      const w = Math.max(box.width, 2 * least) / 2;
      const h = Math.max(box.height, least) / 2;
      paths[SAME].rect(box.x - w, box.y - h, 2 * w, 2 * h);
      const r = Math.max(box.height * 0.8, 4.5 * least);
      if (box.look === REMOVED) polygon(paths[REMOVED], [box.x - r, box.y - r * 0.8, box.x + r, box.y - r * 0.8, box.x, box.y + r]);
      if (box.look === ADDED) polygon(paths[ADDED], [box.x - r, box.y + r * 0.8, box.x + r, box.y + r * 0.8, box.x, box.y - r]);
      if (box.look === CHANGED) polygon(paths[CHANGED], [box.x - r, box.y, box.x, box.y - r, box.x + r, box.y, box.x, box.y + r]);
      if (hit) found.rect(box.x - w, box.y - 3 * least, 2 * w, 6 * least);
    }
    context.fillStyle = this.lines[SAME];
    context.fill(paths[SAME]);
    for (const status of [CHANGED, REMOVED, ADDED]) {
      context.fillStyle = this.lines[status];
      context.fill(paths[status]);
    }
    context.fillStyle = this.colours.hit;
    context.fill(found);
    if (this.chosen) this.ring(this.chosen, 8 * least, this.colours.focus, 2 * least);
  }

  paintBox(box) {
    const { context, camera, colours, hits } = this;
    const pill = box.width === PILL.width;
    if (hits && box.nodes.some((node) => hits.has(node.id))) {
      context.fillStyle = colours.hit;
      context.fill(outline(box, 6));
    }
    const shape = outline(box, 0);
    const end = box.node && (box.node.kind === INPUT || box.node.kind === OUTPUT);
    context.fillStyle = box.look ? this.fills[box.look] : box.node ? (end ? colours.end : this.fills[SAME]) : colours.scope;
    context.fill(shape);
    context.strokeStyle = this.lines[box.look];
    context.lineWidth = box.look ? 2 : 1;
    context.setLineDash(box.look === REMOVED ? [5, 3] : []);
    context.stroke(shape);
    context.setLineDash([]);
    if (box.look === CHANGED && !pill) { context.lineWidth = 1; context.stroke(outline(box, -3.5)); }
    if (box === this.chosen) this.ring(box, 5, colours.focus, 2.5);
    else if (this.marked?.has(box)) this.ring(box, 4, colours.faint, 1.5);
    if (camera.zoom >= ZOOM.text) this.write(box, pill);
    else if (box.look && !pill) this.text(MARKS[box.look], box.x, box.y, "700 30px ui-monospace, 'DejaVu Sans Mono', monospace", this.lines[box.look]);
  }

  ring(box, grow, colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.stroke(outline(box, grow));
  }

  write(box, pill) {
    const { colours, camera } = this;
    const font = (size, weight = "") => `${weight} ${size}px system-ui, 'DejaVu Sans', sans-serif`;
    if (pill) {
      if (camera.zoom >= ZOOM.name) this.text(MARKS[box.look] || "c", box.x, box.y + 0.5, font(9), box.look ? this.lines[box.look] : colours.faint);
      return;
    }
    const graph = this.arrangement.graph;
    const room = box.width - (box.look ? 36 : 16);
    const middle = box.x + (box.look ? 8 : 0);
    if (box.look) this.text(MARKS[box.look], box.x - box.width / 2 + 13, box.y + 0.5, "700 17px ui-monospace, 'DejaVu Sans Mono', monospace", this.lines[box.look]);
    const { above, below } = box.node ? nodeTexts(graph, box.node) : scopeTexts(graph, box);
    const both = camera.zoom >= ZOOM.name && below;
    const large = font(Math.round(Math.max(12, Math.min(18, 8.5 / camera.zoom))), "600");  // readable from further away
    this.text(this.fit(above, large, room), middle, both ? box.y - 6 : box.y + 0.5, large, colours.ink);
    if (both) this.text(this.fit(below, font(9.5), room, box.node !== null), middle, box.y + 8.5, font(9.5), colours.faint);
  }

  text(text, x, y, font, colour) {
    const { context } = this;
    context.font = font;
    context.fillStyle = colour;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(text, x, y);
  }

  /** As much of a text as there is room for; of a name the end, which tells more. */
  fit(text, font, room, end = false) {
    const key = `${font}|${room}|${text}`;
    if (this.cut.has(key)) return this.cut.get(key);
    this.context.font = font;
    let shown = text;
    if (this.context.measureText(text).width > room) {
      let [low, high] = [0, text.length];
      while (low < high) {
        const count = (low + high + 1) >> 1;
        const tried = end ? `…${text.slice(text.length - count)}` : `${text.slice(0, count)}…`;
        if (this.context.measureText(tried).width <= room) { low = count; shown = tried; } else high = count - 1;
      }
    }
    this.cut.set(key, shown);
    return shown;
  }

  /** The scales of the overview: each axis as large as fits, but the two not too different. */
  overviewScale() {
    const { bounds } = this.arrangement;
    const [width, height] = [this.minimap.clientWidth - 12, this.minimap.clientHeight - 12];
    const fits = [width / (bounds.right - bounds.left), height / (bounds.bottom - bounds.top)];
    const [x, y] = [Math.min(fits[0], 4 * fits[1]), Math.min(fits[1], 4 * fits[0])];
    return { x, y, left: 6 + (width - (bounds.right - bounds.left) * x) / 2 - bounds.left * x, top: 6 - bounds.top * y };
  }

  paintOverview() {
    const { minimap, overview } = this;
    const ratio = minimap.width / (minimap.clientWidth || 1);
    [overview.width, overview.height] = [minimap.width, minimap.height];
    const context = overview.getContext("2d");
    context.scale(ratio, ratio);
    const scale = this.overviewScale();
    for (const status of [SAME, CHANGED, REMOVED, ADDED]) {
      context.fillStyle = this.lines[status];
      context.globalAlpha = status ? 1 : 0.45;
      context.beginPath();
      for (const box of this.arrangement.boxes) {
        if (box.look !== status) continue;
        const w = Math.max(status ? 4 : 1.5, box.width * scale.x * 0.9);
        const h = Math.max(status ? 2 : 0.8, box.height * scale.y);
        context.rect(box.x * scale.x + scale.left - w / 2, box.y * scale.y + scale.top - h / 2, w, h);
      }
      context.fill();
    }
  }

  paintMinimap() {
    const context = this.minimap.getContext("2d");
    const ratio = this.minimap.width / (this.minimap.clientWidth || 1);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.minimap.width, this.minimap.height);
    context.drawImage(this.overview, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = this.overviewScale();
    const view = this.view(this.panels()[0]);
    const left = Math.max(1.5, view.left * scale.x + scale.left);
    const top = Math.max(1.5, view.top * scale.y + scale.top);
    const right = Math.min(this.minimap.clientWidth - 1.5, view.right * scale.x + scale.left);
    const bottom = Math.min(this.minimap.clientHeight - 1.5, view.bottom * scale.y + scale.top);
    context.strokeStyle = this.colours.focus;
    context.lineWidth = 1.5;
    context.strokeRect(left, top, Math.max(4, right - left), Math.max(4, bottom - top));
  }

  /** Show a rectangle of the graph, as large as fits. */
  fitTo({ left, right, top, bottom }, most = 1, least = ZOOM.least) {
    const panel = this.panels()[0];
    const zoom = Math.min(panel.width / (right - left + 40), panel.height / (bottom - top + 60));
    Object.assign(this.camera, { x: (left + right) / 2, y: (top + bottom) / 2, zoom: Math.max(least, Math.min(most, zoom)) });
    this.move(0, 0);
  }

  /** Whether no part of the graph is out of view. */
  showsAll() {
    const { bounds } = this.arrangement;
    const view = this.view(this.panels()[0]);
    return view.left <= bounds.left && view.right >= bounds.right && view.top <= bounds.top && view.bottom >= bounds.bottom;
  }

  /** Zoom by a factor, so that the point of the graph at (px, py) stays there. */
  zoomAt(factor, px, py) {
    const before = this.locate(px, py);
    this.camera.zoom = Math.max(ZOOM.least, Math.min(ZOOM.most, this.camera.zoom * factor));
    const after = this.locate(px, py);
    this.move(before.x - after.x, before.y - after.y);
  }

  /** Move by a distance in the graph; no further than its ends. */
  move(dx, dy) {
    const { bounds } = this.arrangement;
    const { camera } = this;
    const panel = this.panels()[0];
    const within = (at, low, high, half) => {
      const ends = [low + half, high - half].sort((a, b) => a - b);
      return Math.max(ends[0], Math.min(ends[1], at));
    };
    const margin = 40 / camera.zoom;
    camera.x = within(camera.x + dx, bounds.left - margin, bounds.right + margin, panel.width / 2 / camera.zoom);
    camera.y = within(camera.y + dy, bounds.top - margin, bounds.bottom + margin, panel.height / 2 / camera.zoom);
    this.request();
  }
}

/** Whether a box is in the first model (1), the second (2), or either (3). */
function seen(box, side) {
  if (side === 3) return true;
  const absent = side === 1 ? ADDED : REMOVED;
  return box.node ? box.node.status !== absent : box.nodes.some((node) => node.status !== absent);
}

function nodeTexts(graph, node) {
  const end = node.kind === INPUT || node.kind === OUTPUT;
  const type = end ? graph.values[node.after.outputs[0]].type : "";
  return end ? { above: graph.name(node), below: type } : { above: node.title.replace(/^.*\./, ""), below: graph.name(node) };
}

function scopeTexts(graph, box) {
  const counts = [REMOVED, ADDED, CHANGED].filter((status) => box.counts[status]).map((status) => ` ${MARKS[status]}${box.counts[status]}`);
  return { above: `▸ ${graph.scopes[box.scope][0]}`, below: `${box.nodes.length} nodes${counts.join("")}` };
}

/** The shape of a box: ends are round, what was removed has cut corners. */
function outline(box, grow) {
  const path = new Path2D();
  const [w, h] = [box.width + 2 * grow, box.height + 2 * grow];
  const [x, y] = [box.x - w / 2, box.y - h / 2];
  if (box.look === REMOVED) {
    const c = Math.min(9, h / 3);
    polygon(path, [x + c, y, x + w - c, y, x + w, y + c, x + w, y + h - c, x + w - c, y + h, x + c, y + h, x, y + h - c, x, y + c]);
  } else if (box.node) path.roundRect(x, y, w, h, box.node.kind === NODE ? 5 : h / 2);
  else path.rect(x, y, w, h);
  return path;
}

function polygon(path, points) {
  path.moveTo(points[0], points[1]);
  for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
  path.closePath();
}

/** An edge as a curve through its bends; from afar as straight lines. */
function trace(path, { a, b, bends }, zoom) {
  let [x, y] = [a.x, a.y + a.height / 2];
  path.moveTo(x, y);
  for (let i = 0; i <= bends.length; i += 2) {
    const last = i === bends.length;
    const [nx, ny] = last ? [b.x, b.y - b.height / 2] : [bends[i], bends[i + 1]];
    if (zoom < ZOOM.curve || nx === x) path.lineTo(nx, ny);
    else {
      const reach = Math.min(60, Math.max(14, Math.abs(ny - y) / 2));
      path.bezierCurveTo(x, y + reach, nx, ny - reach, nx, ny);
    }
    [x, y] = [nx, ny];
  }
  if (zoom < ZOOM.text) return;
  path.moveTo(x - 3.5, y - 6);
  path.lineTo(x, y);
  path.lineTo(x + 3.5, y - 6);
}
