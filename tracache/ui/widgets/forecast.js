// How a curve is foretold from its computed points. `element`, `props` come from Gradio.

const root = element.querySelector(".tcp");
const plot = root.querySelector(".tcp-plot");
const handles = root.querySelector(".tcp-handles");
const strip = root.querySelector(".tcp-strip");
const count = root.querySelector(".tcp-count");
const chooser = root.querySelector(".tcp-curve");
const ways = root.querySelector(".tcp-ways");
const { curves, ways: WAYS, computed: START } = props.value;
let values = [];
let known = [];
let way = WAYS[1];

// ---- the arithmetic ---------------------------------------------------------------------------

// The polynomial through some points, in Newton's form as in the library: the newest point first.
function polynomial(points, at) {
  const xs = points.map(([x]) => x);
  let differences = points.map(([, y]) => y);
  let sum = differences[0];
  let factor = 1;
  for (let n = 1; n < points.length; n += 1) {
    differences = differences.slice(0, -1).map((d, i) => (d - differences[i + 1]) / (xs[i] - xs[i + n]));
    factor *= at - xs[n - 1];
    sum += differences[0] * factor;
  }
  return sum;
}

const newest = (steps, many) => steps.slice(-many).reverse().map((s) => [s, values[s]]);

// What stands at step `at` as long as nothing after the steps `before` it is known.
const forecast = (before, at, order) => polynomial(newest(before, order + 1), at);

// Once `far`, the next computed step, is known: through both ends and the one before.
const lookBack = (before, far, at) => polynomial([[far, values[far]], ...newest(before, 2)], at);

function fill([id, , order]) {
  return values.map((value, at) => {
    if (known.includes(at)) return value;
    const before = known.filter((s) => s < at);
    const far = known.find((s) => s > at);
    return id === "back" && far !== undefined ? lookBack(before, far, at) : forecast(before, at, order);
  });
}

function errorOf(filled) {
  const skipped = filled.map((y, s) => [y, s]).filter(([, s]) => !known.includes(s));
  const sum = skipped.reduce((total, [y, s]) => total + Math.abs(y - values[s]), 0);
  return sum / Math.max(1, skipped.length) / (Math.max(...values) - Math.min(...values));
}

const evenly = (many) =>
  Array.from({ length: many }, (_, i) => Math.round((i * (values.length - 1)) / (many - 1)));

// ---- the picture ------------------------------------------------------------------------------

const make = (tag, attributes = {}, text = "") => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};

let place = null;

function measure() {
  const width = plot.clientWidth || 600;
  const height = plot.clientHeight || 260;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const spare = 0.22 * (high - low);
  const wide = width / values.length;
  const y = (v) => 8 + ((high + spare - v) / (high - low + 2 * spare)) * (height - 16);
  // Under the middle of the strip's cell of that step.
  return { width, height, x: (s) => (s + 0.5) * wide, y, step: (px) => Math.floor(px / wide) };
}

const line = (points) => points.map(([s, v], i) => `${i ? "L" : "M"}${place.x(s).toFixed(1)} ${place.y(v).toFixed(1)}`).join("");

// The pieces between computed steps: what was foretold, up to the next one, where it jumps.
function pieces(order, extra = "") {
  const nodes = [];
  known.forEach((from, i) => {
    // Through the points there are: the first piece can only be reuse.
    const colour = `tch-order-${Math.min(order, i)}`;
    const before = known.slice(0, i + 1);
    const to = known[i + 1] ?? values.length - 1;
    // Between neighbours nothing is skipped, nor after the last step.
    if (to - from < (known[i + 1] === undefined ? 1 : 2)) return;
    const piece = [];
    for (let s = from; s <= to + 1e-9; s += 0.25) piece.push([s, forecast(before, s, order)]);
    nodes.push(make("path", { class: `tcp-piece ${colour} ${extra}`, d: line(piece) }));
    for (let s = from + 1; s < to + (known[i + 1] === undefined); s += 1)
      nodes.push(make("circle", { class: colour, r: extra ? 0 : 2.5, cx: place.x(s), cy: place.y(forecast(before, s, order)) }));
    if (known[i + 1] !== undefined)
      nodes.push(make("path", { class: `tcp-jump ${colour}`, d: line([piece.at(-1), [to, values[to]]]) }));
  });
  return nodes;
}

function backPieces() {
  return known.slice(1).map((far, i) => {
    const piece = [];
    for (let s = known[i]; s <= far + 1e-9; s += 0.25) piece.push([s, lookBack(known.slice(0, i + 1), far, s)]);
    return make("path", { class: "tcp-piece tcp-back", d: line(piece) });
  });
}

function draw() {
  place = measure();
  plot.setAttribute("viewBox", `0 0 ${place.width} ${place.height}`);
  const [id, , order] = way;
  plot.replaceChildren(
    make("path", { class: "tcp-true", d: line(values.map((v, s) => [s, v])) }),
    ...(id === "back" ? pieces(order, "tcp-before") : pieces(order)),
    ...(id === "back" ? backPieces() : []),
    make("text", { x: 4, y: place.height - 6 }, "noise"),
    make("text", { x: place.width - 4, y: place.height - 6, "text-anchor": "end" }, "picture")
  );
  strip.replaceChildren(
    ...values.map((_, s) => {
      const cell = document.createElement("i");
      cell.className = `tc-cell ${known.includes(s) ? "tc-full" : "tc-skip"}`;
      return cell;
    })
  );
  drawHandles();
  drawErrors();
}

