// The league: columns sort, rows show their pictures. `element`: Gradio's.

const value = (cell) => {
  const text = cell.dataset.value ?? "";
  return text !== "" && !Number.isNaN(+text) ? +text : text;
};

// Of what is better when higher, the highest comes first.
const HIGHER = new Set(["Nearer on", "PSNR", "SSIM"]);

function sort(button) {
  const head = button.closest("th");
  const all = [...head.parentElement.children];
  const up = head.ariaSort ? head.ariaSort !== "ascending" : !HIGHER.has(button.textContent);
  for (const other of all) other.removeAttribute("aria-sort");
  head.ariaSort = up ? "ascending" : "descending";
  const at = all.indexOf(head);
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a.cells[at]), value(b.cells[at])];
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return up ? order : -order;
  });
  body.append(...rows);
}

// One row of the sheet, a picture a prompt; where the front page can make it, it leads there.
function strip(root, place, title, query) {
  const { sheet, rows, subjects } = root.dataset;
  const asked = query ? (root.dataset.asked ?? "").split(" ").filter(Boolean) : [];
  const names = subjects.split("\n");
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const line = document.createElement("div");
  line.className = "tcl-line";
  names.forEach((name, column) => {
    const picture = document.createElement(asked[column] ? "a" : "span");
    picture.ariaLabel = `${name}, by ${title}`;
    if (asked[column]) {
      picture.href = `./?${asked[column]}&${query}`;
      picture.ariaLabel += ": compare it yourself";
    } else {
      picture.setAttribute("role", "img");
    }
    picture.style.backgroundImage = `url("${sheet}")`;
    picture.style.backgroundSize = `${names.length * 100}% ${rows * 100}%`;
    const along = names.length > 1 ? (100 * column) / (names.length - 1) : 0;
    const down = rows > 1 ? (100 * place) / (rows - 1) : 0;
    picture.style.backgroundPosition = `${along}% ${down}%`;
    line.append(picture);
  });
  figure.append(caption, line);
  return figure;
}

function show(button) {
  const root = button.closest(".tcl");
  for (const other of root.querySelectorAll(".tcl-who")) other.ariaPressed = `${other === button}`;
  const shown = root.querySelector(".tcl-shown");
  shown.replaceChildren(
    strip(root, 0, "Full compute"),
    strip(root, +button.dataset.place, button.textContent, button.dataset.query)
  );
  shown.scrollIntoView({ block: "nearest" });
}

element.addEventListener("click", (event) => {
  const who = event.target.closest(".tcl-who");
  const head = event.target.closest(".tcl-table thead button");
  if (who) show(who);
  if (head) sort(head);
});
