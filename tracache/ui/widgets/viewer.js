// The viewer: pictures of up to four arms side by side, one over another, or their difference;
// zoomed and played in step. Runs once, with `element`, `props` and `watch` from Gradio.

const root = element.querySelector(".tcv");
const stage = root.querySelector(".tcv-stage");
const player = root.querySelector(".tcv-player");
const look = { mode: "side", left: 0, right: 1, gain: 4, zoom: 1, x: 0, y: 0, cut: 50 };
let shown = { arms: [] };
let playing = true;

const make = (tag, className, attributes = {}) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const done = () => shown.arms.filter((arm) => arm.src);
const videos = () => [...stage.querySelectorAll("video")];

// ---- one picture ------------------------------------------------------------------------------

// An element is kept as long as what it shows stays the same, so that nothing flickers.
function fill(frame, arm) {
  const key = arm.src || arm.preview || "";
  if (frame.dataset.key === key) return;
  frame.dataset.key = key;
  if (!key) {
    frame.replaceChildren(make("span", "tcv-wait"));
    frame.firstChild.textContent = arm.state === "running" ? "…" : "not begun";
    return;
  }
  if (arm.src && shown.video) {
    const video = make("video", "tcv-media", { src: arm.src, "aria-label": arm.alt });
    video.muted = video.playsInline = true;
    video.preload = "auto";
    video.addEventListener("loadeddata", restart);
    frame.replaceChildren(video);
    return;
  }
  const old = frame.querySelector("img");
  const image = old || make("img", "tcv-media", { decoding: "sync", draggable: "false" });
  image.src = key;
  image.alt = arm.src ? arm.alt : `${arm.title}, unfinished`;
  image.classList.toggle("tcv-rough", !arm.src);
  if (!old) frame.replaceChildren(image);
}

function tile(arm, index) {
  let figure = stage.children[index];
  if (!figure || figure.dataset.arm !== arm.id) {
    const fresh = make("figure", "tcv-tile", { "data-arm": arm.id });
    const frame = make("div", "tcv-frame");
    const caption = make("figcaption");
    caption.append(make("b"), make("span", "tcv-note"), make("a", "tcv-download"));
    fresh.append(frame, caption);
    if (figure) figure.replaceWith(fresh);
    else stage.append(fresh);
    figure = fresh;
  }
  fill(figure.querySelector(".tcv-frame"), arm);
  figure.querySelector("b").textContent = arm.title;
  figure.querySelector(".tcv-note").textContent = arm.note || "";
  const link = figure.querySelector("a");
  link.hidden = !arm.src;
  if (arm.src) {
    link.href = arm.src;
    link.download = arm.download;
    link.textContent = "Download";
    link.setAttribute("aria-label", `Download ${arm.title}`);
  }
}

// ---- the three ways to look -------------------------------------------------------------------

function drawSide() {
  shown.arms.forEach(tile);
  while (stage.children.length > shown.arms.length) stage.lastChild.remove();
}

function drawPair() {
  const arms = done();
  const pair = [arms[look.left] || arms[0], arms[look.right] || arms[1] || arms[0]];
  const key = JSON.stringify([look.mode, pair.map((arm) => arm && arm.src)]);
  if (stage.dataset.key === key) return;
  stage.dataset.key = key;
  const frame = make("div", "tcv-frame tcv-pair");
  pair.forEach((arm) => {
    const layer = make("div", "tcv-layer");
    if (arm) fill(layer, arm);
    frame.append(layer);
  });
  const figure = make("figure", "tcv-tile");
  figure.append(frame);
  if (look.mode === "slider") {
    const names = make("figcaption", "tcv-names");
    pair.forEach((arm) => names.append(make("b")));
    names.querySelectorAll("b").forEach((b, i) => (b.textContent = pair[i] ? pair[i].title : ""));
    const label = `Where ${pair[0]?.title} gives way to ${pair[1]?.title}`;
    const range = make("input", "tcv-cut", { type: "range", min: 0, max: 100, "aria-label": label });
    range.value = look.cut;
    range.addEventListener("input", () => {
      look.cut = +range.value;
      place();
    });
    frame.append(range);
    figure.append(names);
  } else {
    const words = make("figcaption");
    words.textContent = `|${pair[1]?.title} − ${pair[0]?.title}|, ${look.gain} times as bright; black is the same`;
    figure.append(words);
  }
  stage.replaceChildren(figure);
}

function place() {
  stage.style.setProperty("--zoom", look.zoom);
  stage.style.setProperty("--x", `${look.x}px`);
  stage.style.setProperty("--y", `${look.y}px`);
  stage.style.setProperty("--cut", `${look.cut}%`);
  stage.style.setProperty("--gain", look.gain);
  stage.style.setProperty("--ratio", shown.ratio || 1);
  stage.classList.toggle("tcv-near", look.zoom >= 4);
  root.querySelector(".tcv-scale").textContent = `${look.zoom}×`;
}

