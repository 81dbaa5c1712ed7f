// Tells of a link once, when the page opens; a plain visit asks the server nothing. `props` and
// `trigger` come from Gradio.

const query = new URLSearchParams(location.search);
let token = "";
try {
  // As share.js keeps them.
  token = JSON.parse(localStorage.getItem("tracache-tokens") || "{}")[query.get("run")];
} catch {
  // Then whoever looks on only looks on.
}
if (query.has("run") || query.has("model")) {
  props.value = { search: location.search, token: token || "" };
  trigger("submit");
}
