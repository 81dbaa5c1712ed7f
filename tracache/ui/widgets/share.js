// Link, script and command of the run on the page. `element`, `props`, `watch` come from Gradio.

// Tokens of the last runs that this browser began, by id. Whoever has one may stop the run, so they
// are in no link. address.js reads them.
const TOKENS = "tracache-tokens";
const KEPT = 8;

const root = element.querySelector(".tcs");
const said = root.querySelector(".tcs-said");
let forget = null;

// The run as well, so that whoever follows it sees these pictures as long as they are kept.
function link() {
  const query = new URLSearchParams(props.value.recipe);
  if (props.value.run) query.set("run", props.value.run);
  return `${location.origin}${location.pathname}?${query}`;
}

function remember(run, token) {
  try {
    const kept = Object.entries(JSON.parse(localStorage.getItem(TOKENS) || "{}"));
    const others = kept.filter(([id]) => id !== run).slice(1 - KEPT);
    localStorage.setItem(TOKENS, JSON.stringify(Object.fromEntries([...others, [run, token]])));
  } catch {
    // A browser that keeps nothing can stop its run until the page is loaded again.
  }
}

function draw() {
  const value = props.value;
  root.hidden = !value;
  if (!value) return;
  if (value.token) remember(value.run, value.token);
  root.querySelector(".tcs-python").textContent = value.python;
  root.querySelector(".tcs-command").textContent = value.command;
  const archive = root.querySelector(".tcs-archive");
  archive.hidden = !value.archive;
  if (value.archive) {
    archive.href = value.archive;
    archive.download = value.archive.split("/").pop();
  }
  // The address bar always leads back here: to the run while it is kept, then to its settings.
  const address = new URLSearchParams(value.recipe);
  if (value.run) address.set("run", value.run);
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) address.set("__theme", theme);
  history.replaceState(null, "", `?${address}`);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages served without https have no clipboard of their own.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

root.addEventListener("click", async (event) => {
  const what = event.target.closest("button")?.dataset.copy;
  if (!what) return;
  await copy(what === "link" ? link() : props.value[what]);
  said.textContent = "Copied.";
  clearTimeout(forget);
  forget = setTimeout(() => (said.textContent = ""), 2500);
});

watch("value", draw);
draw();
