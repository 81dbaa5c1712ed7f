// A card that is pressed is run; what runs gives way to it. `element`, `trigger`: Gradio's.

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-card]");
  if (!button) return;
  if (document.querySelector("#status [data-running]")) document.getElementById("stop").click();
  trigger("select", { card: button.dataset.card });
  // On a phone the run itself shows its results.
  if (innerWidth > 760) document.querySelector(".tc-main").scrollIntoView({ behavior: "smooth" });
});
