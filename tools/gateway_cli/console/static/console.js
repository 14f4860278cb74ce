// What htmx does not do: keys, copying, ages that count on, polling while the tab is in front, and charts.
"use strict";
(() => {
  const STALE_SECONDS = 180;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => { one("#said").textContent = text; };
  const refresh = (part) => { part.setAttribute("aria-busy", "true"); htmx.trigger(part, "refresh"); };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && typing.type !== "checkbox")) return;
    if (event.key === "/") {
      event.preventDefault();
      const field = one("#find") || one("#quick");
      field.focus();
      field.select();
    } else if (event.key === "r") {
      all(".part").forEach(refresh);
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) {
      navigator.clipboard.writeText(button.dataset.copy).then(
        () => { button.textContent = "Copied"; say("Copied"); },
        () => {
          getSelection().selectAllChildren(one("code", button.parentElement));
          say("Selected: copy it with the keyboard");
        });
    } else if (button.dataset.refresh) {
      (button.dataset.refresh === "all" ? all(".part") : [document.getElementById(button.dataset.refresh)]).forEach(refresh);
    } else if (button.dataset.press) {
      all(button.dataset.press).forEach((other) => other.click());
    }
  });

  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-ticks]")) {
      all(`input[name="${box.dataset.ticks}"]`, box.closest("form")).forEach((each) => { each.checked = box.checked; });
    }
    const form = box.closest("form");
    if (form && one("[data-counts]", form)) count(form);
  });

  // The buttons of a list say how many are ticked, and none works without one.
  const count = (form) => {
    const number = all("tbody input[type=checkbox]:checked", form).length;
    one("[data-counts]", form).textContent = number === 1 ? "1 ticked" : `${number} ticked`;
    all("button[data-acts]", form).forEach((button) => { button.disabled = number === 0; });
  };

  // Ages count on, so that a page that is left open does not look fresh.
  const grow = () => all("time[data-age]").forEach((time) => {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
    const age = seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
    const stale = seconds > STALE_SECONDS;
    time.classList.toggle("stale", stale);
    time.textContent = `${age} ago${stale ? " (stale)" : ""}`;
  });
  setInterval(grow, 1000);

  let waited = 0;
  setInterval(() => {
    const polls = one("#polls");
    if (!polls || !polls.checked || document.hidden) return;
    waited += 1;
    all("[data-every]").forEach((part) => { if (waited % Number(part.dataset.every) === 0) refresh(part); });
  }, 1000);

  const draw = (root) => all("[data-chart]", root).forEach((box) => {
    const { times, lines, unit } = JSON.parse(box.dataset.chart);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const short = (value) => value >= 10000 ? `${value / 1000}k` : `${value}`;
    box.replaceChildren();
    new uPlot({
      width: box.clientWidth, height: 110, legend: { show: false }, cursor: { show: false }, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: "{HH}:{mm}", space: 60, size: 22 }, { ...axis, size: 40, space: 28, values: (_, ticks) => ticks.map(short) }],
      series: [{}, ...lines.map((line) => ({
        label: line.name, stroke: colour(`--line${line.colour}`), width: 1.5, spanGaps: false,
        points: { show: line.values.filter((value) => value !== null).length < 60, size: 4 },
      }))],
    }, [times, ...lines.map((line) => line.values)], box);
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const part = event.target;
    if (part.classList.contains("part")) part.setAttribute("aria-busy", "false");
    draw(part);
    all("form", part).filter((form) => one("[data-counts]", form)).forEach(count);
  });
  const lost = (event, text) => {
    const part = event.detail.target;
    part.setAttribute("aria-busy", "false");
    const note = document.createElement("p");
    note.className = "failed";
    note.setAttribute("role", "alert");
    note.textContent = text;
    all(":scope > .failed, :scope > .loading", part).forEach((old) => old.remove());
    part.prepend(note);
  };
  document.addEventListener("htmx:sendError", (event) => lost(event, "The console does not answer: does the command still run? What you see is stale."));
  document.addEventListener("htmx:timeout", (event) => lost(event, "No answer within two minutes. What you see is stale."));
  document.addEventListener("htmx:responseError", (event) => lost(event, `The console answered ${event.detail.xhr.status}: ${event.detail.xhr.responseText.slice(0, 300)}`));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(document); } });
})();
