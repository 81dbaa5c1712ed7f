// Between Generate and Stop, the slider and the run: what the front page does without the server.

const at = (id) => document.getElementById(id);
const LIVE_MS = 400;
let running = false;
let focused = null;
let due = null;

// ---- Stop in Generate's place -----------------------------------------------------------------

function follow() {
  const status = at("status");
  const now = Boolean(status.querySelector("[data-running]"));
  if (now !== running) {
    running = now;
    // A button that goes out of sight takes the focus along.
    const [gone, come] = running ? ["generate", "stop"] : ["stop", "generate"];
    if (focused === at(gone)) at(come).focus({ preventScroll: true });
    if (running) show();
    // A card may have put controls out of sight in the meantime.
    if (running) setTimeout(show, 900);
  }
  mark(status.querySelector("[data-fault]"));
}

const isLive = () => Boolean(at("live")?.querySelector("input")?.checked);

// On a phone the results are below the controls; who moves the slider wants to stay there.
function show() {
  if (innerWidth > 760 || isLive()) return;
  document.querySelector(".tc-result").scrollIntoView({ behavior: "smooth" });
}

function again() {
  if (running) at("stop").click();
  at("generate").click();
}

document.addEventListener("focusin", (event) => (focused = event.target));
document.addEventListener(
  "keydown",
  (event) => {
    // Gradio sends the prompt; what runs gives way to it.
    const sent = event.key === "Enter" && !event.shiftKey && event.target.closest("#set-prompt");
    if (sent && running) at("stop").click();
  },
  true
);

// ---- live -------------------------------------------------------------------------------------

document.addEventListener("input", (event) => {
  if (!isLive() || !event.target.closest("#set-compute")) return;
  clearTimeout(due);
  due = setTimeout(again, LIVE_MS);
});

// ---- the control that is to blame -------------------------------------------------------------

let marked = null;
let turn = 0;

function unmark() {
  if (!marked) return;
  marked.block.classList.remove("tc-at-fault");
  marked.block.querySelector(".tc-fault")?.remove();
  for (const field of marked.fields) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  marked = null;
}

const isOpen = (fold) => fold.querySelector("button.label-wrap").classList.contains("open");

async function toggle(fold) {
  fold.querySelector("button.label-wrap").click();
  await new Promise((done) => setTimeout(done, 60));
}

// What was never unfolded is not there: folds are opened until it is, and closed again.
async function unfold(name) {
  for (const fold of document.querySelectorAll("#fold-method, #fold-sampling")) {
    if (at(name) && !fold.contains(at(name))) continue;
    const shut = !isOpen(fold);
    if (shut) await toggle(fold);
    if (fold.contains(at(name))) return;
    if (shut) await toggle(fold);
  }
}

async function mark(fault) {
  const words = fault?.textContent || "";
  if (marked && words === marked.words) return;
  unmark();
  const mine = ++turn;
  if (!fault) return;
  const name = `set-${fault.dataset.fault}`;
  await unfold(name);
  const block = at(name);
  // Meanwhile there may have been another refusal, or a run.
  if (!block || mine !== turn) return;
  const fields = [...block.querySelectorAll("input, textarea")];
  const note = document.createElement("p");
  note.className = note.id = "tc-fault";
  note.textContent = fault.querySelector(".tc-why")?.textContent || "";
  block.append(note);
  block.classList.add("tc-at-fault");
  for (const field of fields) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", "tc-fault");
  }
  block.addEventListener("input", unmark, { once: true });
  block.scrollIntoView({ block: "nearest", behavior: "smooth" });
  marked = { words, block, fields };
}

// The parts of the page come in no certain order.
function begin() {
  const status = at("status");
  if (!status) return setTimeout(begin, 50);
  // Gradio changes what differs: now a node, now an attribute.
  const attributeFilter = ["data-running", "data-fault"];
  new MutationObserver(follow).observe(status, { childList: true, subtree: true, attributeFilter });
  follow();
}
begin();
