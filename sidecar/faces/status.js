// Asks for the status page again every few seconds and takes over what is different, node by node, so that the focus,
// a selection and the place that is read stay where they are. Rows are made by the gateway alone.
"use strict";

const EVERY = 3000; // milliseconds
const LONGEST = 10000;
const LIVE = ["#about", "main"];

const updates = document.getElementById("updates");
const said = updates.appendChild(document.createElement("span"));
const button = updates.appendChild(document.createElement("button"));
let paused = false;
let asking = false;
let last = new Date();

said.setAttribute("role", "status");
button.type = "button";
button.addEventListener("click", () => {
  paused = !paused;
  tell();
  if (!paused) ask();
});
document.addEventListener("visibilitychange", ask);
setInterval(ask, EVERY);
tell();

function ask() {
  if (paused || asking || document.hidden) return;
  asking = true;
  const request = new XMLHttpRequest();
  request.open("GET", "./");
  request.responseType = "document";
  request.timeout = LONGEST;
  request.addEventListener("loadend", () => {
    asking = false;
    take(request.status === 200 ? request.response : null);
  });
  request.send();
}

function take(page) {
  const whole = page !== null && LIVE.every((place) => page.querySelector(place));
  if (whole) {
    last = new Date();
    document.title = page.title;
    for (const place of LIVE) patch(document.querySelector(place), page.querySelector(place));
  }
  document.body.classList.toggle("stale", !whole);
  tell();
}

function tell() {
  const old = document.body.classList.contains("stale");
  const since = last.toLocaleTimeString();
  const text = old ? `No answer: what is shown is of ${since}.` : paused ? `Held at ${since}.` : "";
  if (said.textContent !== text) said.textContent = text;
  said.className = old ? "old" : "";
  const what = paused ? "Go on updating" : "Hold updates";
  if (button.textContent !== what) button.textContent = what;
}

function patch(have, want) {
  if (have.isEqualNode(want)) return;
  if (have.nodeName !== want.nodeName) {
    have.replaceWith(document.importNode(want, true));
    return;
  }
  if (have.nodeType === Node.TEXT_NODE) {
    have.data = want.data;
    return;
  }
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  const [mine, theirs] = [[...have.childNodes], [...want.childNodes]];
  mine.slice(theirs.length).forEach((node) => node.remove());
  theirs.forEach((node, index) => {
    if (index < mine.length) patch(mine[index], node);
    else have.append(document.importNode(node, true));
  });
}
