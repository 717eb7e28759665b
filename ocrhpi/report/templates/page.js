"use strict";

// Sorts the table by the column whose header is pressed; models without a value stay last in both directions.
const table = document.getElementById("models");
const headers = [...document.getElementById("headers").cells];

function compare(one, other, isNumber) {
  if (one === "" || other === "") {
    return null;
  }
  return isNumber ? Number(one) - Number(other) : one.localeCompare(other, "en", { numeric: true });
}

function sortBy(column, direction) {
  const isNumber = headers[column].dataset.kind === "number";
  const sign = direction === "ascending" ? 1 : -1;
  const key = (row) => row.cells[column].dataset.sort;
  const rows = [...table.tBodies[0].rows].sort((one, other) => {
    const difference = compare(key(one), key(other), isNumber);
    if (difference === null) {
      return (key(one) === "") - (key(other) === "");
    }
    return sign * difference || one.dataset.place - other.dataset.place;
  });
  table.tBodies[0].append(...rows);
  headers.forEach((header, place) => {
    if (place === column) {
      header.setAttribute("aria-sort", direction);
    } else {
      header.removeAttribute("aria-sort");
    }
  });
  followOrder(rows.map((row) => row.dataset.place));
}

// The bars stand in the order of the table.
function followOrder(places) {
  const bars = document.getElementById("bars");
  if (bars) {
    const items = new Map([...bars.children].map((item) => [item.dataset.place, item]));
    bars.append(...places.filter((place) => items.has(place)).map((place) => items.get(place)));
  }
}

headers.forEach((header, column) => {
  header.querySelector("button").addEventListener("click", () => {
    const first = header.dataset.first;
    const second = first === "ascending" ? "descending" : "ascending";
    sortBy(column, header.getAttribute("aria-sort") === first ? second : first);
  });
});

// What a mark of the plot stands for, also where nothing hovers.
const note = document.getElementById("plot-note");
document.querySelectorAll("#plot [data-title]").forEach((mark) => {
  ["pointerenter", "click"].forEach((kind) => {
    mark.addEventListener(kind, () => {
      note.textContent = mark.dataset.title;
    });
  });
});

// Of what is gained, the chosen model is shown; without a script, all are.
const choice = document.getElementById("gain-model");

function showGain() {
  document.querySelectorAll("[data-gain]").forEach((one) => {
    one.hidden = one.dataset.gain !== choice.value;
  });
}

if (choice) {
  choice.addEventListener("change", showGain);
  showGain();
}

// A link to a model opens it; paper shows all of them.
const details = [...document.querySelectorAll("details")];

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

window.addEventListener("hashchange", openTarget);
openTarget();
window.addEventListener("beforeprint", () => {
  details.forEach((one) => {
    one.dataset.wasOpen = one.open;
    one.open = true;
  });
});
window.addEventListener("afterprint", () => {
  details.forEach((one) => {
    one.open = one.dataset.wasOpen === "true";
  });
});

document.documentElement.classList.add("scripted");
