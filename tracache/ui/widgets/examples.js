// Examples as buttons with a picture each. `element`, `props`, `trigger`, `watch`: Gradio's.

const list = element.querySelector(".tce");
const title = element.querySelector(".tce-title");

function draw() {
  const { title: words, examples } = props.value || { title: "", examples: [] };
  title.textContent = words;
  title.hidden = !words;
  list.replaceChildren(
    ...examples.map((example) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = example.label || "";
      const picture = document.createElement(!example.src ? "span" : example.video ? "video" : "img");
      if (!example.src) picture.className = "tce-none";
      if (example.video && example.src) {
        picture.muted = picture.loop = picture.autoplay = picture.playsInline = true;
        picture.setAttribute("aria-hidden", "true");
      } else if (example.src) {
        picture.alt = "";
      }
      if (example.src) picture.src = example.src;
      const caption = document.createElement("span");
      caption.textContent = example.subject;
      button.append(picture, caption);
      button.addEventListener("click", () =>
        trigger("select", { subject: example.subject, number: example.number })
      );
      const item = document.createElement("li");
      item.append(button);
      return item;
    })
  );
}

watch("value", draw);
draw();
