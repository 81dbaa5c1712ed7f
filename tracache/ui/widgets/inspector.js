// What the orders of one cell of the heatmap were judged by. `element`, `props`, `watch`: Gradio's.

const root = element.querySelector(".tci");
const block = root.querySelector(".tci-block");
const step = root.querySelector(".tci-step");
const said = root.querySelector(".tci-said");
const bars = root.querySelector("tbody");
// Where the page's cursor is; it may be told of before there is anything to show.
let at = -1;

function options(select, names, chosen) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i)));
  select.value = chosen;
}

function load() {
  const value = props.value;
  root.hidden = !value;
  if (!value) at = -1;
  if (!value) return;
  // The last row makes the picture; where it chooses nothing, the last block beside it does.
  const rows = value.spreads.map((step) => step.map((x) => x.some((y) => y !== null)));
  const last = value.blocks.length - 1;
  const chosen = last && !rows.some((row) => row[last]) ? last - 1 : last;
  options(block, value.blocks, chosen);
  const judged = rows.findIndex((row) => row[chosen]);
  const names = value.timesteps.map((t, i) => `${i + 1} (timestep ${t})`);
  options(step, names, at >= 0 && at < names.length ? at : Math.max(judged, 0));
  draw();
}

function draw() {
  const value = props.value;
  const [s, b] = [+step.value, +block.value];
  const spreads = value.spreads[s][b].filter((x) => x !== null);
  const row = value.blocks[b];
  const name = `${row === "prediction" ? "Prediction" : `Block ${row}`}, step ${s + 1}`;
  said.textContent = `${name}: ${value.words[String(value.orders[s][b])]}.`;
  bars.replaceChildren();
  root.querySelector("caption").textContent = "";
  if (!spreads.length) {
    if (value.orders[s][b] >= 0) said.textContent += " There was nothing to choose between.";
    return;
  }
  root.querySelector("caption").textContent =
    "Spread of the difference of neighbouring orders; the least decides";
  const most = Math.max(...spreads);
  const least = Math.min(...spreads);
  spreads.forEach((x, i) => {
    const row = bars.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = `φ${i + 1} − φ${i}`;
    const bar = document.createElement("span");
    // The least in the colour of the order that it chose.
    bar.className = x === least ? `tci-bar tci-least tch-order-${value.orders[s][b]}` : "tci-bar";
    bar.style.width = `${Math.max(1, (100 * x) / most)}%`;
    row.append(head);
    row.insertCell().append(bar);
    row.insertCell().textContent = x.toPrecision(3) + (x === least ? ", least" : "");
  });
}

// By hand: the heatmap shows the cell, and whatever else follows the cursor its step.
function tell() {
  const cell = { step: +step.value, row: +block.value };
  document.dispatchEvent(new CustomEvent("tc-step", { detail: cell }));
}
block.addEventListener("change", tell);
step.addEventListener("change", tell);

// A cell of the heatmap, or a step of the scrubber, that was pressed.
function follow({ detail }) {
  if (!root.isConnected) return document.removeEventListener("tc-step", follow);
  at = detail.step;
  if (!props.value || at >= props.value.timesteps.length) return;
  step.value = at;
  if (detail.row !== undefined) block.value = detail.row;
  draw();
}
document.addEventListener("tc-step", follow);

watch("value", load);
load();
