// Fields of the chosen arm; what is set of others is kept. `element`, `props`, `watch`: Gradio's.

const root = element.querySelector(".tco");
const groups = [...root.children];

// What a field holds; nothing where it is empty, which stands for the default.
function held(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "number") return field.value === "" ? undefined : field.valueAsNumber;
  return field.value;
}

function fill(field, value) {
  if (field.type === "checkbox") field.checked = value ?? field.defaultChecked;
  else field.value = value ?? field.defaultValue ?? field.querySelector("[selected]").value;
}

function draw() {
  const { arm, video, given } = props.value;
  root.replaceChildren(...groups.filter((group) => group.dataset.arm === arm));
  for (const group of groups) {
    for (const field of group.elements) {
      field.closest("label").hidden = "video" in field.closest("label").dataset && !video;
      fill(field, given[group.dataset.arm]?.[field.name]);
    }
  }
}

element.addEventListener("input", (event) => {
  const group = event.target.closest("fieldset");
  const mine = Object.fromEntries([...group.elements].map((field) => [field.name, held(field)]));
  const given = { ...props.value.given, [group.dataset.arm]: mine };
  props.value = { ...props.value, given };
});
watch("value", draw);
draw();
