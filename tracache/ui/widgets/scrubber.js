// The page's cursor: one step, in pictures, in the curve of distances, in the strips and in the
// heatmap. `element`, `props`, `watch` come from Gradio; "tc-step" is how the parts tell each other.

const root = element.querySelector(".tcr");
const tiles = root.querySelector(".tcr-tiles");
const curve = root.querySelector(".tcr-curve");
const range = root.querySelector("input");
const LEFT = 40;
const TOP = 8;
const BELOW = 6;
let step = 0;
let box = null;

const make = (tag, attributes = {}, text = "") => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// ---- what does not change with the step -------------------------------------------------------

function load() {
  const value = props.value;
  root.hidden = !value;
  mark([]);
  if (!value) return;
  root.querySelector(".tcr-said").textContent = value.said;
  range.max = value.timesteps.length - 1;
  tiles.replaceChildren(...value.arms.map(tile));
  root.querySelector(".tcr-legend").replaceChildren(
    ...value.arms.slice(1).map((arm) => {
      const item = document.createElement("li");
      item.style.color = arm.colour;
      const name = document.createElement("span");
      name.textContent = arm.title;
      item.append(document.createElement("i"), name);
      return item;
    })
  );
  draw();
  // Where they part most, as the sentence says.
  tell(value.start);
}

function tile(arm) {
  const figure = document.createElement("figure");
  const picture = document.createElement("div");
  picture.className = "tcr-picture";
  picture.setAttribute("role", "img");
  picture.style.aspectRatio = arm.ratio;
  picture.style.backgroundImage = `url("${arm.sheet}")`;
  picture.style.backgroundSize = `${100 * arm.columns}% ${100 * arm.rows}%`;
  const caption = document.createElement("figcaption");
  const name = document.createElement("b");
  name.textContent = arm.title;
  caption.append(name, document.createElement("span"), document.createElement("span"));
  figure.append(picture, caption);
  return figure;
}

function draw() {
  const { arms, timesteps } = props.value;
  const [width, height] = [curve.clientWidth || 600, curve.clientHeight || 130];
  const most = Math.max(1e-6, ...arms.flatMap((arm) => arm.distances));
  const wide = (width - LEFT - 4) / timesteps.length;
  const x = (s) => LEFT + (s + 0.5) * wide;
  const y = (d) => TOP + (1 - d / most) * (height - TOP - BELOW);
  box = { width, height, wide, x };
  curve.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const nodes = [];
  for (const share of [0, 0.5, 1]) {
    nodes.push(make("path", { class: "tcr-grid", d: `M${LEFT} ${y(share * most)}H${width}` }));
    const label = `${+(100 * share * most).toPrecision(2)} %`;
    nodes.push(make("text", { x: LEFT - 5, y: y(share * most) + 4, "text-anchor": "end" }, label));
  }
  for (const arm of arms.slice(1)) {
    const d = arm.distances.map((far, s) => `${s ? "L" : "M"}${x(s).toFixed(1)} ${y(far).toFixed(1)}`);
    nodes.push(make("path", { color: arm.colour, d: d.join("") }));
    // Those of an arm of fewer steps are all computed, and not where these are.
    if (arm.computed.length !== timesteps.length) continue;
    arm.distances.forEach((far, s) => {
      const look = { color: arm.colour, class: arm.computed[s] ? "tcr-computed" : "" };
      nodes.push(make("circle", { ...look, r: 3.2, cx: x(s), cy: y(far) }));
    });
  }
  nodes.push(make("rect", { y: 1, width: wide, height: height - 2 }));
  curve.replaceChildren(...nodes);
}

// ---- what does --------------------------------------------------------------------------------

function go(to) {
  const { arms, timesteps } = props.value;
  step = Math.max(0, Math.min(timesteps.length - 1, to));
  const words = `step ${step + 1} of ${timesteps.length}`;
  range.value = step;
  range.setAttribute("aria-valuetext", `${words}, timestep ${timesteps[step]}`);
  root.querySelector("output").textContent = `S${words.slice(1)}, timestep ${timesteps[step]}`;
  curve.querySelector("rect").setAttribute("x", box.x(step) - box.wide / 2);
  arms.forEach((arm, i) => {
    const own = arm.steps[step];
    const [picture, caption] = tiles.children[i].children;
    const share = (at, count) => (count > 1 ? (100 * at) / (count - 1) : 0);
    const column = share(own % arm.columns, arm.columns);
    picture.style.backgroundPosition = `${column}% ${share(Math.floor(own / arm.columns), arm.rows)}%`;
    const kind = arm.computed[own] ? "computed" : "skipped";
    const other = arm.computed.length !== timesteps.length ? `its step ${own + 1} of ${arm.computed.length}, ` : "";
    const [, did, far] = caption.children;
    did.textContent = `${other}${kind}`;
    far.textContent = i ? `${percent(arm.distances[step])} away` : "";
    picture.setAttribute("aria-label", `${arm.title} at ${words}: ${did.textContent} ${far.textContent}`);
  });
  mark(arms.map((arm) => [arm, arm.steps[step]]));
}

// The cells of the strips, which are the status's.
const strips = () => [...document.querySelectorAll("#status .tc-arm .tc-strip")];

function mark(cells) {
  document.querySelectorAll("#status [data-here]").forEach((cell) => delete cell.dataset.here);
  for (const [arm, own] of cells) {
    const strip = strips()[props.value.strips.indexOf(arm.id)];
    strip?.children[own]?.setAttribute("data-here", "");
  }
}

function tell(to, row) {
  document.dispatchEvent(new CustomEvent("tc-step", { detail: { step: to, row } }));
}

// ---- hands ------------------------------------------------------------------------------------

range.addEventListener("input", () => tell(+range.value));

const under = (event) => Math.floor((event.clientX - curve.getBoundingClientRect().left - LEFT) / box.wide);
let held = false;
curve.addEventListener("pointerdown", (event) => {
  held = true;
  tell(under(event));
});
curve.addEventListener("pointermove", (event) => held && tell(under(event)));
addEventListener("pointerup", () => (held = false));

function press(event) {
  if (!root.isConnected) return document.removeEventListener("click", press);
  const cell = event.target.closest?.("#status .tc-arm .tc-cell");
  if (!cell || !props.value) return;
  const strip = strips().findIndex((s) => s.contains(cell));
  const arm = props.value.arms.find(({ id }) => id === props.value.strips[strip]);
  const to = arm?.steps.indexOf([...cell.parentNode.children].indexOf(cell)) ?? -1;
  if (to >= 0) tell(to);
}

function follow({ detail }) {
  if (!root.isConnected) return document.removeEventListener("tc-step", follow);
  if (props.value) go(detail.step);
}

document.addEventListener("click", press);
document.addEventListener("tc-step", follow);
new ResizeObserver(() => {
  if (!curve.clientWidth || curve.clientWidth === box?.width || !props.value) return;
  draw();
  go(step);
}).observe(root);
watch("value", load);
load();
