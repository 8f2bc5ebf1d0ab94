// The pages work without this file. It keeps relative times true, and reads a plot's values where one points at it.
"use strict";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function relative(then, now) {
  const away = (then - now) / 1000;
  if (Math.abs(away) < 60) return "now";
  const [name, size] = UNITS.find(([, seconds]) => Math.abs(away) >= seconds);
  const count = Math.floor(Math.abs(away) / size);
  const amount = `${count} ${name}${count === 1 ? "" : "s"}`;
  return away > 0 ? `in ${amount}` : `${amount} ago`;
}

// The exporter's clock, not the browser's, is what the page was written by.
const began = Date.now();
const served = Date.parse(document.body.dataset.now);
const clock = new Intl.DateTimeFormat("en-GB", { timeZone: document.body.dataset.zone, hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
setInterval(() => {
  const now = served + (Date.now() - began);
  for (const time of document.querySelectorAll("time[data-relative]")) {
    time.textContent = relative(Date.parse(time.dateTime), now);
  }
}, 30000);

const plots = document.querySelectorAll("[data-course]");
let courses = null;

function fetched() {
  const page = document.querySelector("[data-series]");
  courses ??= fetch(page.dataset.series).then((answer) => (answer.ok ? answer.json() : { series: [] }));
  return courses;
}

function written(value, factor) {
  return (value * factor).toLocaleString("en", { maximumSignificantDigits: 3 });
}

async function read(plot, event) {
  const { series } = await fetched();
  const course = series.find((each) => each.metric === plot.dataset.course);
  if (!course || course.points.length < 2) return;
  const [left, right, width] = plot.dataset.frame.split(" ").map(Number);
  const box = plot.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * width;
  const share = Math.min(Math.max((x - left) / (right - left), 0), 1);
  const at = Math.round(share * (course.points.length - 1));
  const { time, measured, expected, low, high } = course.points[at];
  const [factor, unit] = [Number(plot.dataset.factor), plot.dataset.unit];
  let reading = `${clock.format(Date.parse(time))}: ${measured === null ? "nothing measured" : `${written(measured, factor)} ${unit}`}`;
  if (expected !== null) {
    reading += `, expected ${written(expected, factor)} [${written(low, factor)}, ${written(high, factor)}]`;
  }
  const pointer = plot.querySelector(".pointer");
  const place = left + ((right - left) * at) / (course.points.length - 1);
  pointer.setAttribute("x1", place);
  pointer.setAttribute("x2", place);
  pointer.classList.add("shown");
  plot.closest("figure").querySelector(".reading").textContent = reading;
}

for (const plot of plots) {
  plot.addEventListener("pointermove", (event) => read(plot, event));
  plot.addEventListener("pointerleave", () => {
    plot.querySelector(".pointer").classList.remove("shown");
    plot.closest("figure").querySelector(".reading").textContent = "";
  });
}
