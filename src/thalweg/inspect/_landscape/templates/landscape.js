"use strict";
// Moves the paths over the contours: by itself, by the slider, or by the keyboard.
(() => {
  const page = JSON.parse(document.getElementById("payload").textContent);
  const group = document.getElementById("paths");
  const names = [...document.querySelectorAll("[data-line]")];
  const swatches = names.map((button) => button.querySelector("line"));
  const make = (kind, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
    return group.appendChild(node);
  };
  group.setAttribute("clip-path", "url(#inside)");
  const paths = page.lines.map((line, i) => {
    const colour = swatches[i].getAttribute("stroke");
    const there = line.points.findIndex((point) => point[0] === null || point[1] === null);
    return {
      line: make("polyline", { stroke: colour, "stroke-dasharray": swatches[i].getAttribute("stroke-dasharray") }),
      head: make("circle", { r: 4.5, fill: colour }),
      points: line.points.map((point) => point.join(",")),
      last: (there < 0 ? line.points.length : there) - 1,
    };
  });
  const number = (x) => (x === null ? "–" : Math.abs(x) >= 1e4 || (x && Math.abs(x) < 1e-3) ? x.toExponential(1) : String(Number(x.toPrecision(3)))).replaceAll("-", "−");

  const slider = document.getElementById("at");
  const told = document.getElementById("told");
  const show = (step) => {
    paths.forEach((path, i) => {
      const until = Math.min(step, path.last);
      path.line.setAttribute("points", path.points.slice(0, until + 1).join(" "));
      const [x, y] = until < 0 ? [-99, -99] : page.lines[i].points[until];
      path.head.setAttribute("cx", x);
      path.head.setAttribute("cy", y);
      const losses = page.lines[i].losses;
      document.querySelector(`[data-loss="${i}"]`).textContent = number(losses[Math.min(step, losses.length - 1)] ?? null);
    });
    if (slider) {
      slider.value = step;
      told.textContent = `${page.counted} ${step} of ${page.steps}`;
    }
  };

  const picked = new Set();
  for (const [i, button] of names.entries())
    button.addEventListener("click", () => {
      picked.has(i) ? picked.delete(i) : picked.add(i);
      button.setAttribute("aria-pressed", String(picked.has(i)));
      paths.forEach((path, j) => {
        const faint = picked.size > 0 && !picked.has(j);
        path.line.classList.toggle("faint", faint);
        path.head.classList.toggle("faint", faint);
      });
    });

  if (!slider) {
    show(0);
    document.documentElement.dataset.ready = "true";
    return;
  }
  // The whole way takes about eight seconds, whatever the number of steps.
  const rate = page.steps / 8000;
  const button = document.getElementById("play");
  let at = 0, before = null, frame = 0;
  const tick = (now) => {
    if (before !== null) at = Math.min(page.steps, at + (now - before) * rate);
    before = now;
    show(Math.floor(at));
    if (at >= page.steps) return pause();
    frame = requestAnimationFrame(tick);
  };
  const playing = () => frame !== 0;
  const pause = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    button.textContent = "play";
  };
  const play = () => {
    if (at >= page.steps) at = 0;
    before = null;
    button.textContent = "pause";
    frame = requestAnimationFrame(tick);
  };
  const go = (step) => {
    pause();
    at = Math.max(0, Math.min(page.steps, step));
    show(at);
  };
  button.addEventListener("click", () => (playing() ? pause() : play()));
  slider.addEventListener("input", () => go(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "PRE") return;
    const now = Math.floor(at);
    const moves = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: page.steps };
    if (event.key === " " && event.target.tagName !== "BUTTON") playing() ? pause() : play();
    else if (event.key in moves) go(moves[event.key]);
    else return;
    event.preventDefault();
  });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) go(page.steps);
  else play();
  document.documentElement.dataset.ready = "true";
})();
