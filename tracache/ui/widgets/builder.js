// Drop-downs that follow one another and write the prompt. `element`, `props`,
// `trigger`: Gradio's.

const selects = [...element.querySelectorAll("select")];

// What needs a word of another drop-down is there while that word is chosen.
function follow() {
  for (const part of element.querySelectorAll("[data-with]")) {
    const { value } = selects.find((select) => select.name === part.dataset.with);
    part.hidden = part.disabled = !part.dataset.words.split("|").includes(value);
  }
  for (const select of selects) {
    const first = select.querySelector("option:not([disabled])");
    if (select.selectedOptions[0].disabled) select.value = first.value;
  }
}

element.addEventListener("input", () => {
  follow();
  props.value = selects.map((select) => select.value);
  trigger("input");
});
follow();
