"use strict";
// What the page tells of one node. Text goes in as text, never as markup.

/** An element with properties and children; a text is a child like any other. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const { dataset = {}, ...rest } = properties;
  Object.assign(made, rest);
  Object.assign(made.dataset, dataset);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function mark(status) {
  return element("span", { className: `mark ${WORDS[status]}`, title: WORDS[status] }, MARKS[status]);
}

class Details {
  constructor(panel, jump) {
    Object.assign(this, { panel, jump });
  }

  show(graph, node, close) {
    this.graph = graph;
    const end = node.kind === INPUT || node.kind === OUTPUT;
    const heading = element("h3", {}, ...(node.status ? [mark(node.status), " "] : []), node.title);
    const parts = [
      element("button", { className: "close", title: "Close (Esc)", onclick: close, ariaLabel: "Close" }, "×"),
      heading,
      element("div", { className: "name" }, graph.name(node)),
      element("div", { className: "name" }, graph.scopeName(node.scope)),
      ...this.fate(node),
    ];
    if (node.status === CHANGED || node.before !== node.after) {
      parts.push(...this.both(node));
    } else {
      parts.push(...this.attributes(node.after), ...this.values(node, node.after, "Inputs"), ...this.values(node, node.after, "Outputs"));
    }
    if (!end) parts.push(...this.history(node));
    this.panel.replaceChildren(...parts);
    this.panel.hidden = false;
  }

  /** What is in a collapsed scope. */
  showScope(graph, box, tally, expand, close) {
    const numbers = new Map();
    for (const { title } of box.nodes) numbers.set(title, (numbers.get(title) ?? 0) + 1);
    const rows = [...numbers].sort((a, b) => b[1] - a[1]).map(([title, count]) => this.row(String(count), [title]));
    this.panel.replaceChildren(
      element("button", { className: "close", title: "Close (Esc)", onclick: close, ariaLabel: "Close" }, "×"),
      element("h3", {}, graph.scopes[box.scope][0]),
      element("div", { className: "name" }, graph.scopeName(box.scope)),
      element("p", {}, `${box.nodes.length} nodes  `, ...tally),
      element("button", { onclick: expand }, "Expand"),
      this.title("Operators"),
      element("table", {}, ...rows),
    );
    this.panel.hidden = false;
  }

  /** What became of the node: its status, its pass, and its counterpart in the other model. */
  fate(node) {
    const { graph } = this;
    const parts = [];
    if (node.status) {
      const pass = graph.passes[node.pass];
      const by = pass ? ` by ${pass.text}${pass.undone ? ", undone" : ""}` : ", by no pass that is known";
      parts.push(element("p", { className: WORDS[node.status] }, `${WORDS[node.status]}${by}`));
    }
    if (node.status === SAME || node.status === CHANGED) {
      if (graph.sides.length > 1) {
        const [old, now] = [node.before.name, node.after.name];
        parts.push(this.title("Counterpart"), element("div", { className: "counterpart" }, old === now ? `${now}, in both` : `${old} before, ${now} after`));
      }
      return parts;
    }
    const wanted = node.status === REMOVED ? ADDED : REMOVED;
    const others = this.place(node).filter((one) => one.status === wanted);
    parts.push(this.title(node.status === REMOVED ? "Replaced by" : "Takes the place of"));
    parts.push(element("div", { className: "counterpart" }, ...(others.length ? others.map((one) => this.link(one)) : ["nothing that is left in the other model"])));
    return parts;
  }

  /** The nodes of the change that a node is part of. */
  place(node) {
    const places = node.group < 0 ? [] : this.graph.groups[node.group][2];
    return (places.find((place) => place.includes(node.id)) ?? []).map((id) => this.graph.nodes[id]);
  }

  both(node) {
    const { before, after } = node;
    const parts = [];
    const names = [...new Set([...before.attributes, ...after.attributes].map(([name]) => name))];
    const rows = names.map((name) => {
      const [old, now] = [before, after].map((side) => side.attributes.find(([one]) => one === name)?.[1] ?? "none");
      const cell = old === now ? now : `${old} → ${now}`;
      return this.row(this.graph.texts[name], [cell], old !== now);
    });
    if (rows.length) parts.push(this.title("Attributes"), element("table", {}, ...rows));
    for (const title of ["Inputs", "Outputs"]) {
      const part = title.toLowerCase();
      if (String(before[part]) === String(after[part])) parts.push(...this.values(node, after, title));
      else parts.push(...this.values(node, before, title, "before"), ...this.values(node, after, title, "after"));
    }
    return parts;
  }

  attributes(side) {
    if (!side.attributes.length) return [];
    const rows = side.attributes.map(([name, text, weight]) => {
      const figures = weight < 0 ? [] : this.figures(this.graph.weights[weight]);
      return this.row(this.graph.texts[name], [text, ...figures]);
    });
    return [this.title("Attributes"), element("table", {}, ...rows)];
  }

  /** Inputs or outputs: name, type, the node at the other end, and the statistics of a weight. */
  values(node, side, title, when = "") {
    const part = title.toLowerCase();
    const rows = side[part].map((id, place) => {
      const value = this.graph.values[id];
      const cell = [element("div", {}, value.name || "left out"), element("div", { className: "type" }, value.type)];
      for (const other of this.atOtherEnd(node, id, part)) cell.push(this.link(other));
      if (value.weight) cell.push(...this.figures(value.weight));
      return this.row(String(place), cell);
    });
    return rows.length ? [this.title(`${title} ${when}`), element("table", {}, ...rows)] : [];
  }

  /** The nodes that make an input, or that read an output. */
  atOtherEnd(node, id, part) {
    const { graph } = this;
    const { name } = graph.values[id];
    const [near, there] = part === "inputs" ? [graph.makers[node.id], "outputs"] : [graph.readers[node.id], "inputs"];
    const has = (one) => [one.before, one.after].some((side) => side[one.kind === OUTPUT ? "outputs" : there].some((v) => graph.values[v].name === name));
    return name ? [...new Set(near)].map((one) => graph.nodes[one]).filter(has).slice(0, 12) : [];
  }

  figures(weight) {
    if (weight.values !== undefined) return [element("div", { className: "type" }, weight.values)];
    if (weight.left_out) return [element("div", { className: "type" }, `no statistics: ${weight.left_out}`)];
    const share = ((100 * weight.zeros) / weight.elements).toPrecision(2);
    const lines = [`${weight.elements.toLocaleString("en")} elements, ${weight.zeros.toLocaleString("en")} zeros (${Number(share)} %)`];
    if (weight.not_finite) lines.push(`${weight.not_finite.toLocaleString("en")} infinite or NaN`);
    if (weight.mean !== undefined) lines.push(`mean ${weight.mean}, std ${weight.std ?? "beyond float64"}`);
    const parts = [element("div", { className: "type statistics" }, lines.join("; "))];
    if (weight.histogram) {
      const most = Math.max(...weight.histogram);
      const bars = weight.histogram.map((count) => {
        const bar = element("i", { title: count.toLocaleString("en") });
        bar.style.height = count ? `${Math.max(2, (100 * count) / most)}%` : "0";
        return bar;
      });
      parts.push(element("div", { className: "histogram" }, ...bars));
      parts.push(element("div", { className: "axis" }, element("span", {}, `min ${weight.min}`), element("span", {}, `max ${weight.max}`)));
    }
    return parts;
  }

  /** The changes in the model's record that name the node. */
  history(node) {
    const names = new Set([node.before.name, node.after.name]);
    const rows = [];
    this.graph.record.forEach(([pass, changes], step) => {
      for (const [rule, removed, added] of changes) {
        const [went, came] = [removed, added].map((list) => list.some((name) => names.has(name)));
        if (!went && !came) continue;
        const what = [rule, came ? `made from ${list(removed)}` : `became ${list(added)}`].filter(Boolean).join(": ");
        rows.push(this.row(String(step + 1), [element("div", {}, pass), element("div", { className: "type" }, what)]));
      }
    });
    if (!rows.length && node.after.madeBy) rows.push(this.row("", [`made by ${node.after.madeBy}`]));
    return rows.length ? [this.title("History"), element("table", {}, ...rows.slice(0, 50))] : [];
  }

  link(node) {
    const text = [node.status ? mark(node.status) : null, element("span", { className: "text" }, `${node.title}  ${this.graph.name(node)}`)];
    return element("button", { className: "row", onclick: () => this.jump(node) }, ...text);
  }

  title(text) { return element("h4", {}, text); }

  row(head, cells, differs = false) {
    return element("tr", {}, element("td", {}, head), element("td", { className: differs ? "differs" : "" }, ...cells));
  }
}

function list(names) {
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ") || "nothing";
}
