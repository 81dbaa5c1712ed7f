// The heatmap: rows are blocks, the last on top, columns are steps. `element`, `props`, `watch` come
// from Gradio. A cell that is pressed tells the page so; the page's cursor tells which step it is at.

const root = element.querySelector(".tch");
const map = root.querySelector(".tch-map");
const tip = root.querySelector(".tch-tip");
const legend = root.querySelector(".tch-legend");
const TOP = 4;
const BELOW = 36;
let at = { step: -1, row: -1 };
let box = null;

const make = (tag, attributes = {}, text = "") => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};
// On a phone the cells need the room.
const labels = (value, width) =>
  width < 480 ? value.blocks.map((name) => name.replace("-attention", "")) : value.blocks;
const nameOf = (row) => (row === "prediction" ? row : `block ${row}`);

function measure(value) {
  const width = map.clientWidth || 600;
  const left = 12 + Math.max(...labels(value, width).map((name) => name.length * 6.2));
  const rows = value.blocks.length;
  const high = rows <= 28 ? 22 : 14;
  return { left, rows, high, width, wide: (width - left - 4) / value.orders.length };
}

// One path for all cells of a value, so that long runs of many blocks stay light.
function cells(value, code) {
  const { left, rows, high, wide } = box;
  let path = "";
  value.orders.forEach((row, step) =>
    row.forEach((order, block) => {
      if (order !== code) return;
      const x = (left + step * wide).toFixed(1);
      path += `M${x} ${TOP + (rows - 1 - block) * high}h${(wide - 1).toFixed(1)}v${high - 1}h${(1 - wide).toFixed(1)}z`;
    })
  );
  return path;
}

// In each computed cell, so that colour is not all that tells it apart.
function dots(value) {
  const { left, rows, high, wide } = box;
  const computed = value.values.find(([, kind]) => kind === "computed")?.[0];
  let path = "";
  value.orders.forEach((row, step) =>
    row.forEach((order, block) => {
      if (order !== computed) return;
      const x = left + (step + 0.5) * wide - 0.5;
      path += `M${(x - 2).toFixed(1)} ${TOP + (rows - 0.5 - block) * high - 0.5}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0`;
    })
  );
  return path;
}

function draw() {
  const value = props.value;
  root.hidden = !value;
  if (!value) return;
  box = measure(value);
  const { left, rows, high, wide, width } = box;
  const tall = TOP + rows * high + BELOW;
  map.setAttribute("viewBox", `0 0 ${width} ${tall}`);
  map.style.height = `${tall}px`;
  map.setAttribute("aria-label", `What each of ${rows} rows did at each of ${value.orders.length} steps`);
  const nodes = value.values.map(([code, kind]) => make("path", { class: `tch-${kind}`, d: cells(value, code) }));
  nodes.push(make("path", { class: "tch-dots", d: dots(value) }));
  labels(value, width).forEach((name, row) => {
    const y = TOP + (rows - 0.5 - row) * high + 3;
    nodes.push(make("text", { x: left - 6, y, "text-anchor": "end" }, name));
  });
  // A label per step would not fit a phone; as many as do.
  const every = Math.max(1, Math.ceil(value.orders.length / ((width - left) / 46)));
  value.timesteps.forEach((t, step) => {
    if (step % every) return;
    const x = left + (step + 0.5) * wide;
    nodes.push(make("text", { x, y: TOP + rows * high + 13, "text-anchor": "middle" }, `${+(+t).toPrecision(4)}`));
  });
  const middle = left + (width - left) / 2;
  nodes.push(make("text", { x: middle, y: tall - 6, "text-anchor": "middle" }, "timestep, noisiest first"));
  if (value.framed)
    nodes.push(make("rect", { class: "tch-frame", x: left - 1, y: TOP - 1, width: width - left - 3, height: high + 1 }));
  nodes.push(make("rect", { class: "tch-cursor" }), make("rect", { class: "tch-cell" }));
  map.replaceChildren(...nodes);
  legend.replaceChildren(
    ...[...value.values, ...(value.framed ? [[0, "last", "makes the picture"]] : [])].map(([, kind, name]) => {
      const item = document.createElement("li");
      const swatch = document.createElement("i");
      swatch.className = `tch-${kind}`;
      item.append(swatch, name);
      return item;
    })
  );
  mark();
}

function put(rect, shape) {
  rect.style.display = shape ? "" : "none";
  if (shape) for (const [name, value] of Object.entries(shape)) rect.setAttribute(name, value);
}

// Where the cursor is, and the cell that was pressed in it.
function mark() {
  if (!box) return;
  const { left, rows, high, wide } = box;
  const inside = at.step >= 0 && at.step < props.value.orders.length;
  const column = { x: left + at.step * wide - 1, width: wide + 1 };
  put(map.querySelector(".tch-cursor"), inside && { ...column, y: 1, height: rows * high + 5 });
  const y = TOP + (rows - 1 - at.row) * high - 1;
  put(map.querySelector(".tch-cell"), inside && at.row >= 0 && { ...column, y, height: high + 1 });
}

function under(event) {
  const value = props.value;
  const area = map.getBoundingClientRect();
  const step = Math.floor((event.clientX - area.left - box.left) / box.wide);
  const row = box.rows - 1 - Math.floor((event.clientY - area.top - TOP) / box.high);
  const inside = step >= 0 && step < value.orders.length && row >= 0 && row < box.rows;
  return inside ? { step, row } : null;
}

map.addEventListener("pointermove", (event) => {
  const cell = under(event);
  const value = props.value;
  const name = cell && value.values.find(([code]) => code === value.orders[cell.step][cell.row])[2];
  tip.textContent = cell
    ? `${nameOf(value.blocks[cell.row])}, step ${cell.step + 1}, timestep ${value.timesteps[cell.step]}: ${name}`
    : "";
});
map.addEventListener("pointerleave", () => (tip.textContent = ""));
map.addEventListener("click", (event) => {
  const cell = under(event);
  if (cell) document.dispatchEvent(new CustomEvent("tc-step", { detail: cell }));
});
function follow(event) {
  if (!root.isConnected) return document.removeEventListener("tc-step", follow);
  at = { row: event.detail.row ?? -1, step: event.detail.step };
  if (props.value) mark();
}
document.addEventListener("tc-step", follow);
new ResizeObserver(() => map.clientWidth && map.clientWidth !== box?.width && draw()).observe(root);
watch("value", () => {
  // The cursor of a run may be told of before its heatmap comes, or after.
  if (!props.value) at = { step: -1, row: -1 };
  draw();
});
draw();
