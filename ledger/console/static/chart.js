// The overview's chart: fares as a line and rides as bars, by day. The figures come from
// takings.json and stand in the table below it as well. Drawn by uPlot (uplot.LICENSE.txt).
"use strict";

const place = document.getElementById("chart");
const rows = document.querySelector("#chart-table tbody");
const dark = matchMedia("(prefers-color-scheme: dark)");
let shown = null;
let answer = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function money(minor, series) {
  const amount = minor / 10 ** series.decimals;
  return amount.toLocaleString(document.documentElement.lang, { style: "currency", currency: series.currency });
}

function axis(more) {
  return { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, ...more };
}

function draw() {
  if (shown) shown.destroy();
  place.replaceChildren();
  const series = answer.series[0];
  if (!series) return;
  const days = answer.days.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
  const options = {
    width: place.clientWidth - 16,
    height: 250,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { rides: { range: (self, low, high) => [0, Math.max(high, 1) * 1.1] }, fares: {} },
    series: [
      { label: place.dataset.day, value: (self, at) => (at === null ? "" : new Date(at * 1000).toISOString().slice(0, 10)) },
      { label: place.dataset.rides, scale: "rides", stroke: colour("--muted"), fill: colour("--line"), paths: uPlot.paths.bars({ size: [0.7] }), points: { show: false } },
      { label: place.dataset.fares, scale: "fares", stroke: colour("--accent"), width: 2, value: (self, minor) => (minor === null ? "" : money(minor, series)) },
    ],
    axes: [
      axis({ values: [[86400, "{M}-{D}", null, null, null, null, null, null, 1]] }),
      axis({ scale: "rides", size: 55 }),
      axis({ scale: "fares", side: 1, size: 75, grid: { show: false }, values: (self, ticks) => ticks.map((minor) => (minor / 10 ** series.decimals).toLocaleString()) }),
    ],
  };
  shown = new uPlot(options, [days, series.rides, series.minor], place);
}

function fillTable() {
  rows.replaceChildren();
  for (const series of answer.series) {
    answer.days.forEach((day, number) => {
      const row = rows.insertRow(0);
      row.insertCell().textContent = day;
      for (const text of [series.rides[number], money(series.minor[number], series)]) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = text;
      }
    });
  }
}

async function load(days) {
  const response = await fetch(`${place.dataset.source}?days=${days}`);
  if (!response.ok) return;
  answer = await response.json();
  draw();
  fillTable();
}

for (const button of document.querySelectorAll("[data-days]")) {
  button.addEventListener("click", () => load(button.dataset.days));
}
dark.addEventListener("change", () => answer && draw());
addEventListener("resize", () => answer && draw());
load(30);
