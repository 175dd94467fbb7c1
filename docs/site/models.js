// Makes the table of models sortable by its heads and adds a field that filters its rows.

document$.subscribe(() => {
  for (const place of document.querySelectorAll("div.models")) {
    const table = place.querySelector("table");
    addSorting(table);
    place.prepend(filterOf(table));
  }
});

function addSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  const isNumber = (column) => table.tBodies[0].rows[0].cells[column].classList.contains("number");
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.replaceChildren(button);
    head.classList.toggle("number", isNumber(column));
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(table.tBodies[0], column, ascending ? 1 : -1);
    });
  });
}

// Rows without a value stay below the others in both directions.
function sort(body, column, direction) {
  const value = (row) => {
    const cell = row.cells[column];
    if (!cell.classList.contains("number")) return cell.textContent;
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return direction * (typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true }));
  };
  body.append(...[...body.rows].sort(compare));
}

function filterOf(table) {
  const form = document.createElement("form");
  form.className = "models-filter";
  form.innerHTML =
    '<input type="search" name="words" placeholder="Filter, e.g. cifar 32×32" aria-label="Filter the models">' +
    '<label><input type="checkbox" name="weights"> with published weights</label>' +
    '<output aria-live="polite"></output>';
  const update = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      const trained = row.cells[1].textContent.trim() !== "–";
      row.hidden = !(words.every((word) => text.includes(word)) && (trained || !form.elements.weights.checked));
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${table.tBodies[0].rows.length}`;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
  return form;
}