// Kept as they are while they move, so that neither the pointer nor the focus is lost.
function drawHandles() {
  while (handles.children.length > known.length) handles.lastChild.remove();
  while (handles.children.length < known.length) handles.append(newHandle());
  known.forEach((s, i) => {
    const handle = handles.children[i];
    handle.style.left = `${place.x(s)}px`;
    handle.style.top = `${place.y(values[s])}px`;
    handle.setAttribute("aria-label", `Computed step ${i + 1} of ${known.length}`);
    handle.setAttribute("aria-valuemin", i ? known[i - 1] + 2 : 1);
    handle.setAttribute("aria-valuemax", i ? (known[i + 1] ?? values.length) : 1);
    handle.setAttribute("aria-valuenow", s + 1);
    handle.setAttribute("aria-valuetext", i ? `step ${s + 1} of ${values.length}` : "step 1, always computed");
    handle.setAttribute("aria-disabled", i === 0);
  });
}

function drawErrors() {
  const errors = WAYS.map((one) => errorOf(fill(one)));
  // One scale for all numbers of computed steps, so that fewer look worse.
  const most = Math.max(0.12, ...errors.slice(0, 2));
  WAYS.forEach(([id], i) => {
    const label = ways.querySelector(`[data-way="${id}"]`);
    label.dataset.error = errors[i];
    label.querySelector("i").style.width = `${Math.min(100, (100 * errors[i]) / most)}%`;
    label.querySelector("output").textContent = `${(100 * errors[i]).toFixed(1)} %`;
  });
  count.value = known.length;
  root.querySelector(".tcp-many output").textContent = `${known.length} of ${values.length}`;
  const [now, back] = [errors[WAYS.indexOf(way)], errors.at(-1)];
  const work = `${known.length} of ${values.length} steps computed, ${(values.length / known.length).toFixed(1)}× less work`;
  const off = `${(100 * now).toFixed(1)} % off`;
  root.querySelector(".tcp-said").textContent =
    way[0] === "back"
      ? `${work}. TraCache is ${off}, reuse ${(100 * errors[0]).toFixed(1)} %.`
      : `${work}. ${way[1]} is ${off}; looking back leaves ${(100 * back).toFixed(1)} %.`;
}

// ---- hands ------------------------------------------------------------------------------------

function move(i, to) {
  if (!i) return;
  const last = (known[i + 1] ?? values.length) - 1;
  known[i] = Math.max(known[i - 1] + 1, Math.min(last, to));
  draw();
}

function newHandle() {
  const handle = document.createElement("button");
  handle.type = "button";
  handle.className = "tcp-handle";
  handle.setAttribute("role", "slider");
  const index = () => [...handles.children].indexOf(handle);
  handle.addEventListener("pointerdown", (event) => {
    handle.focus();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId))
      move(index(), place.step(event.clientX - plot.getBoundingClientRect().left));
  });
  handle.addEventListener("keydown", (event) => {
    const i = index();
    const to = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 }[event.key];
    if (to) move(i, known[i] + to);
    else if (event.key === "Home" || event.key === "End") move(i, event.key === "Home" ? 0 : values.length);
    else if (event.key === "Delete" || event.key === "Backspace") {
      if (i && known.length > 2) known.splice(i, 1);
      draw();
      handles.children[Math.min(i, known.length - 1)].focus();
    } else return;
    event.preventDefault();
  });
  return handle;
}

strip.addEventListener("click", (event) => {
  const s = [...strip.children].indexOf(event.target);
  if (s < 1) return;
  const without = known.filter((k) => k !== s);
  if (without.length < known.length && known.length === 2) return;
  known = without.length < known.length ? without : [...known, s].sort((a, b) => a - b);
  draw();
});

count.addEventListener("input", () => {
  known = evenly(+count.value);
  draw();
});
chooser.addEventListener("change", () => choose(curves[+chooser.value]));

function choose(curve) {
  values = curve.values;
  chooser.title = curve.about;
  draw();
}

chooser.replaceChildren(...curves.map((curve, i) => new Option(curve.title, i)));
WAYS.forEach((one) => {
  const [id, title, order] = one;
  const label = document.createElement("label");
  label.dataset.way = id;
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "tcp-way";
  radio.checked = one === way;
  radio.addEventListener("change", () => {
    way = one;
    draw();
  });
  const track = document.createElement("span");
  track.className = `tcp-track ${id === "back" ? "tcp-back" : `tch-order-${order}`}`;
  track.append(document.createElement("i"));
  const name = document.createElement("span");
  name.textContent = title;
  label.append(radio, name, track, document.createElement("output"));
  ways.append(label);
});
values = curves[0].values;
known = evenly(START);
choose(curves[0]);
new ResizeObserver(() => plot.clientWidth && plot.clientWidth !== place.width && draw()).observe(root);