function draw() {
  shown = props.value || { arms: [] };
  const arms = done();
  if (look.right >= arms.length) look.right = Math.max(0, arms.length - 1);
  if (arms.length > 1 && look.left === look.right) [look.left, look.right] = [0, 1];
  const pairs = arms.length > 1;
  const mode = pairs ? look.mode : "side";
  root.dataset.mode = mode;
  root.dataset.pairs = pairs;
  root.dataset.count = shown.arms.length;
  root.hidden = !shown.arms.length;
  for (const side of ["left", "right"]) {
    const select = root.querySelector(`.tcv-${side}`);
    const names = arms.map((arm) => arm.title).join("\n");
    if (select.dataset.names !== names) {
      select.dataset.names = names;
      select.replaceChildren(...arms.map((arm, i) => new Option(arm.title, i)));
    }
    select.value = look[side];
  }
  if (mode !== stage.dataset.mode) {
    stage.replaceChildren();
    delete stage.dataset.key;
    stage.dataset.mode = mode;
  }
  if (mode === "side") drawSide();
  else drawPair();
  root.querySelectorAll("[data-look]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.look === look.mode));
  root.querySelectorAll("[data-gain]").forEach((b) => b.setAttribute("aria-pressed", +b.dataset.gain === look.gain));
  const label = root.querySelector(".tcv-label");
  label.textContent = shown.label || "";
  label.hidden = !shown.label;
  place();
  drawPlayer();
}

// ---- playing in step --------------------------------------------------------------------------

function drawPlayer() {
  player.hidden = !(shown.video && videos().length);
  const range = player.querySelector("input");
  range.max = (shown.frames || 1) - 1;
  follow();
}

function restart() {
  const all = videos();
  if (all.some((video) => video.readyState < 2)) return;
  all.forEach((video) => (video.currentTime = 0));
  if (playing) play();
}

function play() {
  playing = true;
  videos().forEach((video) => video.play().catch(() => {}));
  button();
}

function pause() {
  playing = false;
  videos().forEach((video) => video.pause());
  button();
}

function button() {
  const b = player.querySelector(".tcv-play");
  b.textContent = playing ? "Pause" : "Play";
}

function seek(frame) {
  const last = (shown.frames || 1) - 1;
  const to = Math.max(0, Math.min(last, frame));
  pause();
  // The middle of a frame, so that rounding cannot land on its neighbour.
  videos().forEach((video) => (video.currentTime = (to + 0.5) / shown.fps));
}

function frameNow() {
  const first = videos()[0];
  const last = (shown.frames || 1) - 1;
  return first ? Math.min(last, Math.floor(first.currentTime * shown.fps + 1e-3)) : 0;
}

let ticking = false;

// Only while there are clips: whoever shares the processor with what is timed has to be quiet.
function follow() {
  if (!ticking && videos().length) requestAnimationFrame(tick);
  ticking = ticking || videos().length > 0;
}

function tick() {
  const [first, ...others] = videos();
  ticking = root.isConnected && Boolean(first);
  if (!ticking) return;
  if (!player.hidden) {
    if (playing && first.ended) restart();
    // Players drift; whoever is more than half a frame off is set right.
    const slack = 0.5 / (shown.fps || 8);
    for (const video of others) {
      if (!first.ended && Math.abs(video.currentTime - first.currentTime) > slack) {
        video.currentTime = first.currentTime;
        if (playing && video.paused) video.play().catch(() => {});
      }
    }
    const frame = frameNow();
    const range = player.querySelector("input");
    if (document.activeElement !== range || playing) range.value = frame;
    const words = `frame ${frame + 1} of ${shown.frames}`;
    range.setAttribute("aria-valuetext", words);
    player.querySelector(".tcv-frame-no").textContent = words;
  }
  requestAnimationFrame(tick);
}

// ---- hands ------------------------------------------------------------------------------------

function zoom(factor) {
  look.zoom = Math.max(1, Math.min(16, look.zoom * factor));
  if (look.zoom === 1) look.x = look.y = 0;
  place();
}

root.addEventListener("click", (event) => {
  const target = event.target.closest("button");
  if (!target) return;
  if (target.dataset.look) look.mode = target.dataset.look;
  if (target.dataset.gain) look.gain = +target.dataset.gain;
  if (target.dataset.zoom) return zoom(+target.dataset.zoom);
  if (target.classList.contains("tcv-play")) return playing ? pause() : play();
  if (target.dataset.step) return seek(frameNow() + +target.dataset.step);
  delete stage.dataset.key;
  draw();
});
for (const side of ["left", "right"]) {
  root.querySelector(`.tcv-${side}`).addEventListener("change", (event) => {
    look[side] = +event.target.value;
    delete stage.dataset.key;
    draw();
  });
}
player.querySelector("input").addEventListener("input", (event) => seek(+event.target.value));

let grip = null;
stage.addEventListener("pointerdown", (event) => {
  if (look.zoom === 1 || event.target.closest("a, input, button")) return;
  grip = { x: event.clientX - look.x, y: event.clientY - look.y };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const frame = stage.querySelector(".tcv-frame");
  const limit = (size) => ((look.zoom - 1) * size) / 2;
  const keep = (value, most) => Math.max(-most, Math.min(most, value));
  look.x = keep(event.clientX - grip.x, limit(frame.clientWidth));
  look.y = keep(event.clientY - grip.y, limit(frame.clientHeight));
  place();
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (grip = null));

watch("value", draw);
draw();
