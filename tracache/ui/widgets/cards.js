// A card that is pressed is run; what runs gives way to it. `element`, `trigger`: Gradio's.

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-card]");
  if (!button) return;
  if (document.querySelector("#status [data-running]")) document.getElementById("stop").click();
  trigger("select", { card: button.dataset.card });
  const first = innerWidth > 760 ? ".tc-main" : ".tc-result";
  document.querySelector(first).scrollIntoView({ behavior: "smooth", block: "start" });
});
